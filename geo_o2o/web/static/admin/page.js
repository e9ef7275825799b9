// What the sections share: trouble, tables, moments, and buttons that ask twice.
import { $, element } from '../dom.js';
import { locale, t } from '../words.js';

export { $, element };

export function trouble(failure) {
  $('trouble').hidden = !failure;
  if (!failure) return;
  const offline = failure instanceof TypeError;
  $('trouble').textContent = offline ? t('The service does not answer.') : failure.message;
  if (offline) $('trouble').removeAttribute('lang'); else $('trouble').lang = 'en';
}

export const count = n => n.toLocaleString(locale);
export const day = at => new Intl.DateTimeFormat(locale, { dateStyle: 'medium' }).format(new Date(at));
const relative = new Intl.RelativeTimeFormat(locale, { numeric: 'auto' });
const UNITS = [['day', 86_400], ['hour', 3_600], ['minute', 60], ['second', 1]];
// How long ago, with the whole moment for whoever points at it.
export function ago(at, now = Date.now()) {
  const seconds = Math.min(0, Math.round((Date.parse(at) - now) / 1_000));
  const [unit, length] = UNITS.find(([, size]) => -seconds >= size) ?? UNITS.at(-1);
  return element('time', { datetime: at, title: new Intl.DateTimeFormat(locale, { dateStyle: 'medium', timeStyle: 'medium' }).format(new Date(at)) }, relative.format(Math.round(seconds / length), unit));
}
// Milliseconds as a person says them.
export const took = ms => ms < 1_000 ? new Intl.NumberFormat(locale, { style: 'unit', unit: 'millisecond' }).format(ms) : new Intl.NumberFormat(locale, { style: 'unit', unit: 'second', maximumFractionDigits: 1 }).format(ms / 1_000);

// A table may be wider than the page: it moves within its own frame, by keyboard too.
export const frame = (label, table) => element('div', { class: 'wide', role: 'region', tabindex: 0, 'aria-label': label }, table);

// One row of a table: the first cell is its head. A cell is [content, class].
export function line(cells, attributes = {}) {
  return element('tr', attributes, ...cells.map((cell, at) => {
    const [content, kind] = Array.isArray(cell) ? cell : [cell, null];
    return element(at ? 'td' : 'th', { class: kind, scope: at ? null : 'row' }, content ?? '');
  }));
}

// Rows take the place of others only where something is new, and what had the focus keeps it.
export function fill(list, lines, said) {
  if (list.dataset.said === said) return;
  list.dataset.said = said;
  const held = document.activeElement?.closest('[data-id]')?.dataset.id, name = document.activeElement?.dataset?.deed;
  const opened = new Set([...list.querySelectorAll('details[open]')].map(one => one.closest('[data-id]')?.dataset.id));
  list.replaceChildren(...lines);
  for (const one of list.querySelectorAll('details')) if (opened.has(one.closest('[data-id]')?.dataset.id)) one.open = true;
  if (held) list.querySelector(`[data-id="${CSS.escape(held)}"] [data-deed="${name}"]`)?.focus();
}

// Says how something ended, in a line of its own.
export function say(id, text, { bad = false, lang = null } = {}) {
  $(id).textContent = text;
  $(id).className = bad ? 'bad' : 'good';
  if (lang) $(id).lang = lang; else $(id).removeAttribute('lang');
}
export const sayTrouble = (id, failure) => failure instanceof TypeError ? say(id, t('The service does not answer.'), { bad: true }) : say(id, failure.message, { bad: true, lang: 'en' });

export const alarm = () => $('alarm').content.cloneNode(true);
