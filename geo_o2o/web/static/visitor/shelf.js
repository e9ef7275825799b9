// What the reader keeps: visits with their receipts, and saved places. All of it lives in this browser alone.
import { $, element, save } from '../dom.js';
import { all, get, put, remove } from '../kept.js';
import { locale, t } from '../words.js';
import { call } from '../device.js';
import { notice } from './page.js';
import { fetchReceipt, fileName, LEVELS, send } from './visit.js';

const CONFIRMED = 3;
const moment = at => new Intl.DateTimeFormat(locale, { dateStyle: 'medium', timeStyle: 'short' }).format(at);

export async function showShelf({ close }) {
  const back = element('button', { type: 'button', class: 'quiet' }, t('Back to the list'));
  back.onclick = close;
  let visits = [], saved = [];
  try {
    [visits, saved] = await Promise.all([all('visits'), all('saved')]);
  } catch { notice(t('This browser keeps nothing for this page, as in a private window.'), true); }
  visits.sort((a, b) => b.at - a.at);
  $('shelf').replaceChildren(
    element('p', { class: 'back' }, back),
    element('h2', {}, t('Your visits')), visits.length ? element('ul', { class: 'kept', id: 'visits' }, ...visits.map(visitLine)) : element('p', { class: 'hint' }, t('No visit is kept in this browser.')),
    element('h2', {}, t('Saved places')), saved.length ? element('ul', { class: 'kept', id: 'saved' }, ...saved.map(savedLine)) : element('p', { class: 'hint' }, t('No place is saved in this browser.')),
  );
}

function visitLine(visit) {
  const level = element('span', { class: 'hint' }), deeds = element('span', { class: 'deeds' });
  const line = element('li', { 'data-id': visit.id }, element('b', {}, element('bdi', {}, visit.name)), element('span', { class: 'hint' }, moment(visit.at)), level, deeds);
  const draw = one => {
    level.textContent = one.sent ? t('not answered yet') : one.state === 'voided' ? t('taken back by the store') : one.state === 'rejected' ? t('Not taken') : t('Level {level}: {name}', { level: one.level, name: LEVELS[one.level] });
    const gone = element('button', { type: 'button', class: 'quiet' }, t('Delete'));
    gone.onclick = async () => { if (confirm(t('Delete this visit and its receipt from this browser? The receipt cannot be had again without it.'))) { await remove('visits', one.id); line.remove(); } };
    const keep = element('button', { type: 'button', class: 'quiet' }, t('Save as a file'));
    keep.onclick = () => save(one.file, fileName(one.id));
    deeds.replaceChildren(...(one.file ? [keep] : []), gone);
  };
  draw(visit);
  renew(visit).then(draw, () => {});
  return line;
}

// As the service knows it now, with its receipt; as it was where nobody answers.
async function renew(visit) {
  if (visit.sent) return get('visits', (await send(visit)).id);
  const now = await (await call('GET', `/v1/check-ins/${visit.id}`)).json();
  if (now.state === 'voided' || now.state === 'rejected') return put('visits', { ...visit, level: now.level, state: now.state });
  if (visit.file && visit.receipt === now.receipt_id) return visit;
  if (!visit.file && now.level < CONFIRMED && Date.now() < now.expires_ms) return visit;
  await fetchReceipt(visit.id);
  return get('visits', visit.id);
}

function savedLine(one) {
  const gone = element('button', { type: 'button', class: 'quiet' }, t('Delete'));
  const line = element('li', {}, element('a', { href: one.href }, element('bdi', {}, one.title || one.name)), ...(one.title ? [element('span', { class: 'hint' }, element('bdi', {}, one.name))] : []), element('span', { class: 'deeds' }, gone));
  gone.onclick = async () => { await remove('saved', one.id); line.remove(); };
  return line;
}

// --- save and share on a place's own page ------------------------------------------------------------------------------------------------

export async function saveButton(button, place) {
  const show = on => { button.setAttribute('aria-pressed', String(on)); button.lastElementChild.textContent = on ? t('Saved') : t('Save'); };
  try {
    show(Boolean(await get('saved', place.id)));
  } catch { button.hidden = true; return; }
  button.onclick = async () => {
    const on = button.getAttribute('aria-pressed') !== 'true';
    if (on) await put('saved', place); else await remove('saved', place.id);
    show(on);
  };
}

// The address without where the reader is.
export function shareButton(button, place) {
  button.onclick = async () => {
    const url = location.origin + place.href;
    try {
      if (navigator.share) await navigator.share({ title: place.title || place.name, url });
      else { await navigator.clipboard.writeText(url); notice(t('The address is copied.')); }
    } catch (failure) { if (failure.name !== 'AbortError') notice(url); }
  };
}
