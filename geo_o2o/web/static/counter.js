// The store's counter: a code that changes, guests who wait, and what this till has confirmed. The code needs no network.
import { forgetKey, headers, json, keepKey, Problem, takeKey } from './api.js';
import { drawCode, guestName, readCodes } from './codes.js';
import { get, put, remove } from './kept.js';
import { themeButton } from './theme.js';
import { locale, t } from './words.js';
import { confirmScan, flush, queued } from './counter/queue.js';
import { codeOf, digitsNow, enrolTill, forgetTill, hearClock, loadTill, now, revokedAt, stepNow, STEP_S, till } from './counter/till.js';

const $ = id => document.getElementById(id);
const POLL_MS = 3_000, CHECK_TILL_MS = 60_000, MOST_PAGES = 20;
const CONFIRMED = 3, REDEEMED = 4;
const FAILED = {
  checkin_expired: t('Code was old'), already_confirmed: t('Confirmed by another till'), voided: t('Taken back'), till_revoked: t('Till is revoked'), till_not_of_store: t('Till is of another store'),
  not_found: t('Not of this store'), no_such_check_in: t('Not of this store'), claim_mismatch: t('Code was changed'), clock_skew: t('Clock of this till is wrong'), ticket_used: t('Ticket was used'),
};
const METHODS = { geo: t('position'), till: t("the till's code"), totp: t('six digits') };
let visits = new Map(), stop = null, problem = null;

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

// --- sign in -----------------------------------------------------------------------------------------------------------------------------

// The key stays in this browser until somebody signs out: a till is switched on in the morning, and nobody types a key then.
async function account() {
  const key = takeKey() ?? await get('keys', 'account');
  if (key) { keepKey(key); await put('keys', key, 'account'); }
  return key;
}

function signIn(why = '') {
  $('signin').hidden = false;
  $('signin-why').textContent = why;
}

$('signin').onsubmit = async event => {
  event.preventDefault();
  keepKey($('key').value.trim());
  await put('keys', $('key').value.trim(), 'account');
  $('key').value = '';
  start();
};
$('signout').onclick = async () => {
  forgetKey();
  await remove('keys', 'account');
  location.reload();
};

