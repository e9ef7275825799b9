// Who waits, and what became of the others: the lists of the counter.
import { guestName } from '../codes.js';
import { $, askTwice, element } from '../dom.js';
import { locale, t } from '../words.js';
import { CONFIRMED, REDEEMED, today } from './day.js';
import { queued } from './queue.js';
import { now, till } from './till.js';

export const FAILED = {
  checkin_expired: t('Code was old'), voided: t('Taken back'), till_revoked: t('Till is revoked'), till_not_of_store: t('Till is of another store'),
  not_found: t('Not of this store'), no_such_check_in: t('Not of this store'), claim_mismatch: t('Code was changed'), clock_skew: t('Clock of this till is wrong'), ticket_used: t('Ticket was used'),
};
const METHODS = { geo: t('position'), till: t("the till's code"), totp: t('six digits') };

const isWaiting = (one, mine) => one.level < CONFIRMED && !['voided', 'rejected'].includes(one.state) && one.expires_ms > now() && !['waiting', 'sent'].includes(mine.get(one.id)?.state);

// problem: what keeps this till from the service, if anything does.
export async function drawGuests({ problem, onConfirm, onRefuse }) {
  const mine = new Map((await queued()).map(one => [one.id, one])), all = today();
  const waiting = all.filter(one => isWaiting(one, mine)), unsent = [...mine.values()].filter(one => one.state === 'waiting');
  const known = new Set(all.map(one => one.id));
  $('online').className = problem || !navigator.onLine ? 'off' : 'on';
  $('online').textContent = problem || !navigator.onLine ? t('Offline: codes and confirmations go on') : t('Online');
  $('n-waiting').textContent = waiting.length;
  $('n-confirmed').textContent = all.filter(one => one.level >= CONFIRMED && one.state !== 'voided').length;
  $('n-unsent').textContent = unsent.length;
  replaceLines($('waiting'), waiting.map(one => guestLine(one, { onConfirm, onRefuse })), waiting.map(one => `${one.id}${one.level}`).join());
  $('nobody').hidden = waiting.length > 0;
  const lines = [
    ...[...mine.values()].filter(one => !known.has(one.id) && one.state !== 'sent').map(one => [one.at_ms, one.id, wordOf(null, one)]),
    ...all.filter(one => !waiting.includes(one)).map(one => [Date.parse(one.checked_in_at), one.id, wordOf(one, mine.get(one.id))]),
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

function guestLine(one, { onConfirm, onRefuse }) {
  const shown = one.methods.map(name => METHODS[name] ?? name).join(', ') || t('nothing shown yet');
  const away = new Intl.NumberFormat(locale, { style: 'unit', unit: 'meter' }).format(Math.round(one.distance_mm / 1000));
  const refuse = element('button', { type: 'button', class: 'no', 'aria-label': t('Refuse guest {guest}', { guest: guestName(one.id) }) }, t('Refuse'));
  const yes = element('button', { type: 'button', class: 'yes', 'aria-label': t('Confirm guest {guest}', { guest: guestName(one.id) }) }, t('Confirm'));
  yes.onclick = () => onConfirm(one);
  askTwice(refuse, t('Refuse for good?'), () => onRefuse(one));
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
