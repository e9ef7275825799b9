// What this till has confirmed, kept before it is sent: none is lost with the network or the page, and none counts twice.
import { headers, Problem } from '../api.js';
import { parseScan } from '../codes.js';
import { all, get, put, remove } from '../kept.js';
import { confirmation, now } from './till.js';

// A confirmation that is sent so much later says so of itself.
const LATE_MS = 60_000, KEEP_MS = 48 * 3_600_000;
// What no later try can change; anything else is tried again.
const FINAL = new Set([400, 403, 404, 409, 410, 413, 422]);

// {checkIn, again}: again where it was scanned before. Null where the text is no visitor's code.
export async function confirmScan(text) {
  const scan = parseScan(text.trim());
  if (!scan) return null;
  const before = await get('queue', scan.checkIn);
  if (before && before.state !== 'failed') return { checkIn: scan.checkIn, again: true };
  const at_ms = now(), late = !navigator.onLine;
  await put('queue', { id: scan.checkIn, claimHash: scan.claimHash, at_ms, late, text: await confirmation(scan.claimHash, at_ms, late), state: 'waiting', code: null });
  return { checkIn: scan.checkIn, again: false };
}

export const queued = () => all('queue');

// Sends what waits, one page of this browser at a time. Throws what keeps the rest waiting: no network, a key that is not known.
export const flush = () => navigator.locks.request('geo_o2o.queue', async () => {
  for (const one of (await all('queue')).sort((a, b) => a.at_ms - b.at_ms)) {
    if (one.state === 'waiting') await put('queue', await sent(one));
    else if (one.at_ms < now() - KEEP_MS) await remove('queue', one.id);
  }
});

async function sent(one) {
  if (!one.late && now() - one.at_ms > LATE_MS) one = await put('queue', { ...one, late: true, text: await confirmation(one.claimHash, one.at_ms, true) });
  const answer = await fetch(`/v1/check-ins/${one.id}/confirmations`, { method: 'POST', headers: { ...headers(), 'Content-Type': 'application/json' }, body: JSON.stringify({ confirmation: one.text }) });
  if (answer.ok) return { ...one, state: 'sent' };
  const problem = new Problem(answer.status, await answer.json().catch(() => null));
  // Ours of before, of which no answer came.
  if (problem.code === 'already_confirmed') return { ...one, state: 'sent' };
  if (!FINAL.has(answer.status)) throw problem;
  return { ...one, state: 'failed', code: problem.code };
}