async function start() {
  $('signin').hidden = true;
  if (!crypto.subtle) return signIn(t('This browser signs on pages with https, or on this very machine, only.'));
  if (!await account()) return signIn();
  await loadTill();
  if (till?.enrolled) return open();
  let stores;
  try {
    ({ items: stores } = await json('/v1/stores', { limit: 1_000 }));
  } catch (failure) {
    if (failure.status !== 401 && failure.status !== 403) return signIn(failure instanceof TypeError ? t('No connection: the first time a till needs one.') : failure.message);
    forgetKey();
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

const dayOf = at => new Intl.DateTimeFormat('en-CA', { dateStyle: 'short', timeZone: till.store.zone }).format(at);

async function read() {
  const today = dayOf(now());
  let cursor;
  for (let page = 0; page < MOST_PAGES; page++) {
    const { items, next } = await json('/v1/check-ins', { store_id: till.store.id, limit: 100, cursor });
    const known = items.some(one => same(visits.get(one.id), one));
    for (const one of items) visits.set(one.id, one);
    // Older pages were read when they were new; what changed among them was changed here.
    if (!next || known || dayOf(new Date(items.at(-1).checked_in_at)) !== today) break;
    cursor = next;
  }
  for (const [id, one] of visits) if (dayOf(new Date(one.checked_in_at)) !== today) visits.delete(id);
}
const same = (a, b) => a && a.level === b.level && a.state === b.state && a.level >= CONFIRMED;

const isWaiting = (one, mine) => one.level < CONFIRMED && !['voided', 'rejected'].includes(one.state) && one.expires_ms > now() && !['waiting', 'sent'].includes(mine.get(one.id)?.state);

async function draw() {
  const mine = new Map((await queued()).map(one => [one.id, one])), today = [...visits.values()].sort((a, b) => b.checked_in_at.localeCompare(a.checked_in_at));
  const waiting = today.filter(one => isWaiting(one, mine)), unsent = [...mine.values()].filter(one => one.state === 'waiting');
  const known = new Set(today.map(one => one.id));
  $('online').className = problem || !navigator.onLine ? 'off' : 'on';
  $('online').textContent = problem || !navigator.onLine ? t('Offline: codes and confirmations go on') : t('Online');
  $('n-waiting').textContent = waiting.length;
  $('n-confirmed').textContent = today.filter(one => one.level >= CONFIRMED && one.state !== 'voided').length;
  $('n-unsent').textContent = unsent.length;
  const fresh = waiting.map(guestLine);
  replaceLines($('waiting'), fresh, waiting.map(one => `${one.id}${one.level}`).join());
  $('nobody').hidden = waiting.length > 0;
  const lines = [
    ...[...mine.values()].filter(one => !known.has(one.id) && one.state !== 'sent').map(one => [one.at_ms, one.id, wordOf(null, one)]),
    ...today.filter(one => !waiting.includes(one)).map(one => [Date.parse(one.checked_in_at), one.id, wordOf(one, mine.get(one.id))]),
  ].sort((a, b) => b[0] - a[0]);
  replaceLines($('earlier'), lines.map(earlierLine), lines.map(one => one.join()).join());
}

// Only where something has changed: a finger on a button must not miss it, nor a reader of the screen be interrupted.
function replaceLines(list, lines, said) {
  if (list.dataset.said === said) return;
  list.dataset.said = said;
  const focused = document.activeElement?.closest('li')?.dataset.id;
  list.replaceChildren(...lines);
  if (focused) list.querySelector(`[data-id="${focused}"] button`)?.focus();
}

function guestLine(one) {
  const shown = one.methods.map(name => METHODS[name] ?? name).join(', ') || t('nothing shown yet');
  const away = new Intl.NumberFormat(locale, { style: 'unit', unit: 'meter' }).format(Math.round(one.distance_mm / 1000));
  const refuse = element('button', { type: 'button', class: 'no', 'aria-label': t('Refuse guest {guest}', { guest: guestName(one.id) }) }, t('Refuse'));
  const yes = element('button', { type: 'button', class: 'yes', 'aria-label': t('Confirm guest {guest}', { guest: guestName(one.id) }) }, t('Confirm'));
  yes.onclick = () => scan(one);
  refuse.onclick = () => refuseGuest(one, refuse);
  return element('li', { 'data-id': one.id }, element('span', { class: 'who' }, element('b', {}, t('Guest {guest}', { guest: guestName(one.id) })), element('span', {}, `${shown} · ${time(one.checked_in_at)} · ${t('{distance} away', { distance: away })}`)), refuse, yes);
}

const time = at => new Intl.DateTimeFormat(locale, { timeStyle: 'short', timeZone: till.store.zone }).format(new Date(at));

function wordOf(one, mine) {
  if (mine?.state === 'waiting') return ['wait', t('Waits to be sent')];
  if (mine?.state === 'failed' && (!one || one.level < CONFIRMED)) return ['bad', FAILED[mine.code] ?? t('Not taken')];
  if (one.state === 'voided') return ['bad', t('Refused')];
  if (one.state === 'rejected') return ['bad', t('Rules said no')];
  if (one.level >= REDEEMED) return ['good', t('Redeemed')];
  return one.level >= CONFIRMED || mine?.state === 'sent' ? ['good', t('Confirmed')] : ['', t('Not confirmed')];
}

const earlierLine = ([at, id, [kind, word]]) => element('li', { 'data-id': id }, element('span', { class: 'at' }, time(at)), element('b', {}, t('Guest {guest}', { guest: guestName(id) })), element('span', { class: `word ${kind}` }, word));

// --- what staff do -----------------------------------------------------------------------------------------------------------------------

const say = (text, kind = '') => { $('said').textContent = text; $('said').className = kind; };

// A till signs what the visitor shows, and not what the service says: so whoever waits is confirmed by a scan.
async function scan(guest = null) {
  $('scan-whom').textContent = guest ? t('Scan the code that guest {guest} shows.', { guest: guestName(guest.id) }) : t('Scan the code that the visitor shows.');
  $('scanner').showModal();
  $('scan-why').textContent = '';
  $('handheld').value = '';
  try {
    stop = await readCodes($('video'), text => { const good = text.startsWith('XCV1:'); if (good) taken(text); return good; });
    if (!$('scanner').open) stop();
  } catch {
    // Who has typed meanwhile reads what became of that.
    $('scan-why').textContent ||= t('The camera cannot be used here. A hand-held scanner types the code below.');
    $('handheld').focus();
  }
}
$('scan').onclick = () => scan();
$('scanner').onclose = () => { stop?.(); stop = null; };
$('scan-close').onclick = () => $('scanner').close();
$('by-hand').onsubmit = event => { event.preventDefault(); taken($('handheld').value); };

async function taken(text) {
  const found = await confirmScan(text);
  if (!found) { $('scan-why').textContent = t('This is no visitor’s code.'); return; }
  $('scanner').close();
  const guest = guestName(found.checkIn);
  if (found.again) return say(t('Guest {guest} was scanned before.', { guest }), 'bad');
  await draw();
  // A look that is under way has perhaps not seen it.
  await looking;
  await look();
  const mine = (await queued()).find(one => one.id === found.checkIn);
  if (mine?.state === 'sent') say(t('Guest {guest} is confirmed.', { guest }), 'good');
  else if (mine?.state === 'failed') say(`${t('Guest {guest}', { guest })}: ${FAILED[mine.code] ?? t('Not taken')}`, 'bad');
  else say(t('Guest {guest} is kept, and sent when there is a connection.', { guest }), 'wait');
}

async function refuseGuest(one, button) {
  if (!button.dataset.sure) {
    button.dataset.sure = 'yes';
    button.textContent = t('Refuse for good?');
    return;
  }
  button.disabled = true;
  try {
    const answer = await fetch(`/v1/check-ins/${one.id}/void`, { method: 'POST', headers: { ...headers(), 'Content-Type': 'application/json' }, body: JSON.stringify({ reason: 'refused at the counter' }) });
    if (!answer.ok) throw new Problem(answer.status, await answer.json().catch(() => null));
    visits.set(one.id, await answer.json());
    say(t('Guest {guest} is refused.', { guest: guestName(one.id) }));
  } catch (failure) {
    button.disabled = false;
    say(failure instanceof TypeError ? t('No connection: a refusal needs one.') : failure.message, 'bad');
  }
  await draw();
}

themeButton($('theme'));
navigator.serviceWorker?.register('/static/offline.js', { scope: '/' }).catch(() => {});
start();
