// This browser as a store's till: an Ed25519 key that never leaves it, the codes that it shows, and what it says of visitors.
// Source: docs/visits.md; RFC 6238 for the six digits.
import { headers, json, send } from '../api.js';
import { tillCode } from '../codes.js';
import { get, put, remove } from '../kept.js';
import { ed25519Thumbprint, canonical } from '../verify/jws.js';
import { join, sha256, toBase64url, utf8 } from '../verify/bytes.js';

export const STEP_S = 15;
const DIGITS_S = 30, LABEL = utf8('xc-till-code/v1\0'), VERSION = 1, MOST_DRIFT_MS = 2_000;
const BASE32 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';

// {key, id, jwk, store: {id, name, zone}, digits: how to make six digits, enrolled}; null where this browser is no till yet.
export let till = null;
// How far this device's clock stands from the service's, where that is worth a correction.
export let drift_ms = 0;
export const now = () => Date.now() + drift_ms;

export async function loadTill() {
  till = await get('keys', 'till') ?? null;
  drift_ms = await get('keys', 'drift') ?? 0;
  return till;
}

// The clock of the service, as an answer says it: codes live for seconds.
export async function hearClock() {
  const began = Date.now(), answer = await fetch('/health/live', { cache: 'no-store' }), said = Date.parse(answer.headers.get('Date') ?? '');
  if (Number.isNaN(said)) return;
  // The header has whole seconds, so the middle of its second is meant.
  const apart = said + 500 - (began + Date.now()) / 2;
  drift_ms = Math.abs(apart) > MOST_DRIFT_MS ? Math.round(apart) : 0;
  await put('keys', drift_ms, 'drift');
}

// The key is kept before anybody hears of it, so that none is enrolled and then lost.
export async function enrolTill(store, name) {
  if (!till) {
    const { privateKey, publicKey } = await crypto.subtle.generateKey({ name: 'Ed25519' }, false, ['sign', 'verify']);
    const raw = new Uint8Array(await crypto.subtle.exportKey('raw', publicKey));
    till = await put('keys', { key: privateKey, id: await ed25519Thumbprint(raw), jwk: { kty: 'OKP', crv: 'Ed25519', x: toBase64url(raw) }, store, digits: null, enrolled: false }, 'till');
  }
  let made = {};
  try {
    made = await send('POST', `/v1/stores/${store.id}/tills`, { jwk: till.jwk, name });
  } catch (failure) {
    if (failure.code !== 'till_enrolled_already') throw failure;
  }
  till = await put('keys', { ...till, store, digits: made.totp ? await digitsKey(made.totp) : null, enrolled: true }, 'till');
  return till;
}

export async function forgetTill() {
  await remove('keys', 'till');
  till = null;
}

// Whether the key that is in use now is one of this till's store.
export async function isOurKey() {
  const answer = await fetch(`/v1/stores/${till.store.id}`, { headers: headers() });
  return answer.ok;
}

// When the service no longer takes what this till signs; null while it does.
export async function revokedAt() {
  const { items } = await json(`/v1/stores/${till.store.id}/tills`);
  return items.find(one => one.till_id === till.id)?.revoked_at ?? null;
}

export const stepNow = () => Math.floor(now() / 1000 / STEP_S);

// What is shown in a quarter of a minute.
export async function codeOf(step) {
  const short = (await sha256(Uint8Array.from(till.store.id.replaceAll('-', '').match(/../g), part => parseInt(part, 16)))).slice(0, 4);
  const time = new Uint8Array(new Uint32Array([step]).buffer).reverse();
  const said = join(Uint8Array.of(VERSION), short, time, crypto.getRandomValues(new Uint8Array(8)));
  return tillCode(join(said, new Uint8Array(await crypto.subtle.sign('Ed25519', till.key, join(LABEL, said)))));
}

// Six digits for who cannot scan; null where this till has none.
export async function digitsNow() {
  if (!till.digits) return null;
  const count = new DataView(new ArrayBuffer(8));
  count.setUint32(4, Math.floor(now() / 1000 / DIGITS_S));
  const mac = new Uint8Array(await crypto.subtle.sign('HMAC', till.digits, count.buffer)), at = mac.at(-1) & 15;
  return String((new DataView(mac.buffer).getUint32(at) & 0x7fffffff) % 1_000_000).padStart(6, '0');
}

async function digitsKey(address) {
  const letters = new URL(address).searchParams.get('secret'), bytes = [];
  let bits = 0, size = 0;
  for (const letter of letters) {
    bits = (bits << 5) | BASE32.indexOf(letter);
    size += 5;
    if (size >= 8) { size -= 8; bytes.push((bits >> size) & 255); bits &= (1 << size) - 1; }
  }
  return crypto.subtle.importKey('raw', new Uint8Array(bytes), { name: 'HMAC', hash: 'SHA-256' }, false, ['sign']);
}

// That this till saw whoever showed a claim. at_ms: when. late: it is sent later.
export async function confirmation(claimHash, at_ms, late) {
  const header = { alg: 'Ed25519', kid: till.id, typ: 'xc-conf+jwt' };
  const said = { jti: crypto.randomUUID(), clh: toBase64url(claimHash), st: till.store.id, till: till.id, iat: at_ms, ...(late ? { late: true } : {}) };
  const text = [header, said].map(part => toBase64url(utf8(canonical(part)))).join('.');
  return `${text}.${toBase64url(new Uint8Array(await crypto.subtle.sign('Ed25519', till.key, utf8(text))))}`;
}
