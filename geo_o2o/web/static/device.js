// This browser as a visitor's device: a P-256 key that never leaves it, and requests and claims that the key signs.
// Source: RFC 9449 (DPoP); docs/visits.md.
import { headers, Problem } from './api.js';
import { get, put } from './kept.js';
import { sha256, toBase64url, utf8 } from './verify/bytes.js';
import { canonical } from './verify/jws.js';

const CURVE = { name: 'ECDSA', namedCurve: 'P-256' }, HASH = { name: 'ECDSA', hash: 'SHA-256' };
const MOST_TRIES = 20, PAUSE_MS = 1_000;
// A nonce is good for two to four minutes.
const NONCE_MS = 100_000;
let nonce = '', heard = -Infinity, known = null;

// {key, jwk}; made at the first visit.
async function device() {
  known ??= await get('keys', 'device');
  if (!known) {
    const { privateKey, publicKey } = await crypto.subtle.generateKey(CURVE, false, ['sign', 'verify']);
    const { kty, crv, x, y } = await crypto.subtle.exportKey('jwk', publicKey);
    known = await put('keys', { key: privateKey, jwk: { kty, crv, x, y } }, 'device');
  }
  return known;
}

async function signed(typ, payload) {
  const { key, jwk } = await device();
  const text = [{ alg: 'ES256', jwk, typ }, payload].map(part => toBase64url(utf8(canonical(part)))).join('.');
  return `${text}.${toBase64url(new Uint8Array(await crypto.subtle.sign(HASH, key, utf8(text))))}`;
}

const chance = size => crypto.getRandomValues(new Uint8Array(size));
const wait = ms => new Promise(done => setTimeout(done, ms));

function hear(answer) {
  const said = answer.headers.get('DPoP-Nonce');
  if (said) { nonce = said; heard = performance.now(); }
}

// One request that this device signs; the answer. What was sent and not answered is sent again: with a key for it, it counts once.
export async function call(method, path, body, { key } = {}) {
  for (let left = MOST_TRIES; ; left--) {
    let answer;
    try {
      if (performance.now() - heard > NONCE_MS) hear(await fetch('/v1/devices/nonce', { headers: headers(), cache: 'no-store' }));
      const said = { htm: method, htu: location.origin + path, iat: Math.floor(Date.now() / 1000), jti: toBase64url(chance(16)), nonce };
      answer = await fetch(path, {
        method, cache: 'no-store', body: body === undefined ? undefined : JSON.stringify(body),
        headers: { ...headers(), DPoP: await signed('dpop+jwt', said), ...(body === undefined ? {} : { 'Content-Type': 'application/json' }), ...(key ? { 'Idempotency-Key': key } : {}) },
      });
    } catch (failure) {
      if (left <= 1) throw failure;
      await wait(PAUSE_MS);
      continue;
    }
    hear(answer);
    if (answer.ok) return answer;
    const problem = new Problem(answer.status, await answer.json().catch(() => null));
    const again = problem.code === 'use_nonce' || (answer.status === 503 && problem.code !== 'log_frozen') || problem.code === 'request_in_progress';
    if (!again || left <= 1) throw problem;
    if (problem.code !== 'use_nonce') await wait(PAUSE_MS * Number(answer.headers.get('Retry-After') ?? 1));
  }
}

export const enrol = async () => call('POST', '/v1/devices', { jwk: (await device()).jwk, platform: 'web' });

// The body of a check-in over a new challenge, and the key under which it counts once. fixes: as the API reads them.
export async function claim(storeId, fixes, code) {
  const challenge = await (await call('POST', '/v1/check-ins/challenge', { store_id: storeId })).json();
  const evidence = { fixes }, salt = chance(32);
  const hash = await sha256(new Uint8Array([...salt, ...utf8(canonical(evidence))]));
  const said = { jti: crypto.randomUUID(), ch: challenge.ch, bcn: challenge.beacon, st: storeId, iat: Date.now(), evh: toBase64url(hash), ...(code ? { code } : {}) };
  return { key: crypto.randomUUID(), body: { claim: await signed('xc-claim+jwt', said), evidence, evidence_salt: toBase64url(salt) } };
}
