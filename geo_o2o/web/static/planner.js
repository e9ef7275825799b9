// The planner's map: one layer at a time on hexagons, districts with their profiles, and a slider over releases. A client of the public API.
import { ask, forgetKey, json, keepKey, takeKey } from './api.js';
import { save } from './dom.js';
import { loadDistricts } from './planner/districts.js';
import { show } from './planner/layer.js';
import { drawMap, map, restyle } from './planner/map.js';
import { $, DEMAND, PART_NAMES, PARTS, state, trouble } from './planner/state.js';
import { themeButton } from './theme.js';
import { t } from './words.js';

async function start() {
  $('signin').hidden = true;
  let found;
  try {
    found = await json('/v1/heat/releases');
  } catch (problem) {
    if (problem.status !== 401 && problem.status !== 403) return trouble(problem);
    forgetKey();
    return signIn(t('This key is not known here, or is no planner’s.'));
  }
  state.city = found.cities[0] ?? null;
  state.releases = found.items.filter(one => one.city === state.city?.name);
  if (!state.city) {
    state.layer = $('layer').value = 'stores';
    document.querySelectorAll('#layer option').forEach(option => { option.disabled = option.value in DEMAND; });
  }
  $('sub').textContent = state.city?.title ?? t('No city’s visits are released here');
  $('sample').hidden = !state.releases.some(one => one.sample);
  const bounds = state.city?.bbox ?? await anywhere();
  drawMap(bounds);
  await Promise.all([loadDistricts(bounds), show()]).catch(trouble);
}

async function anywhere() {
  const { items: [store] } = await json('/v1/stores', { limit: 1 });
  return store ? [store.lng - .02, store.lat - .01, store.lng + .02, store.lat + .01] : [24.9, 60.1, 25, 60.2];
}

function signIn(why = '') {
  $('signin').hidden = false;
  $('signin-why').textContent = why;
  $('key').focus();
}
$('signin').onsubmit = event => { event.preventDefault(); keepKey($('key').value.trim()); start(); };

// --- what a reader does --------------------------------------------------------------------------------------------------------------

themeButton($('theme'), restyle);
$('layer').onchange = () => { state.layer = $('layer').value; stop(); show(); };
$('parts').innerHTML = PARTS.day_parts.map((name, i) => `<label><input type="radio" name="part" value="${i}"${i ? '' : ' checked'}><span>${PART_NAMES[name]}</span></label>`).join('');
$('parts').onchange = event => { state.part = Number(event.target.value); show(); };
$('period').oninput = () => { state.period = Number($('period').value); show(); };
let playing = 0;
function stop() { clearInterval(playing); playing = 0; $('play').setAttribute('aria-label', t('Play through the periods')); $('play').innerHTML = '<svg viewBox="0 0 24 24" aria-hidden="true"><path d="M8 5.5v13l11-6.5z"/></svg>'; }
$('play').onclick = () => {
  if (playing) return stop();
  $('play').setAttribute('aria-label', t('Pause'));
  $('play').innerHTML = '<svg viewBox="0 0 24 24" aria-hidden="true"><path d="M7 5h4v14H7zm6 0h4v14h-4z"/></svg>';
  playing = setInterval(() => { state.period = (state.period + 1) % state.periods.length; show(); }, 900);
};

$('dock').onclick = async event => {
  const form = event.target.dataset?.form;
  if (!form) return;
  const name = `${state.layer}${state.layer in DEMAND ? `-${state.periods[state.period]}` : ''}.${form}`;
  try {
    if (form === 'png') map.getCanvas().toBlob(blob => save(blob, name));
    else if (state.layer in DEMAND) save(await (await ask(`/v1/heat/${state.layer}`, { city: state.city.name, period: state.periods[state.period], format: form })).blob(), name);
    else {
      const view = map.getBounds();
      save(await (await ask('/v1/heat/supply', { bbox: [view.getWest(), view.getSouth(), view.getEast(), view.getNorth()].map(v => v.toFixed(5)).join(','), zoom: Math.round(map.getZoom()) + 1, format: form })).blob(), name);
    }
  } catch (problem) { trouble(problem); }
};

if (takeKey()) start(); else signIn();
