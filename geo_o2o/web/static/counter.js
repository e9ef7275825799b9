// The store's counter: a code that changes, guests who wait, and what this till has confirmed. The code needs no network.
import { json, Problem, send, useKey } from './api.js';
import { drawCode, guestName, parseScan, readCodes } from './codes.js';
import { $, element } from './dom.js';
import { get, put, remove } from './kept.js';
import { themeButton } from './theme.js';
import { locale, t } from './words.js';
import { note, read } from './counter/day.js';
import { drawGuests, FAILED } from './counter/guests.js';
import { canSignIn, passkeyBox, signInByPasskey } from './counter/passkeys.js';
import { confirmScan, flush, queued } from './counter/queue.js';
import { codeOf, digitsNow, enrolTill, forgetTill, hearClock, isOurKey, loadTill, now, revokedAt, stepNow, STEP_S, till } from './counter/till.js';

const POLL_MS = 3_000, CHECK_TILL_MS = 60_000;
let scanning = null, problem = null, opened = false;

// --- sign in -----------------------------------------------------------------------------------------------------------------------------

// The key stays in this browser until somebody signs out: a till is switched on in the morning, and nobody types a key then.
// One that is given is kept once it has been seen to be this store's: a wrong one must not take its place.
async function account() {
  const given = new URLSearchParams(location.hash.slice(1)).get('key');
  if (given) history.replaceState(null, '', location.pathname + location.search);
  const kept = await get('keys', 'account');
  if (given && given !== kept) return given;
  if (kept) useKey(kept);
  return null;
}

async function signInWith(key) {
  useKey(key);
  await loadTill();
  try {
    if (till?.enrolled) {
      if (!await isOurKey()) throw new Problem(403, null);
      await json('/v1/check-ins', { store_id: till.store.id, limit: 1 });
    } else await json('/v1/check-ins', { limit: 1 });
  } catch (failure) {
    useKey(await get('keys', 'account') ?? null);
    return signIn(failure instanceof TypeError ? t('No connection: the first time a till needs one.') : t('This key is not known here, or is no store’s.'));
  }
  await put('keys', key, 'account');
  return start();
}

function signIn(why = '') {
  $('signin').hidden = false;
  $('or-passkey').hidden = !canSignIn;
  $('signin-why').textContent = why;
}

$('passkey-in').onclick = async () => {
  $('signin-why').textContent = '';
  try {
    await signInWith(await signInByPasskey());
  } catch (failure) {
    signIn(failure instanceof TypeError ? t('No connection: the first time a till needs one.') : failure.message);
  }
};
passkeyBox($('passkeys'));

$('signin').onsubmit = async event => {
  event.preventDefault();
  const key = $('key').value.trim();
  $('key').value = '';
  await signInWith(key);
};
$('signout').onclick = async () => {
  await remove('keys', 'account');
  location.reload();
};

async function start() {
  $('signin').hidden = true;
  if (!crypto.subtle) return signIn(t('This browser signs on pages with https, or on this very machine, only.'));
  const given = await account();
  if (given) return signInWith(given);
  if (!await get('keys', 'account')) return signIn();
  await loadTill();
  if (till?.enrolled) return open();
  let stores;
  try {
    ({ items: stores } = await json('/v1/stores', { limit: 1_000 }));
  } catch (failure) {
    if (failure.status !== 401 && failure.status !== 403) return signIn(failure instanceof TypeError ? t('No connection: the first time a till needs one.') : failure.message);
    await remove('keys', 'account');
    return signIn(t('This key is not known here, or is no store’s.'));
  }
  if (!stores.length) return signIn(t('No store belongs to this key yet.'));
  $('store').replaceChildren(...stores.map(one => element('option', { value: one.id, 'data-zone': one.time_zone }, one.name)));
  $('enrol').hidden = false;
}

$('enrol').onsubmit = async event => {
  event.preventDefault();
  const [chosen] = $('store').selectedOptions;
  $('enrol-why').textContent = '';
  try {
    await enrolTill({ id: chosen.value, name: chosen.textContent, zone: chosen.dataset.zone }, $('till-name').value.trim() || t('till'));
    $('enrol').hidden = true;
    open();
  } catch (failure) {
    $('enrol-why').textContent = failure instanceof TypeError ? t('No connection: the first time a till needs one.') : failure.message;
  }
};

// --- the code ----------------------------------------------------------------------------------------------------------------------------

let shown = null;
async function tick() {
  if (!till) return;
  const step = stepNow(), left = STEP_S - Math.floor(now() / 1000) % STEP_S;
  if (step !== shown) {
    shown = step;
    const text = await codeOf(step), digits = await digitsNow();
    $('code').replaceChildren(drawCode(text, t('Code for visitors to scan')));
    $('code').dataset.code = text;
    $('digits').textContent = digits ? digits.replace(/^(...)/, '$1 ') : '';
  }
  $('left').textContent = t('{seconds} s to the next code', { seconds: left });
  $('bar').setAttribute('width', String(100 * left / STEP_S));
}

