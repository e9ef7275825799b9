// What this till has confirmed, kept before it is sent: none is lost with the network or the page, and none counts twice.
import { send } from '../api.js';
import { all, get, put, remove } from '../kept.js';
import { confirmation, isOurKey, now, till } from './till.js';

// A confirmation that is sent so much later says so of itself.
const LATE_MS = 60_000, KEEP_MS = 48 * 3_600_000;
// What no later try, and no other key, can change; anything else is tried again.
const FINAL = new Set(['checkin_expired', 'claim_mismatch', 'till_revoked', 'till_not_of_store', 'voided', 'ticket_used', 'malformed', 'invalid_input', 'clock_skew']);

// again: whether it was scanned before.
export async function confirmScan(scan) {
  const before = await get('queue', scan.checkIn);
  if (before && before.state !== 'failed') return { again: true };
  const at_ms = now(), late = !navigator.onLine;
  await put('queue', { id: scan.checkIn, claimHash: scan.claimHash, at_ms, late, till: till.id, text: await confirmation(scan.claimHash, at_ms, late), state: 'waiting', code: null });
  return { again: false };
}

export const queued = () => all('queue');

// Sends what waits, one page of this browser at a time. Throws what keeps the rest waiting: no network, a key that is not known.
export const flush = () => navigator.locks.request('geo_o2o.queue', async () => {
  let kept = null;
  for (const one of (await all('queue')).sort((a, b) => a.at_ms - b.at_ms)) {
    if (one.state !== 'waiting') {
      if (one.at_ms < now() - KEEP_MS) await remove('queue', one.id);
      continue;
    }
    try {
      await put('queue', await sent(one));
    } catch (failure) {
      // A single one that the service stumbles over keeps nobody else waiting.
      kept ??= failure;
      if (!(failure.status >= 500) && failure.status !== 429) break;
    }
  }
  if (kept) throw kept;
});

async function sent(one) {
  // By the till that saw the visitor, and by no other.
  if (!one.late && one.till === till.id && now() - one.at_ms > LATE_MS) one = await put('queue', { ...one, late: true, text: await confirmation(one.claimHash, one.at_ms, true) });
  try {
    await send('POST', `/v1/check-ins/${one.id}/confirmations`, { confirmation: one.text });
  } catch (failure) {
    // Already confirmed: ours of before, of which no answer came.
    if (failure.code !== 'already_confirmed') {
      // With the key of another store nothing is found, and that says nothing of the visitor.
      if (!FINAL.has(failure.code) && !(failure.status === 404 && await isOurKey())) throw failure;
      return { ...one, state: 'failed', code: failure.code };
    }
  }
  return { ...one, state: 'sent' };
}
