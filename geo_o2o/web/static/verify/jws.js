// Signed JSON, read strictly. Source: RFC 7515, 7638, 8037, 9864, and 8785 of whole numbers.
import { ed25519, first, fromBase64url, read, Refused, sha256, shown, toBase64url, utf8 } from './bytes.js';

export const ED25519 = 'Ed25519', ES256 = 'ES256';
const MOST_LETTERS = 100_000, KEY_BYTES = 32, SIGNATURE_BYTES = 64, DEEPEST = 50;

// text as it was sent; header and payload; signed: the bytes that are signed.
export function parseJws(text, { typ, alg, members, most = MOST_LETTERS }) {
  if (text.length > most) throw new Refused(`the ${typ} is too long`);
  const parts = text.split('.');
  if (parts.length !== 3) throw new Refused(`a ${typ} has three parts with dots between`);
  const header = parseJson(fromBase64url(parts[0]));
  const expected = [...members, 'alg', 'typ'].sort(), found = Object.keys(header).sort();
  if (expected.join() !== found.join()) throw new Refused(`the header of a ${typ} has ${expected.join(', ')} and nothing else, found ${first(found.join(', '), 200)}`);
  if (header.typ !== typ || header.alg !== alg) throw new Refused(`expected a ${typ} signed by ${alg}, found typ ${shown(first(spelled(header.typ), 40))} and alg ${shown(first(spelled(header.alg), 40))}`);
  const raw = fromBase64url(parts[1]);
  const payload = parseJson(raw);
  if (canonical(payload) !== read(raw)) throw new Refused(`the content of the ${typ} is not in the one form that it may have (RFC 8785)`);
  return { text, header, payload, signed: utf8(`${parts[0]}.${parts[1]}`), signature: fromBase64url(parts[2]) };
}

export const digest = jws => sha256(utf8(jws.text));

export async function checkEd25519(jws, key) {
  if (jws.signature.length !== SIGNATURE_BYTES || !await ed25519(key, jws.signature, jws.signed)) throw new Refused(`the signature of the ${jws.header.typ} is wrong`);
}

export async function checkEs256(jws, jwk) {
  let right = false;
  try {
    const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
    const key = await crypto.subtle.importKey('jwk', { ...jwk }, algorithm, false, ['verify']);
    right = jws.signature.length === SIGNATURE_BYTES && await crypto.subtle.verify(algorithm, key, jws.signature, jws.signed);
  } catch { right = false; }
  if (!right) throw new Refused(`the signature of the ${jws.header.typ} is wrong`);
}

// A public P-256 key and nothing else.
export function p256Jwk(jwk) {
  if (!isObject(jwk) || Object.keys(jwk).sort().join() !== 'crv,kty,x,y' || jwk.kty !== 'EC' || jwk.crv !== 'P-256') throw new Refused('expected a public P-256 key with kty, crv, x and y');
  for (const name of ['x', 'y']) {
    const data = typeof jwk[name] === 'string' ? fromBase64url(jwk[name]) : [];
    if (data.length !== KEY_BYTES) throw new Refused(`the ${name} of a P-256 key has ${KEY_BYTES} bytes`);
  }
  return jwk;
}

export const thumbprint = async jwk => toBase64url(await sha256(utf8(canonical(jwk))));
export const ed25519Thumbprint = key => thumbprint({ crv: 'Ed25519', kty: 'OKP', x: toBase64url(key) });
export const isObject = value => typeof value === 'object' && value !== null && !Array.isArray(value);

// RFC 8785, of text, whole numbers, true, false, null, lists and objects with ASCII names.
export function canonical(value, depth = 0) {
  if (depth > DEEPEST) throw new Refused(`nothing is nested deeper than ${DEEPEST} here`);
  if (isObject(value)) {
    const names = Object.keys(value).sort();
    if (names.some(name => !/^[\x00-\x7f]*$/.test(name))) throw new Refused('names are ASCII here');
    return `{${names.map(name => `${JSON.stringify(name)}:${canonical(value[name], depth + 1)}`).join(',')}}`;
  }
  if (Array.isArray(value)) return `[${value.map(one => canonical(one, depth + 1)).join(',')}]`;
  if (typeof value === 'string' && !value.isWellFormed()) throw new Refused('half a character is no text');
  if (typeof value === 'number' && !Number.isSafeInteger(value)) throw new Refused(`numbers are whole here, and at most 2^53 - 1, found ${first(String(value), 40)}`);
  return JSON.stringify(value);
}

// An object without a name twice.
export function parseJson(data) {
  const text = read(data);
  let found;
  try {
    if (text === null) throw new SyntaxError('not UTF-8');
    found = JSON.parse(text);
    if (hasTwins(text)) throw new SyntaxError('an object has a name twice');
  } catch (failure) {
    throw new Refused(`expected JSON: ${first(failure.message, 100)}`);
  }
  if (!isObject(found)) throw new Refused('expected a JSON object');
  return found;
}

// Whether an object of a text that is JSON has a name twice; an object in memory can no longer tell.
function hasTwins(text) {
  const open = [];
  let name = null;
  for (const [token] of text.matchAll(/"(?:[^"\\]|\\.)*"|[{}[\],:]/gs)) {
    if (token === '{') open.push(new Set());
    else if (token === '[') open.push(null);
    else if (token === '}' || token === ']') open.pop();
    else if (token === ':') {
      const names = open.at(-1);
      if (names.has(name)) return true;
      names.add(name);
    } else if (token[0] === '"') name = JSON.parse(token);
  }
  return false;
}

// A value as the other verifier would write it into a sentence.
const spelled = value => value === true ? 'True' : value === false ? 'False' : value === null ? 'None' : typeof value === 'object' ? JSON.stringify(value) : String(value);
