// A check-in with this phone: what it proves, what is missing, and the receipt of it. The service judges; this page says it in plain words.
import { $, element, save } from '../dom.js';
import { Problem } from '../api.js';
import { drawCode, guestName, readCodes, TILL } from '../codes.js';
import { call, claim, enrol } from '../device.js';
import { get, put, remove } from '../kept.js';
import { t } from '../words.js';
import { fixes } from './here.js';

const POLL_MS = 2_500, RECEIPT_POLL_MS = 1_500, RECEIPT_PATIENCE_MS = 60_000;
export const LEVELS = [t('claimed'), t('located'), t('coded'), t('confirmed'), t('redeemed')];
const CONFIRMED = 3;
const SIX = /^\d{6}$/;

// What the rules have found, as one would say it to a visitor.
const REASONS = {
  accuracy_low: t('The phone is not sure enough where it is. Near a window or outside it knows better.'),
  p_in_low: t('By its position the phone is probably not in the store.'),
  R01: t('The phone itself says that its position is a faked one.'),
  R03: t('The visit before was too far away for the time between.'),
  R05: t('The positions are old, or the clocks of the phone disagree.'),
  R09: t('There were many visits within a short time.'),
  R10: t('The code was right, but the phone was elsewhere.'),
};
const OTHER_REASON = t('A rule against made-up visits speaks against this one.');

const PROBLEMS = {
  code_expired: t('This code is not of this moment. Scan the one that the till shows now.'),
  code_replayed: t('You have shown this code before. Wait for the next one, it comes within seconds.'),
  code_invalid: t('This is no code of this store’s till.'),
  till_not_of_store: t('This is the code of another store.'),
  till_revoked: t('This till was taken out of service. Ask the staff.'),
  clock_skew: t('The clock of this phone is wrong. Set it to the time of the network and try again.'),
  fix_stale: t('The phone gave an old position. Try again in a moment.'),
  accuracy_too_poor: t('The phone does not know where it is: its positions disagree or are far from sure. Step outside and try again.'),
  too_many_tries: t('Too many codes were tried. Wait ten minutes, or have staff scan yours.'),
  challenge_expired: t('It took too long. Try again.'),
  challenge_used: t('It took too long. Try again.'),
  store_closed_for_good: t('This store has closed for good.'),
  log_frozen: t('No visits are taken at the moment. Nothing is lost; try again later.'),
  device_revoked: t('The key of this browser was revoked, so its visits are not taken any more.'),
  1: t('Without a position there is no check-in: allow it in the browser’s settings for this page.'),
  2: t('The phone cannot find its position. Step outside and try again.'),
  3: t('The phone took too long to find its position. Step outside and try again.'),
};

// What is under way on the place that is open; whatever comes back later than that finds it ended.
let going = new AbortController(), polling = 0;

export function closeVisit() {
  going.abort();
  going = new AbortController();
  clearTimeout(polling);
  $('visit')?.replaceChildren();
}

// place: {store, name}.
export function startVisit(place) {
  const section = $('visit');
  closeVisit();
  section.hidden = false;
  const typed = element('input', { id: 'code', inputmode: 'numeric', autocomplete: 'one-time-code', maxlength: 160, 'aria-label': t('Code at the till') });
  const camera = element('button', { type: 'button', class: 'go', id: 'scan' }, t('Scan the code at the till'));
  const form = element('form', { class: 'typed' }, typed, element('button', { class: 'quiet', id: 'send-code' }, t('Send the code')));
  const plain = element('button', { type: 'button', class: 'quiet', id: 'plain' }, t('Check in without a code'));
  camera.onclick = () => scan(place);
  form.onsubmit = event => { event.preventDefault(); if (typed.value.trim()) checkIn(place, typed.value.trim()); };
  plain.onclick = () => checkIn(place, null);
  section.replaceChildren(
    element('h3', {}, t('Check in')), element('p', {}, t('This browser signs that you are here, with a key that never leaves it. Your position goes to this service, which erases it after 30 days.')),
    element('div', { class: 'deeds' }, camera, plain), element('details', {}, element('summary', {}, t('Type the code instead')), form),
  );
  camera.focus();
}

async function scan(place) {
  const video = element('video', { playsinline: '', muted: '' }), cancel = element('button', { type: 'button', class: 'quiet' }, t('Cancel'));
  video.muted = true;
  $('visit').replaceChildren(element('p', {}, t('Point the camera at the code on the till.')), video, cancel);
  cancel.onclick = () => startVisit(place);
  const { signal } = going;
  try {
    await readCodes(video, text => {
      if (!text.startsWith(TILL) && !SIX.test(text)) return false;
      checkIn(place, text);
      return true;
    }, signal);
  } catch {
    if (signal.aborted) return;
    startVisit(place);
    say(t('The camera cannot be used. Type the code, or check in without one.'));
    $('visit').querySelector('details').open = true;
  }
}

const say = (text, lang) => $('visit').append(element('p', { class: 'notice warn', role: 'alert', ...(lang ? { lang } : {}) }, text));

