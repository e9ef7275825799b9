// What a draft would change, place by place: the new order, and from where each hit came.
import { locale, t } from '../words.js';
import { $, count, element, frame, line } from './page.js';

const metres = n => new Intl.NumberFormat(locale, { style: 'unit', unit: 'meter' }).format(n);
const some = n => n.toLocaleString(locale, { maximumFractionDigits: 1 });

export function drawDifferences(found, places, { against, onRemove }) {
  const opened = new Set([...$('differences').querySelectorAll('details[open]')].map(one => one.dataset.at));
  const first = !$('differences').children.length;
  const hits = found.items.reduce((all, one) => all + one.hits.filter(hit => hit.after).length, 0), kept = found.items.reduce((all, one) => all + one.kept, 0);
  const moved = found.items.reduce((all, one) => all + one.moved * one.kept, 0) / (kept || 1);
  $('summary').textContent = !hits ? t('Nothing is near these places.') : t('Against {name}: of {count} hits {kept} were there before, and each of these moves by {moved} places on average.', { name: against, count: count(hits), kept: count(kept), moved: some(moved) });
  $('differences').replaceChildren(...found.items.map((one, at) => {
    const gone = one.hits.filter(hit => !hit.after).length;
    const words = one.hits.length ? t('{gone} leave, the others move by {moved}', { gone: count(gone), moved: some(one.moved) }) : t('nothing is near');
    const remove = element('button', { type: 'button', class: 'quiet' }, t('Leave this place out'));
    remove.onclick = () => { remove.disabled = true; onRemove(places[at]); };
    const key = `${places[at].lat},${places[at].lng}`;
    return element('details', { class: 'place', 'data-at': key, open: (first ? at === 0 : opened.has(key)) && '' }, element('summary', {}, element('bdi', {}, places[at].name), element('span', { class: 'soft' }, words)), frame(places[at].name, table(one.hits)), element('div', { class: 'foot' }, remove));
  }));
}

function table(hits) {
  const heads = [[t('Place'), 'n'], [t('Before'), null], [t('Name'), null], [t('Away'), 'n'], [t('Points'), 'n']];
  const made = element('table', {}, element('thead', {}, element('tr', {}, ...heads.map(([text, kind]) => element('th', { scope: 'col', class: kind }, text)))));
  made.createTBody().append(...hits.map(hit => line([[hit.after ? count(hit.after) : '–', 'n'], [step(hit), 'step'], [name(hit), 'name'], [metres(hit.distance_m), 'n'], [count(hit.total), 'n']])));
  return made;
}

const name = hit => element('span', {}, element('bdi', {}, hit.name), hit.name === hit.store ? '' : element('span', { class: 'soft' }, ' · ', element('bdi', {}, hit.store)));

// Direction is always a sign and a number, never a colour alone.
function step({ before, after }) {
  if (!before) return element('span', { class: 'up new' }, t('new'));
  if (!after) return element('span', { class: 'down new' }, t('gone, was {before}', { before: count(before) }));
  const by = before - after;
  return element('span', { class: by > 0 ? 'up' : by < 0 ? 'down' : 'flat' }, by > 0 ? `▲ ${count(by)}` : by < 0 ? `▼ ${count(-by)}` : '=');
}
