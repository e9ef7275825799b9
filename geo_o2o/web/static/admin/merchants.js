// Parties that own stores.
import { json, send } from '../api.js';
import { t } from '../words.js';
import { $, count, day, element, fill, line, say, sayTrouble } from './page.js';

export async function drawMerchants() {
  const [{ items: merchants }, { items: keys }] = await Promise.all([json('/v1/merchants'), json('/v1/keys')]);
  const live = one => keys.filter(key => key.merchant === one.name && !key.revoked_at).length;
  fill($('merchant-list').tBodies[0], merchants.map(one => merchantLine(one, live(one))), JSON.stringify([merchants, keys]));
  $('merchant-list').parentElement.hidden = !merchants.length;
  $('no-merchants').hidden = merchants.length > 0;
}

function merchantLine(one, live) {
  const make = element('button', { type: 'button', class: 'quiet', 'data-deed': 'key' }, t('Make a key'));
  make.onclick = () => {
    sessionStorage.setItem('geo_o2o.merchant', one.id);
    location.hash = 'keys';
  };
  return line([[element('bdi', {}, one.name), 'name'], day(one.created_at), [count(live), 'n'], [make, 'deeds']], { 'data-id': one.id });
}

$('merchant-form').onsubmit = async event => {
  event.preventDefault();
  const name = $('merchant-name').value.trim();
  if (!name) return;
  try {
    const made = await send('POST', '/v1/merchants', { name });
    $('merchant-name').value = '';
    await drawMerchants();
    say('merchant-said', t('{name} is here.', { name: made.name }));
  } catch (failure) { sayTrouble('merchant-said', failure); }
};