async function checkIn(place, code) {
  closeVisit();
  const { signal } = going;
  const step = element('p', { class: 'step', role: 'status' }, t('Finding the position…'));
  $('visit').replaceChildren(step);
  try {
    const found = await fixes();
    signal.throwIfAborted();
    step.textContent = t('Signing…');
    await enrol();
    const { key, body } = await claim(place.store, found, code);
    signal.throwIfAborted();
    step.textContent = t('Asking the service…');
    // Kept before it is sent: where no answer comes, it is sent again later, and counts once.
    const visit = await send(await put('visits', { id: `sent-${key}`, store: place.store, name: place.name, at: Date.now(), level: 0, state: 'sent', file: null, sent: { key, body } }));
    if (signal.aborted) return;
    show(place, visit);
    follow(place, visit);
  } catch (failure) {
    if (signal.aborted) return;
    startVisit(place);
    const known = PROBLEMS[failure.code];
    if (known) say(known); else if (failure instanceof TypeError) say(t('The service does not answer. Try again when you are online.')); else say(failure.message, 'en');
  }
}

// A claim that is kept until it is answered. Throws what the service says, and then it is kept no longer; or that it says nothing.
export async function send(row) {
  let visit;
  try {
    visit = await (await call('POST', '/v1/check-ins', row.sent.body, row.sent)).json();
  } catch (failure) {
    if (failure instanceof Problem && failure.status < 500 && failure.status !== 429) await remove('visits', row.id);
    throw failure;
  }
  await put('visits', { id: visit.id, store: row.store, name: row.name, at: row.at, level: visit.level, state: visit.state, file: null });
  await remove('visits', row.id);
  return visit;
}

function show(place, visit) {
  const steps = LEVELS.map((name, level) => element('li', { class: level <= visit.level && visit.state !== 'rejected' ? 'reached' : '', 'aria-current': level === visit.level ? 'step' : null }, name));
  const reasons = visit.reasons.map(code => element('li', {}, REASONS[code] ?? OTHER_REASON));
  const parts = [element('h3', { id: 'level' }, visit.state === 'rejected' ? t('Not taken') : t('Level {level}: {name}', { level: visit.level, name: LEVELS[visit.level] })), element('ol', { class: 'ladder' }, ...steps)];
  if (reasons.length) parts.push(element('p', {}, t('What keeps it there:')), element('ul', {}, ...reasons));
  if (visit.level < CONFIRMED && visit.state !== 'rejected' && visit.state !== 'voided' && visit.scan) {
    parts.push(element('p', {}, t('For the next level let staff scan this code. You are guest {guest}.', { guest: guestName(visit.id) })), drawCode(visit.scan, t('Code of your visit, for staff to scan')));
  }
  if (visit.state === 'voided') parts.push(element('p', { class: 'notice warn' }, t('The store has taken this visit back.')));
  parts.push(element('p', { id: 'receipt', role: 'status' }));
  $('visit').replaceChildren(...parts);
  $('visit').dataset.level = visit.level;
  $('visit').dataset.id = visit.id;
  if (visit.level < CONFIRMED) {
    const keep = element('button', { type: 'button', class: 'quiet', id: 'keep' }, t('Keep a receipt as it stands'));
    keep.onclick = () => { keep.remove(); keepReceipt(visit); };
    $('receipt').after(keep);
  }
}

// Until staff have scanned the code, or no longer can.
function follow(place, visit) {
  if (visit.level >= CONFIRMED) return void keepReceipt(visit);
  if (visit.state === 'voided' || visit.state === 'rejected' || Date.now() > visit.expires_ms) return;
  polling = setTimeout(async () => {
    let newer = visit;
    if (!document.hidden) {
      try {
        newer = await (await call('GET', `/v1/check-ins/${visit.id}`)).json();
      } catch { /* asked again in a moment */ }
    }
    if ($('visit')?.dataset.id !== visit.id) return;
    if (newer.level !== visit.level || newer.state !== visit.state) show(place, newer);
    follow(place, newer);
  }, POLL_MS);
}

async function keepReceipt(visit) {
  const line = $('receipt');
  if (line) line.textContent = t('Waiting for the receipt to stand in the public log…');
  try {
    const file = await fetchReceipt(visit.id);
    if (!line?.isConnected) return;
    const keep = element('button', { type: 'button', class: 'quiet', id: 'export' }, t('Save as a file'));
    keep.onclick = () => save(file, fileName(visit.id));
    line.replaceChildren(t('The receipt is kept in this browser.'), ' ', keep, ' ', element('a', { href: '/verify' }, t('Check it')));
    line.dataset.state = 'kept';
  } catch (failure) {
    if (line?.isConnected) line.textContent = failure.code === 'log_behind' ? t('The log is late. The receipt is safe; it comes with the next look at your visits.') : t('The receipt could not be fetched now. It comes with the next look at your visits.');
  }
}

export const fileName = id => `visit-${id.slice(0, 8)}.visit`;

// The .visit file of a visit as it stands, once the log shows it; kept beside the visit, unless that was deleted meanwhile. Throws.
export const fetchReceipt = id => navigator.locks.request(`geo_o2o.visit.${id}`, async () => {
  for (const until = performance.now() + RECEIPT_PATIENCE_MS; performance.now() < until;) {
    const { receipt_id: receipt } = await (await call('POST', `/v1/check-ins/${id}/receipts`, {})).json();
    const answer = await call('GET', `/v1/receipts/${receipt}/visit`);
    if (answer.status === 200) {
      const file = await answer.blob(), now = await (await call('GET', `/v1/check-ins/${id}`)).json();
      // One that was replaced meanwhile is worth nothing.
      if (now.receipt_id === receipt) {
        const before = await get('visits', id);
        if (before) await put('visits', { ...before, level: now.level, state: now.state, file, receipt });
        return file;
      }
    }
    await new Promise(done => setTimeout(done, RECEIPT_POLL_MS));
  }
  throw new Error(t('The log is late. The receipt is safe; it comes with the next look at your visits.'));
});
