// The planner's map: one layer at a time on hexagons, districts with their profiles, and a slider over releases. A client of the public API.
import * as maplibre from './vendor/maplibre-gl@6.17.0/maplibre-gl.mjs';
import { ask, headers, json, keepKey, forgetKey, takeKey } from './api.js';
import { count, esc, lines, percent } from './charts.js';
import { hatch, hexColour, makeStyle } from './mapstyle.js';
import { panel } from './panel.js';
import { language, t } from './words.js';

const $ = id => document.getElementById(id);
const still = matchMedia('(prefers-reduced-motion: reduce)').matches;
const DEMAND = { visits: 'week', day_parts: 'month', returns: 'month', origins: 'month' };
const PARTS = { day_parts: ['morning', 'midday', 'afternoon', 'evening'] };
const TITLES = { visits: t('People a week, per cell'), day_parts: t('People a month in this part of the day, per cell'), returns: t('Share of people who came back'), origins: t('People a month from elsewhere, per cell'),
  stores: t('Stores per cell'), offers: t('Offers per cell'), rating: t('Mean rating'), open: t('Share of stores open now') };
const PART_NAMES = { morning: t('morning'), midday: t('midday'), afternoon: t('afternoon'), evening: t('evening') };
const FIXED = { rating: [1, 3, 3.4, 3.7, 4, 4.3, 4.6], open: [.001, .15, .3, .45, .6, .75, .9], returns: [.001, .1, .2, .3, .4, .5, .6] };
const NONE = { type: 'FeatureCollection', features: [] };
const state = { theme: localStorage.getItem('theme') || (matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light'), layer: 'visits', part: 0, period: -1, periods: [], city: null, releases: [],
  districts: [], shown: [], picked: [], profiles: new Map(), cells: NONE, breaks: [1, 2, 3, 4, 5, 6, 7], answers: new Map(), all: false, hover: null, selected: null, about: null };
let map = null, asked = 0;
document.documentElement.dataset.theme = state.theme;

// --- start --------------------------------------------------------------------------------------------------------------------------

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

function trouble(problem) {
  $('trouble').hidden = !problem;
  $('trouble').textContent = problem ? problem.message : '';
}

// --- the map -------------------------------------------------------------------------------------------------------------------------

function drawMap(bounds) {
  if (!document.createElement('canvas').getContext('webgl2')) {
    trouble(new Error(t('This browser cannot draw the map (WebGL 2 is missing); the districts and the downloads work all the same.')));
    $('map').dataset.state = 'idle';
    return;
  }
  const [west, south, east, north] = bounds;
  state.bounds = bounds;
  map = window.plannerMap = new maplibre.Map({
    container: 'map', style: style(), bounds: [[west, south], [east, north]], fitBoundsOptions: { padding: room() }, minZoom: 4, maxZoom: 18, fadeDuration: still ? 0 : 200,
    attributionControl: false, dragRotate: false, pitchWithRotate: false, canvasContextAttributes: { preserveDrawingBuffer: true },
    transformRequest: url => url.startsWith(`${location.origin}/v1/`) ? { url, headers: headers() } : { url },
    locale: { 'Map.Title': t('Map of hexagons. Arrow keys move it, plus and minus zoom, Enter reads the hexagon in the middle.'),
      'NavigationControl.ZoomIn': t('Zoom in'), 'NavigationControl.ZoomOut': t('Zoom out') },
  });
  map.touchZoomRotate.disableRotation();
  map.addControl(new maplibre.NavigationControl({ showCompass: false }), 'top-right');
  map.addControl(new maplibre.AttributionControl({ compact: false }), 'bottom-right');
  const busy = () => { $('map').dataset.state = 'busy'; };
  map.on('movestart', busy);
  map.on('dataloading', busy);
  map.on('idle', () => { $('map').dataset.state = 'idle'; });
  map.on('error', event => { (window.plannerErrors ??= []).push(String(event.error?.message ?? event.error)); });
  // Before any tile is drawn that needs it, also after a change of theme.
  map.on('style.load', () => { if (!map.hasImage('hatch')) map.addImage('hatch', hatch(state.theme)); dress(); });
  map.on('moveend', () => { if (!(state.layer in DEMAND)) show(); });
  map.on('mousemove', 'cells', event => hover(event.features[0], event.point));
  map.on('mousemove', 'hidden', event => hover(event.features[0], event.point));
  for (const layer of ['cells', 'hidden']) map.on('mouseleave', layer, () => hover(null));
  map.on('click', event => {
    const [cell] = map.queryRenderedFeatures(event.point, { layers: ['cells', 'hidden'] });
    select(cell ?? null, event.point);
    const [district] = map.queryRenderedFeatures(event.point, { layers: ['district-areas'] }).sort((a, b) => a.properties.area_m2 - b.properties.area_m2);
    if (district && !cell) pick(district.properties.id, event.originalEvent.shiftKey);
  });
  map.on('dblclick', event => event.preventDefault());
  map.getCanvas().addEventListener('keydown', event => {
    if (event.key !== 'Enter') return;
    const middle = map.project(map.getCenter());
    select(map.queryRenderedFeatures(middle, { layers: ['cells', 'hidden'] })[0] ?? null, middle);
  });
}

const wide = () => innerWidth > 820;
const room = () => wide() ? { top: 30, left: 30, right: 60, bottom: 150 } : { top: 40, left: 16, right: 16, bottom: 290 };
const style = () => makeStyle(state.theme, state.breaks, { origin: location.origin, bounds: state.bounds ?? [-180, -85, 180, 85], data: { cells: state.cells, districts: outlines(), tops: tops(), focus: focus() } });

function dress() {
  for (const [source, data] of [['cells', state.cells], ['districts', outlines()], ['district-tops', tops()], ['focus', focus()]]) map.getSource(source)?.setData(data);
  if (map.getLayer('cells')) map.setPaintProperty('cells', 'fill-color', hexColour(state.theme, state.breaks));
  mark();
}
const loaded = () => map?.getSource('cells');

$('theme').onclick = () => {
  state.theme = state.theme === 'dark' ? 'light' : 'dark';
  localStorage.setItem('theme', state.theme);
  document.documentElement.dataset.theme = state.theme;
  if (!map) return;
  map.setStyle(style(), { diff: false });
};

// --- a layer -------------------------------------------------------------------------------------------------------------------------

async function show() {
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

// --- what it says --------------------------------------------------------------------------------------------------------------------

const decimal = (n, digits) => n.toLocaleString(language, { minimumFractionDigits: digits, maximumFractionDigits: digits });
const written = v => FIXED[state.layer] ? (state.layer === 'rating' ? decimal(v, 1) : percent(v)) : count(v);

function legend() {
  $('legend-title').textContent = TITLES[state.layer];
  const hidden = state.layer in DEMAND ? `<p class="unshown"><i></i>${t('not shown: fewer than 20 people, or too few to tell')}</p>` : '';
  $('swatches').innerHTML = state.breaks.map((least, i) => `<div class="sw"><i class="c${i}"></i>${i || !FIXED[state.layer] || state.layer === 'rating' ? written(least) : '&gt;0'}${i === 6 ? '+' : ''}</div>`).join('') + hidden;
}

function dated(period) {
  if (!period.includes('W')) return new Date(`${period}-15T12:00Z`).toLocaleDateString(language, { month: 'long', year: 'numeric' });
  const [year, week] = period.split('-W').map(Number), fourth = new Date(Date.UTC(year, 0, 4));
  const monday = new Date(fourth.getTime() + 864e5 * (7 * (week - 1) - (fourth.getUTCDay() + 6) % 7));
  return t('Week of {day}', { day: monday.toLocaleDateString(language, { day: 'numeric', month: 'short', timeZone: 'UTC' }) });
}

function figures() {
  const shown = state.cells.features.filter(f => !f.properties.hidden && f.properties.shown > 0), hidden = state.cells.features.filter(f => f.properties.hidden);
  if (state.layer in DEMAND && state.about?.terms) {
    const period = state.periods[state.period], year = state.city.spent.find(one => one.year === Number(period.slice(0, 4))), margin = shown.length ? Math.round(1.96 * 1.414 * state.about.terms.scale * Math.sqrt(shown.length)) : 0;
    const total = state.layer === 'returns' ? null : shown.reduce((sum, f) => sum + f.properties.shown, 0);
    $('when').textContent = dated(period);
    $('whensub').textContent = total === null ? t('{count} cells', { count: shown.length }) : t('{count} ± {margin} people', { count: count(total), margin: count(margin) });
    $('period').setAttribute('aria-valuetext', `${dated(period)}, ${$('whensub').textContent}`);
    $('kpis').innerHTML = `<div><dt>${DEMAND[state.layer] === 'week' ? t('People this week') : t('People this month')}</dt><dd>${total === null ? '–' : count(total)}<small>${total === null ? '' : t('± {margin}, counted per cell', { margin: count(margin) })}</small></dd></div>`
      + `<div><dt>${t('Cells shown')}</dt><dd>${shown.length}<small>${t('{count} areas not shown', { count: hidden.length })}</small></dd></div><div><dt>${t('Privacy spent {year}', { year: year?.year ?? '' })}</dt><dd>ε ${year ? count(year.epsilon) : '–'}<small>${t('of {limit} a year', { limit: year?.limit ?? '–' })}</small></dd></div>`;
    timeBars();
  } else {
    const sum = name => shown.reduce((total, f) => total + (f.properties[name] ?? 0), 0);
    $('kpis').innerHTML = state.about?.features ? `<div><dt>${t('Stores in view')}</dt><dd>${count(sum('stores'))}<small>${t('live and exact')}</small></dd></div><div><dt>${t('Offers')}</dt><dd>${count(sum('offers'))}<small>${t('that hold now')}</small></dd></div><div><dt>${t('Cells')}</dt><dd>${count(shown.length)}<small>${t('resolution {resolution}', state.about)}</small></dd></div>` : '';
  }
}

function timeBars() {
  const own = state.releases.filter(one => one.product === state.layer), width = 240 / Math.max(own.length, 1), most = Math.max(...own.map(one => one.total), 1);
  $('bars').setAttribute('viewBox', '0 0 240 44');
  $('bars').innerHTML = own.map((one, i) => { const h = 2 + one.total / most * 40; return `<rect x="${(i * width + width * .08).toFixed(2)}" y="${(44 - h).toFixed(2)}" width="${(width * .84).toFixed(2)}" height="${h.toFixed(2)}" rx="1"${i === state.period ? ' class="on"' : ''}/>`; }).join('');
}

// --- one hexagon -------------------------------------------------------------------------------------------------------------------------

function focus() {
  const one = (feature, picked) => ({ type: 'Feature', properties: { picked }, geometry: (state.cells.features.find(f => f.properties.cell === feature.properties.cell) ?? feature).geometry });
  return { type: 'FeatureCollection', features: [...(state.hover ? [one(state.hover, false)] : []), ...(state.selected ? [one(state.selected, true)] : [])] };
}

function hover(feature, point) {
  const changed = state.hover?.properties.cell !== feature?.properties.cell;
  state.hover = feature;
  map.getCanvas().style.cursor = feature ? 'pointer' : '';
  if (changed) map.getSource('focus')?.setData(focus());
  if (feature) tip(feature.properties, point); else if (state.selected) tip(state.selected.properties, null); else $('tip').hidden = true;
}

function select(feature, point) {
  state.selected = feature;
  map.getSource('focus')?.setData(focus());
  if (feature) tip(feature.properties, point); else $('tip').hidden = true;
}

// What a cell holds, in a few words.
function stock(one) {
  return [
    t('{count} offers', { count: count(one.offers) }),
    one.rating_mean ? t('rating {mean} of {count}', { mean: decimal(one.rating_mean, 2), count: count(one.rating_count) }) : t('no rating'),
    ...(one.open_share === null || one.open_share === undefined ? [] : [t('{share} open', { share: percent(one.open_share) })]), ...(one.sample ? [t('sample')] : []),
  ];
}

function tip(p, point) {
  const one = state.cells.features.find(f => f.properties.cell === p.cell)?.properties ?? p;
  let words;
  if (one.hidden) words = `<b>${t('Not shown')}</b><div class="m">${t('fewer than 20 people, or too few to tell from the noise that protects them')}</div>`;
  else if (state.layer === 'returns') words = `<b class="num">${percent(one.shown)}</b> <span class="m">${t('came on two days or more')}</span><div class="m">${t('between {low} and {high}, with 95 %', { low: percent(one.low), high: percent(one.high) })}</div>`;
  else if (state.layer in DEMAND) words = `<b class="num">${count(one.shown || 0)}</b> <span class="m">${t('people')}</span><div class="m">${t('between {low} and {high}, with 95 %', { low: count(one.low), high: count(one.high) })}</div>`;
  else words = `<b class="num">${count(one.stores)}</b> <span class="m">${t('stores')}</span><div class="m">${stock(one).join(', ')}</div>`;
  const box = $('tip');
  box.innerHTML = `${words}<div class="m">${t('cell {cell}', { cell: esc(one.cell) })}</div>`;
  box.dataset.cell = one.cell;
  box.hidden = false;
  if (!point) return;
  box.style.left = `${Math.min(point.x + 16, $('map').clientWidth - box.offsetWidth - 8)}px`;
  box.style.top = `${Math.max(8, point.y - box.offsetHeight - 14)}px`;
}

// --- districts -----------------------------------------------------------------------------------------------------------------------

async function loadDistricts([west, south, east, north]) {
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

const outlines = () => ({ type: 'FeatureCollection', features: state.shown.map(one => ({ type: 'Feature', properties: { id: one.id, name: one.name, area_m2: one.area_m2 }, geometry: one.area })) });
const tops = () => ({ type: 'FeatureCollection', features: state.shown.map(one => ({ type: 'Feature', properties: { name: one.name, area_m2: one.area_m2 }, geometry: { type: 'Point', coordinates: [(one.bbox[0] + one.bbox[2]) / 2, one.bbox[3]] } })) });
const mark = () => state.shown.forEach(one => map.setFeatureState({ source: 'districts', id: one.id }, { pick: state.picked.indexOf(one.id) }));

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

async function pick(id, beside = false) {
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

// --- downloads -----------------------------------------------------------------------------------------------------------------------

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

function save(blob, name) {
  const link = Object.assign(document.createElement('a'), { href: URL.createObjectURL(blob), download: name });
  link.click();
  URL.revokeObjectURL(link.href);
}

if (takeKey()) start(); else signIn();
