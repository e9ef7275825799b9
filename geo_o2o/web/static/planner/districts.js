// Districts: the list beside the map, their outlines on it, and the profiles of one or two of them.
import { json } from '../api.js';
import { count, esc, lines } from '../charts.js';
import { panel } from '../panel.js';
import { language, t } from '../words.js';
import { dress, loaded, map, room } from './map.js';
import { still } from '../basemap.js';
import { $, state } from './state.js';

export async function loadDistricts([west, south, east, north]) {
  const { items } = await json('/v1/districts', { bbox: [west, south, east, north].join(','), outlines: true, limit: 500 });
  state.districts = items;
  const layers = [...new Set(items.map(one => one.layer))].sort((a, b) => size(b) - size(a));
  $('layers-label').hidden = layers.length < 2;
  $('district-layer').innerHTML = layers.map(name => `<option>${esc(name)}</option>`).join('');
  chooseLayer(layers[0]);
  if (map && items.length) {
    state.bounds = around(items.map(one => one.bbox));
    map.fitBounds(square(state.bounds), { padding: room(), animate: false });
  }
}
const around = boxes => [Math.min(...boxes.map(b => b[0])), Math.min(...boxes.map(b => b[1])), Math.max(...boxes.map(b => b[2])), Math.max(...boxes.map(b => b[3]))];
const square = ([west, south, east, north]) => [[west, south], [east, north]];
const size = layer => state.districts.filter(one => one.layer === layer).reduce((sum, one) => sum + one.area_m2, 0);
$('district-layer').onchange = () => chooseLayer($('district-layer').value);

function chooseLayer(layer) {
  state.shown = state.districts.filter(one => one.layer === layer).sort((a, b) => b.area_m2 - a.area_m2);
  state.picked = [];
  state.all = false;
  if (loaded()) dress();
  list();
  detail();
}

export const outlines = () => ({ type: 'FeatureCollection', features: state.shown.map(one => ({ type: 'Feature', properties: { id: one.id, name: one.name, area_m2: one.area_m2 }, geometry: one.area })) });
export const tops = () => ({ type: 'FeatureCollection', features: state.shown.map(one => ({ type: 'Feature', properties: { name: one.name, area_m2: one.area_m2 }, geometry: { type: 'Point', coordinates: [(one.bbox[0] + one.bbox[2]) / 2, one.bbox[3]] } })) });
export const mark = () => state.shown.forEach(one => map.setFeatureState({ source: 'districts', id: one.id }, { pick: state.picked.indexOf(one.id) }));

let listed = 0;
async function list() {
  const turn = ++listed, visible = state.all ? state.shown : state.shown.slice(0, 12);
  const draw = () => {
    $('districts').innerHTML = visible.map(one => {
      const profile = state.profiles.get(one.id), demand = profile?.demand, visits = demand?.visits;
      const spark = demand?.series.length ? lines([demand.series], { w: 92, h: 28 }) : '<span></span>';
      const figure = visits ? `${count(visits.value)}<span>${count(visits.low)}–${count(visits.high)}</span>` : profile ? `<span>${t('visits not shown')}</span>` : '';
      return `<li><button type="button" class="d" data-id="${one.id}" aria-pressed="${state.picked.includes(one.id)}"><span><span class="n">${esc(one.name)}</span><br><span class="s">${profile ? t('{count} stores', { count: count(profile.stores.count) }) : '&nbsp;'}</span></span>${spark}<span class="v">${figure}</span></button></li>`;
    }).join('') + (visible.length < state.shown.length ? `<li><button type="button" class="more">${t('All {count} districts', { count: state.shown.length })}</button></li>` : '');
  };
  draw();
  const missing = visible.filter(one => !state.profiles.has(one.id)).map(one => one.id);
  for (let i = 0; i < missing.length; i += 8) {
    await profilesOf(missing.slice(i, i + 8));
    if (turn !== listed) return;
    const held = document.activeElement?.dataset?.id;
    draw();
    if (held) document.querySelector(`.d[data-id="${held}"]`)?.focus();
  }
}

async function profilesOf(ids) {
  const missing = ids.filter(id => !state.profiles.has(id));
  if (missing.length) for (const one of (await json('/v1/districts/compare', { ids: missing.join(',') })).items) state.profiles.set(one.district.id, one);
  return ids.map(id => state.profiles.get(id));
}

export async function pick(id, beside = false) {
  if (state.picked.includes(id)) state.picked = state.picked.filter(one => one !== id);
  else state.picked = beside && state.picked.length ? [state.picked[0], id] : [id];
  if (map && loaded()) {
    mark();
    const boxes = state.shown.filter(one => state.picked.includes(one.id)).map(one => one.bbox);
    map.fitBounds(square(boxes.length ? around(boxes) : state.bounds), { padding: room(), maxZoom: 15.6, animate: !still });
  }
  document.querySelectorAll('.d').forEach(button => button.setAttribute('aria-pressed', state.picked.includes(button.dataset.id)));
  await detail();
  if (state.picked.length) $('detail').scrollIntoView({ block: 'start', behavior: still ? 'auto' : 'smooth' });
}

// Categories by code, in the language of the page.
let names = null;
const named = () => names ??= json('/v1/categories').then(({ items }) => new Map(items.map(one => [one.code, one.names[language] ?? one.names.en ?? one.code])));

async function detail() {
  const picked = state.picked, [profiles] = await Promise.all([profilesOf(picked), named()]);
  if (picked !== state.picked) return;
  $('detail').innerHTML = picked.length ? panel(profiles, state.shown, await named()) : state.shown.length ? `<p class="hint">${t('Choose a district here or on the map. A second one, with “beside”, stands next to it.')}</p>` : '';
}
$('districts').onclick = event => {
  const row = event.target.closest('.d');
  if (row) pick(row.dataset.id, event.shiftKey);
  else if (event.target.closest('.more')) { state.all = true; list(); }
};
$('detail').onclick = event => { const peer = event.target.closest('[data-beside]'); if (peer) pick(peer.dataset.beside, true); };
$('detail').onchange = event => { if (event.target.id === 'beside') pick(event.target.value || state.picked[1], true); };
