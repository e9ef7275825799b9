// Who may do what: keys are made, replaced and revoked; the text of one is said once.
import { json, send } from '../api.js';
import { t } from '../words.js';
import { askTwice } from '../dom.js';
import { $, day, element, fill, line, say, sayTrouble } from './page.js';

export async function drawKeys() {
  const [{ items: merchants }, { items: keys }] = await Promise.all([json('/v1/merchants'), json('/v1/keys')]);
  const wanted = sessionStorage.getItem('geo_o2o.merchant') ?? $('key-merchant').value;
  $('key-merchant').replaceChildren(...merchants.map(one => element('option', { value: one.id, selected: one.id === wanted && 'selected' }, one.name)));
  if (sessionStorage.getItem('geo_o2o.merchant')) {
    sessionStorage.removeItem('geo_o2o.merchant');
    $('key-role').value = 'store';
  }
  roleChanged();
  const shown = keys.filter(one => !one.revoked_at || $('revoked-too').checked);
  fill($('key-list').tBodies[0], shown.map(keyLine), JSON.stringify(shown));
}

function keyLine(one) {
  const deeds = element('span');
  if (!one.revoked_at) {
    const replace = element('button', { type: 'button', class: 'quiet', 'data-deed': 'replace', title: t('A new key for the same app or store: what the old one began stays theirs') }, t('Replace'));
    replace.onclick = () => make(`/v1/keys/${one.prefix}/replace`, {});
    deeds.append(replace, askTwice(element('button', { type: 'button', class: 'no', 'data-deed': 'revoke' }, t('Revoke')), t('Revoke for good?'), () => revoke(one.prefix)));
  }
  const state = one.revoked_at ? [t('revoked {day}', { day: day(one.revoked_at) }), 'state bad'] : [t('live'), 'state good'];
  return line([element('span', { class: 'num' }, one.prefix), one.role, [element('bdi', {}, one.merchant ?? '–'), 'name'], [element('bdi', {}, one.name), 'name'], day(one.created_at), state, [deeds, 'deeds']], { 'data-id': one.prefix });
}

async function make(path, body) {
  try {
    const made = await send('POST', path, body);
    $('made').hidden = false;
    $('made-key').value = made.key;
    $('made-key').select();
    $('key-name').value = '';
    say('key-said', '');
    await drawKeys();
  } catch (failure) { sayTrouble('key-said', failure); }
}

async function revoke(prefix) {
  try {
    await send('POST', `/v1/keys/${prefix}/revoke`);
    await drawKeys();
    say('key-said', t('{prefix} is revoked; running services forget it within seconds.', { prefix }));
  } catch (failure) {
    if (failure.code === 'last_operator_key') say('key-said', t('This is the last key of the operator. Make another one first.'), { bad: true }); else sayTrouble('key-said', failure);
  }
}

function roleChanged() { $('of-merchant').hidden = $('key-role').value !== 'store'; }
$('key-role').onchange = roleChanged;
$('revoked-too').onchange = drawKeys;
$('key-form').onsubmit = event => {
  event.preventDefault();
  const role = $('key-role').value;
  if (role === 'store' && !$('key-merchant').value) return say('key-said', t('A store’s key belongs to a merchant. Add one first.'), { bad: true });
  make('/v1/keys', { role, name: $('key-name').value.trim(), ...(role === 'store' ? { merchant_id: $('key-merchant').value } : {}) });
};
$('copy').onclick = async () => {
  await navigator.clipboard.writeText($('made-key').value).then(() => { $('copy').textContent = t('Copied'); }, () => $('made-key').select());
};
$('made-done').onclick = () => { $('made').hidden = true; $('made-key').value = ''; $('copy').textContent = t('Copy'); };
