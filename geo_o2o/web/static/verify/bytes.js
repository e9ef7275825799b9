// Bytes, and text in the one way that it may be written. The browser's own cryptography does the sums.
export class Refused extends Error {}

export const utf8 = text => new TextEncoder().encode(text);
export const sha256 = async data => new Uint8Array(await crypto.subtle.digest('SHA-256', data));
export const same = (a, b) => a.length === b.length && a.every((byte, i) => byte === b[i]);
export const hex = data => [...data].map(byte => byte.toString(16).padStart(2, '0')).join('');

export function join(...parts) {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) { whole.set(part, at); at += part.length; }
  return whole;
}

// UTF-8 and nothing else; null where it is not.
export function read(data) {
  try { return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(data); } catch { return null; }
}

// As the other verifier shows what it found.
export function shown(text) {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  const plain = text.replace(/\\/g, '\\\\').replace(/\n/g, '\\n').replace(/\r/g, '\\r').replace(/\t/g, '\\t').replaceAll(quote, `\\${quote}`)
    .replace(/[\x00-\x1f\x7f]/g, letter => `\\x${letter.charCodeAt(0).toString(16).padStart(2, '0')}`);
  return quote + plain + quote;
}
// The first letters of a text: letters, not halves of them.
export const first = (text, count) => [...text.slice(0, 2 * count)].slice(0, count).join('');
export const length = text => [...text].length;

export function toBase64(data) {
  let text = '';
  for (let at = 0; at < data.length; at += 0x8000) text += String.fromCharCode(...data.subarray(at, at + 0x8000));
  return btoa(text);
}

function decoded(text) {
  try { return Uint8Array.from(atob(text), letter => letter.charCodeAt(0)); } catch { return null; }
}

// RFC 4648, section 4: a text that would be written otherwise is refused.
export function fromBase64(text) {
  const data = decoded(text);
  if (data === null || toBase64(data) !== text) throw new Refused(`expected base64, found ${shown(first(text, 60))}`);
  return data;
}

export const toBase64url = data => toBase64(data).replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '');

export function fromBase64url(text) {
  const data = /^[A-Za-z0-9_-]*$/.test(text) ? decoded(text.replaceAll('-', '+').replaceAll('_', '/')) : null;
  if (data === null || toBase64url(data) !== text) throw new Refused(`expected base64url without padding, found ${shown(first(text, 60))}`);
  return data;
}

// Whether an Ed25519 key (32 bytes) signed these bytes.
export async function ed25519(key, signature, message) {
  try {
    const imported = await crypto.subtle.importKey('raw', key, { name: 'Ed25519' }, false, ['verify']);
    return await crypto.subtle.verify('Ed25519', imported, signature, message);
  } catch (failure) {
    if (failure.name === 'NotSupportedError') throw failure;
    return false;
  }
}