$('full').onclick = () => document.fullscreenElement ? document.exitFullscreen() : $('show').requestFullscreen();
const stayAwake = () => { if (!document.hidden) navigator.wakeLock?.request('screen').catch(() => {}); };

async function open() {
  if (opened) return look();
  opened = true;
  $('counter').hidden = false;
  $('name').textContent = till.store.name;
  tick();
  setInterval(tick, 500);
  stayAwake();
  document.addEventListener('visibilitychange', stayAwake);
  addEventListener('online', look);
  addEventListener('offline', look);
  setInterval(look, POLL_MS);
  await hearClock().catch(() => {});
  await look();
  checkTill();
  setInterval(checkTill, CHECK_TILL_MS);
}

async function checkTill() {
  const at = await revokedAt().catch(() => null);
  $('revoked').hidden = !at;
  $('code').hidden = $('under').hidden = Boolean(at);
  if (at) $('revoked-why').textContent = t('This till was revoked on {day}: nobody takes its codes any more.', { day: new Intl.DateTimeFormat(locale, { dateStyle: 'medium' }).format(new Date(at)) });
  if (!at) hearClock().catch(() => {});
}
$('again').onclick = async () => { await forgetTill(); location.reload(); };

// --- guests ------------------------------------------------------------------------------------------------------------------------------

let looking = null;
// What waits is sent, and what happened is read; one look at a time.
const look = () => looking ??= lookOnce().finally(() => { looking = null; });

async function lookOnce() {
  if (!till) return;
  try {
    await flush();
    if (!document.hidden) await read();
    problem = null;
    $('signin').hidden = true;
  } catch (failure) {
    problem = failure;
    if (failure.status === 401 || failure.status === 403) signIn(t('This key was revoked, or is not known any more. Sign in with another; what waits is kept.'));
  }
  await draw();
}

const draw = () => drawGuests({ problem, onConfirm: scan, onRefuse: refuseGuest });

// --- what staff do -----------------------------------------------------------------------------------------------------------------------

const say = (text, kind = '') => { $('said').textContent = text; $('said').className = kind; };

// A till signs what the visitor shows, and not what the service says: so whoever waits is confirmed by a scan.
async function scan(guest = null) {
  $('scan-whom').textContent = guest ? t('Scan the code that guest {guest} shows.', { guest: guestName(guest.id) }) : t('Scan the code that the visitor shows.');
  $('scanner').showModal();
  $('scan-why').textContent = '';
  $('handheld').value = '';
  const own = scanning = Object.assign(new AbortController(), { guest });
  try {
    await readCodes($('video'), text => { const good = text.startsWith('XCV1:'); if (good) taken(text); return good; }, own.signal);
  } catch {
    if (own.signal.aborted) return;
    // Who has typed meanwhile reads what became of that.
    $('scan-why').textContent ||= t('The camera cannot be used here. A hand-held scanner types the code below.');
    $('handheld').focus();
  }
}
$('scan').onclick = () => scan();
$('scanner').onclose = () => scanning?.abort();
$('scan-close').onclick = () => $('scanner').close();
$('by-hand').onsubmit = event => { event.preventDefault(); taken($('handheld').value); };

async function taken(text) {
  const scan = parseScan(text.trim());
  if (!scan) { $('scan-why').textContent = t('This is no visitor’s code.'); return; }
  const guest = guestName(scan.checkIn), wanted = scanning?.guest;
  if (wanted && wanted.id !== scan.checkIn) { $('scan-why').textContent = t('This is the code of guest {guest}, and not of the one you chose.', { guest }); return; }
  $('scanner').close();
  const found = await confirmScan(scan);
  if (found.again) return say(t('Guest {guest} was scanned before.', { guest }), 'bad');
  await draw();
  // A look that is under way has perhaps not seen it.
  await looking;
  await look();
  const mine = (await queued()).find(one => one.id === scan.checkIn);
  if (mine?.state === 'sent') say(t('Guest {guest} is confirmed.', { guest }), 'good');
  else if (mine?.state === 'failed') say(`${t('Guest {guest}', { guest })}: ${FAILED[mine.code] ?? t('Not taken')}`, 'bad');
  else say(t('Guest {guest} is kept, and sent when there is a connection.', { guest }), 'wait');
}

async function refuseGuest(one) {
  try {
    note(await send('POST', `/v1/check-ins/${one.id}/void`, { reason: 'refused at the counter' }));
    say(t('Guest {guest} is refused.', { guest: guestName(one.id) }));
  } catch (failure) {
    say(failure instanceof TypeError ? t('No connection: a refusal needs one.') : failure.message, 'bad');
  }
  await draw();
}

themeButton($('theme'));
navigator.serviceWorker?.register('/static/offline.js', { scope: '/' }).catch(() => {});
start();
