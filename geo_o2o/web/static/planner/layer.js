// One layer at a time: what is asked for, and how it becomes features with one figure each.
import { json } from '../api.js';
import { t } from '../words.js';
import { figures, legend } from './figures.js';
import { dress, loaded, map } from './map.js';
import { $, DEMAND, FIXED, NONE, PARTS, state, trouble } from './state.js';

let asked = 0;

export async function show() {
  const turn = ++asked;
  periods();
  try {
    const answer = state.layer in DEMAND ? await released() : await live();
    if (turn !== asked) return;
    trouble(null);
    state.about = answer;
    state.cells = { type: 'FeatureCollection', features: coloured(answer.features) };
    state.breaks = FIXED[state.layer] ?? (state.layer in DEMAND ? await scale() : nice(state.cells.features));
  } catch (problem) {
    if (turn !== asked) return;
    state.cells = NONE;
    trouble(problem);
  }
  if (loaded()) dress();
  legend();
  figures();
}

// The newest release sets the classes, so that all periods compare.
async function scale() {
  const newest = state.periods.at(-1), first = await fetched(newest);
  return nice(coloured(first.features));
}

function nice(features) {
  const most = Math.max(...features.map(f => f.properties.shown ?? 0), 7);
  if (!(state.layer in DEMAND)) {
    // Stores crowd together: classes that double tell the many small cells apart.
    const steps = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4], last = Math.max(steps.findLastIndex(n => n <= most), 6);
    return steps.slice(last - 6, last + 1).with(0, 1);
  }
  const step = most / 7.5, tens = 10 ** Math.floor(Math.log10(step)), whole = [1, 2, 2.5, 5, 10].find(n => n * tens >= step) * tens;
  return [Math.min(whole, 20), ...[1, 2, 3, 4, 5, 6].map(n => Math.round(n * whole))].map((v, i, all) => i && v <= all[i - 1] ? all[i - 1] + i : v);
}

const fetched = period => {
  const slot = `${state.layer} ${period}`;
  if (!state.answers.has(slot)) state.answers.set(slot, json(`/v1/heat/${state.layer}`, { city: state.city.name, period, format: 'geojson' }).then(summed));
  return state.answers.get(slot);
};

async function released() {
  if (!state.periods.length) throw new Error(DEMAND[state.layer] === 'week' ? t('Nothing is released yet: a week is released once, two days after its end.') : t('Nothing is released yet: a month is released once, two days after its end.'));
  return fetched(state.periods[state.period]);
}

// Where people come from has a row for each pair of cells: on the map each cell counts all who come to it.
function summed(answer) {
  if (answer.layer !== 'origins') return answer;
  const cells = new Map();
  for (const feature of answer.features) {
    const seen = cells.get(feature.properties.cell);
    if (!seen || feature.properties.hidden) { cells.set(feature.properties.cell, structuredClone(feature)); continue; }
    for (const name of ['value', 'low', 'high']) seen.properties[name] += feature.properties[name];
  }
  return { ...answer, features: [...cells.values()] };
}

async function live() {
  const view = map?.getBounds(), city = state.bounds ?? state.city?.bbox;
  const box = view ? [view.getWest(), view.getSouth(), view.getEast(), view.getNorth()] : city;
  return json('/v1/heat/supply', { bbox: box.map(v => v.toFixed(5)).join(','), zoom: Math.min(Math.round(map?.getZoom() ?? 14) + 1, 22), format: 'geojson' });
}

// One feature for each cell, coloured by `shown`. Of layers in parts only what is asked for counts; where that is not shown the cell is hidden.
function coloured(features) {
  const parts = PARTS[state.layer], grouped = parts || state.layer === 'returns';
  if (!grouped) return features.map(f => f.properties.hidden ? f : { ...f, properties: { ...f.properties, shown: valueOf(f.properties) ?? 0 } });
  const cells = new Map();
  for (const f of features) (cells.get(f.properties.cell) ?? cells.set(f.properties.cell, {}).get(f.properties.cell))[f.properties.part ?? 'hidden'] = f;
  return [...cells.values()].map(of => {
    const any = Object.values(of)[0], { cell, resolution } = any.properties;
    const hidden = { ...any, properties: { cell, resolution, hidden: true } };
    if (parts) { const own = of[parts[state.part]]; return own ? { ...own, properties: { ...own.properties, shown: own.properties.value } } : hidden; }
    if (!of.seen || !of.again) return hidden;
    const [seen, again] = [of.seen.properties, of.again.properties];
    return { ...any, properties: { cell, resolution, shown: again.value / seen.value, low: again.low / seen.high, high: Math.min(again.high / Math.max(seen.low, 1), 1) } };
  });
}
const valueOf = p => ({ stores: p.stores, offers: p.offers, rating: p.rating_mean, open: p.open_share }[state.layer] ?? p.value);

function periods() {
  const own = state.releases.filter(one => one.product === state.layer).map(one => one.period);
  if (own.join() !== state.periods.join()) { state.periods = own; state.period = own.length - 1; }
  $('time').hidden = !(state.layer in DEMAND);
  $('parts').hidden = !PARTS[state.layer];
  $('period').max = Math.max(own.length - 1, 0);
  $('period').value = Math.max(state.period, 0);
}
