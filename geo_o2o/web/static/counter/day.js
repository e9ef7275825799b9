// What happened at this store today, as the service tells it.
import { json } from '../api.js';
import { now, till } from './till.js';

export const CONFIRMED = 3, REDEEMED = 4;
const MOST_PAGES = 20;
const visits = new Map();

export const note = one => visits.set(one.id, one);
// The newest first.
export const today = () => [...visits.values()].sort((a, b) => b.checked_in_at.localeCompare(a.checked_in_at));

const dayOf = at => new Intl.DateTimeFormat('en-CA', { dateStyle: 'short', timeZone: till.store.zone }).format(at);

export async function read() {
  const day = dayOf(now());
  let cursor;
  for (let page = 0; page < MOST_PAGES; page++) {
    const { items, next } = await json('/v1/check-ins', { store_id: till.store.id, limit: 100, cursor });
    const known = items.some(one => same(visits.get(one.id), one));
    for (const one of items) visits.set(one.id, one);
    // Older pages were read when they were new; what changed among them was changed here.
    if (!next || known || dayOf(new Date(items.at(-1).checked_in_at)) !== day) break;
    cursor = next;
  }
  for (const [id, one] of visits) if (dayOf(new Date(one.checked_in_at)) !== day) visits.delete(id);
}
const same = (a, b) => a && a.level === b.level && a.state === b.state && a.level >= CONFIRMED;
