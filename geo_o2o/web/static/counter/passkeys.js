// Staff sign in with what their device has: a passkey is made by whoever is signed in, and gives a key that ends by itself.
import { json, Problem, send } from '../api.js';
import { $, askTwice, element } from '../dom.js';
import { locale, t } from '../words.js';

// Browsers keep passkeys for names, and those that cannot read the service's options have none either.
export const canSignIn = Boolean(window.PublicKeyCredential?.parseRequestOptionsFromJSON) && isSecureContext && !/^[\d.]+$|^\[/.test(location.hostname);

// The key of a sign-in. Throws an Error that says, in words, why nobody signed in.
export async function signInByPasskey() {
  const options = PublicKeyCredential.parseRequestOptionsFromJSON(await send('POST', '/v1/sign-ins/options'));
  let credential;
  try {
    credential = await navigator.credentials.get({ publicKey: options });
  } catch {
    throw new Error(t('Nobody signed in: there is no passkey for this service on this device, or it was cancelled.'));
  }
  try {
    return (await send('POST', '/v1/sign-ins', { credential: credential.toJSON() })).key;
  } catch (failure) {
    throw failure instanceof Problem && failure.status === 401 ? new Error(t('This passkey is not known here, or was revoked.')) : failure;
  }
}

export function passkeyBox(button) {
  button.hidden = !canSignIn;
  button.onclick = async () => {
    $('passkey-said').textContent = '';
    $('passkey-box').showModal();
    await draw().catch(tell);
  };
  $('passkey-close').onclick = () => $('passkey-box').close();
  $('passkey-make').onclick = () => make().catch(tell);
}

const tell = failure => { $('passkey-said').textContent = failure.code === 'key_needed' ? t('Sign in with the store’s key to make a passkey.') : failure instanceof TypeError ? t('No connection: the first time a till needs one.') : failure.message; };

async function draw() {
  const { items } = await json('/v1/passkeys');
  $('passkey-list').replaceChildren(...items.map(passkeyLine));
  $('no-passkey').hidden = items.length > 0;
}

const day = at => new Intl.DateTimeFormat(locale, { dateStyle: 'medium' }).format(new Date(at));

function passkeyLine(one) {
  const revoke = askTwice(element('button', { type: 'button', class: 'no' }, t('Revoke')), t('Revoke for good?'), () => send('POST', `/v1/passkeys/${one.id}/revoke`).then(draw).catch(tell));
  return element('li', { 'data-id': one.id }, element('b', {}, element('bdi', {}, one.name || day(one.created_at))), element('span', { class: 'hint' }, one.used_at ? t('used {day}', { day: day(one.used_at) }) : t('never used')), revoke);
}

async function make() {
  const options = PublicKeyCredential.parseCreationOptionsFromJSON(await send('POST', '/v1/passkeys/options'));
  let credential;
  try {
    credential = await navigator.credentials.create({ publicKey: options });
  } catch {
    throw new Error(t('No passkey was made: it was cancelled, or this device has one already.'));
  }
  await send('POST', '/v1/passkeys', { name: deviceName(), credential: credential.toJSON() });
  await draw();
  $('passkey-said').textContent = t('The passkey is made. Sign in with it next time.');
}

// What its owner would call this device.
const deviceName = () => [navigator.userAgentData?.platform ?? navigator.platform, day(Date.now())].filter(Boolean).join(', ').slice(0, 100);
