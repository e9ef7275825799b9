// Rank profiles: which one is in use, and what another one would change at a sample of places, before anybody is answered by it.
import { json, send } from '../api.js';
import { t } from '../words.js';
import { $, count, day, element, fill, say, sayTrouble } from './page.js';
import { drawDifferences } from './differences.js';
import { findPlaces, placeOf } from './sample.js';

const AFTER_MS = 250, MOST_PLACES = 20;
// Weight, its name, and how far its slider goes; whoever wants more types it.
const WEIGHTS = [
  ['distance_weight', t('Points at no distance'), 0, 1_000, 10], ['half_distance_m', t('Metres after which half of them are left'), 50, 5_000, 50],
  ['rating_weight', t('Points for five stars'), 0, 1_000, 10], ['text_weight', t('Points where every word is found'), 0, 1_000, 10],
  ['prior_count', t('Imagined ratings, against luck'), 1, 200, 1],
];
const state = { profiles: [], places: null, drawn: '' };

export async function drawRanking() {
  const { items } = await json('/v1/profiles');
  state.profiles = items;
  fill($('profiles'), items.map(profileLine), JSON.stringify(items));
  const base = $('base').value || items.find(one => one.in_use).name;
  $('base').replaceChildren(...items.map(one => element('option', { value: one.name }, one.name)));
  $('base').value = items.some(one => one.name === base) ? base : items[0].name;
  if (!$('weights').children.length) startFrom();
  if (!state.places) {
    state.places = await findPlaces();
    await preview();
  }
}

function profileLine(one) {
  const words = one.in_use ? [t('in use'), one.in_use_since ? t('since {day}', { day: day(one.in_use_since) }) : ''].filter(Boolean).join(' ') : one.built_in ? t('built in') : t('added {day}', { day: day(one.created_at) });
  const item = element('li', { class: one.in_use ? 'used' : null, 'data-id': one.name }, element('div', {}, element('b', {}, one.name), element('span', {}, words)));
  if (one.in_use) return item;
  const use = element('button', { type: 'button', class: 'quiet', 'data-deed': 'use' }, t('Put to use'));
  use.onclick = () => putToUse(one.name);
  item.append(use);
  return item;
}

async function putToUse(name) {
  try {
    await send('POST', `/v1/profiles/${encodeURIComponent(name)}/use`);
    await drawRanking();
    await preview();
    say('profile-said', t('{name} is in use.', { name }));
  } catch (failure) { sayTrouble('profile-said', failure); }
}

// --- the draft ----------------------------------------------------------------------------------------------------------------------------

function startFrom() {
  const from = state.profiles.find(one => one.name === $('base').value);
  $('weights').replaceChildren(...WEIGHTS.map(([name, label, low, high, step]) => {
    const number = element('input', { type: 'number', id: `w-${name}`, 'data-weight': name, min: low, max: 1_000_000, step: 1, required: '', value: from[name] });
    const slider = element('input', { type: 'range', min: low, max: Math.max(high, from[name]), step, value: from[name], 'aria-label': label });
    slider.oninput = () => { number.value = slider.value; later(); };
    number.oninput = () => { slider.value = number.value; later(); };
    return element('div', { class: 'weight' }, element('label', { for: number.id }, label), slider, number);
  }));
  $('means').replaceChildren(...Object.entries(from.prior_mean).map(([code, mean]) => {
    const number = element('input', { type: 'number', 'data-mean': code, min: 1, max: 5, step: 'any', required: '', value: mean });
    number.oninput = later;
    return element('label', { class: 'mean' }, code === 'default' ? t('everything else') : code, number);
  }));
  $('profile-name').value = nextName(from.name);
}

function nextName(name) {
  const [, stem, number] = /^(.+)-(\d+)$/.exec(name) ?? [null, name, '1'];
  for (let next = Number(number) + 1; ; next++) if (!state.profiles.some(one => one.name === `${stem}-${next}`)) return `${stem}-${next}`;
}

const draft = () => ({
  ...Object.fromEntries([...$('weights').querySelectorAll('[data-weight]')].map(one => [one.dataset.weight, one.valueAsNumber])),
  prior_mean: Object.fromEntries([...$('means').querySelectorAll('[data-mean]')].map(one => [one.dataset.mean, one.valueAsNumber])),
});

$('base').onchange = () => { startFrom(); later(); };
$('reset').onclick = () => { startFrom(); say('profile-said', ''); later(); };
$('draft').onsubmit = async event => {
  event.preventDefault();
  const name = $('profile-name').value.trim();
  try {
    await send('POST', '/v1/profiles', { ...draft(), name });
    if ($('use-it').checked) await send('POST', `/v1/profiles/${encodeURIComponent(name)}/use`);
    $('use-it').checked = false;
    await drawRanking();
    $('base').value = name;
    startFrom();
    await preview();
    say('profile-said', t('{name} is added.', { name }));
  } catch (failure) { sayTrouble('profile-said', failure); }
};

// --- the preview --------------------------------------------------------------------------------------------------------------------------

let waiting = 0, newest = 0;
function later() {
  clearTimeout(waiting);
  waiting = setTimeout(() => preview().catch(failure => sayTrouble('place-said', failure)), AFTER_MS);
}

async function preview() {
  const region = $('differences').parentElement, mine = ++newest;
  $('place-said').textContent = '';
  if (!state.places) return;
  // As they are now: whoever leaves one out meanwhile asks again.
  const places = [...state.places];
  if (!places.length) return void ($('summary').textContent = t('Nothing is here to be ranked yet. Bring something in, or name a place.'));
  if (![...$('draft').querySelectorAll('[data-weight],[data-mean]')].every(one => one.checkValidity())) return void ($('summary').textContent = t('A number is missing or out of range.'));
  region.setAttribute('aria-busy', 'true');
  try {
    const found = await send('POST', '/v1/profiles/preview', { profile: draft(), kind: $('kind').value, radius_m: Number($('radius').value), places: places.map(({ lat, lng }) => ({ lat, lng })) });
    // Whoever moves a slider on asks again before the first answer is here.
    if (mine === newest) drawDifferences(found, places, { against: found.against, onRemove: remove });
  } finally {
    if (mine === newest) region.setAttribute('aria-busy', 'false');
  }
}

function remove(place) {
  state.places = state.places.filter(one => one !== place);
  newest++;
  later();
}

$('kind').onchange = $('radius').onchange = later;
$('place-form').onsubmit = async event => {
  event.preventDefault();
  try {
    const found = await placeOf($('place-at').value.trim(), state.places?.[0]);
    if (!found) return void ($('place-said').textContent = t('No such place is known near the others. Latitude and longitude always do, as 60.169, 24.941.'));
    state.places ??= [];
    if (state.places.length >= MOST_PLACES) return void ($('place-said').textContent = t('{count} places at most.', { count: count(MOST_PLACES) }));
    state.places.unshift(found);
    $('place-at').value = '';
    await preview();
  } catch (failure) { sayTrouble('place-said', failure); }
};
