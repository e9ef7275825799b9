// Where the reader is: asked once, with the reason; and what is done where the answer is no, or far from sure.
import { $ } from '../dom.js';
import { locale, t } from '../words.js';
import { notice } from './page.js';

const SLOT = 'geo_o2o.asked', POOR_M = 1_000, PATIENCE_MS = 15_000, MOVED_M = 150, GOOD_M = 100;
const MOST_FIXES = 3, COLLECT_MS = 2_500, MOST_ACCURACY_MM = 100_000_000;
const OPTIONS = { enableHighAccuracy: true, timeout: PATIENCE_MS, maximumAge: 30_000 };

const metres = m => new Intl.NumberFormat(locale, { style: 'unit', unit: m < 1_000 ? 'meter' : 'kilometer', maximumFractionDigits: m < 1_000 ? 0 : 1 }).format(m < 1_000 ? m : m / 1_000);
const fix = options => new Promise((done, failed) => navigator.geolocation.getCurrentPosition(done, failed, options));

// As the crow flies, for distances of a walk.
export const apart = (a, b) => 111_320 * Math.hypot((a.lng - b.lng) * Math.cos(a.lat * Math.PI / 180), a.lat - b.lat);

// The reader's position, {lat, lng, accuracy_m}; null where there is none to have, and then the page says why.
export async function whereAmI() {
  localStorage.setItem(SLOT, 'yes');
  try {
    const { coords } = await fix(OPTIONS);
    notice(coords.accuracy > POOR_M ? t('Your position is known to {radius} only. Move the map or type a place for a better list.', { radius: metres(coords.accuracy) }) : '', true);
    return { lat: coords.latitude, lng: coords.longitude, accuracy_m: coords.accuracy };
  } catch (failure) {
    notice(failure.code === 1 ? t('This page may not know where you are. Type a place, or move the map and choose “Search here”.') : t('Your position could not be found. Type a place, or move the map and choose “Search here”.'), true);
    return null;
  }
}

// Asks once in a browser's life, with the reason; where the answer was yes before, without asking.
export async function greet(found) {
  if (!navigator.geolocation) return;
  $('here').hidden = false;
  $('here').onclick = async () => { $('why').hidden = true; found(await whereAmI(), true); };
  const state = await navigator.permissions?.query({ name: 'geolocation' }).then(one => one.state, () => 'prompt');
  if (state === 'granted' && localStorage.getItem(SLOT) === 'yes') return found(await whereAmI());
  if (state === 'denied' || localStorage.getItem(SLOT)) return;
  $('why').hidden = false;
  $('why-yes').onclick = $('here').onclick;
  $('why-no').onclick = () => { localStorage.setItem(SLOT, 'no'); $('why').hidden = true; };
}

// Tells when the reader has walked away from where the list was made. A fix that jumps far within a moment is no walk.
let following = 0;
export function follow(from, moved) {
  let last = null;
  navigator.geolocation.clearWatch(following);
  following = navigator.geolocation.watchPosition(({ coords, timestamp }) => {
    const now = { lat: coords.latitude, lng: coords.longitude, at: timestamp };
    const jumped = last && apart(last, now) > 30 * Math.max(1, (now.at - last.at) / 1_000);
    last = now;
    if (!jumped && coords.accuracy <= GOOD_M && apart(from(), now) > MOVED_M) moved(now);
  }, () => {}, OPTIONS);
}

// One to three fixes within a few seconds, as a check-in takes them. A phone that lies still may tell its position once only.
// Throws what the browser says where there is none.
export function fixes() {
  return new Promise((done, failed) => {
    const found = [];
    const end = () => { clearTimeout(timer); navigator.geolocation.clearWatch(watch); done(found); };
    let timer = 0;
    const watch = navigator.geolocation.watchPosition(({ coords, timestamp }) => {
      found.push({
        lat_e7: Math.round(coords.latitude * 1e7), lng_e7: Math.round(coords.longitude * 1e7), acc_mm: Math.min(MOST_ACCURACY_MM, Math.round(coords.accuracy * 1000)), acc_kind: 'p95',
        t_ms: Math.round(timestamp), mono_ms: Math.round(performance.now()),
      });
      if (found.length === MOST_FIXES) end(); else timer ||= setTimeout(end, COLLECT_MS);
    }, failure => { if (!found.length) { navigator.geolocation.clearWatch(watch); failed(failure); } }, { enableHighAccuracy: true, timeout: PATIENCE_MS, maximumAge: 5_000 });
  });
}
