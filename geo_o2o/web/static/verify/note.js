// Checkpoints of a log, signed by the log and by witnesses. Source: C2SP signed-note, tlog-checkpoint and tlog-cosignature (Ed25519).
import { ed25519, first, fromBase64, hex, join, Refused, sha256, shown, utf8 } from './bytes.js';
import { HASH_BYTES } from './merkle.js';

export const PLAIN = 1, COSIGNATURE = 4;
const MOST_LETTERS = 1_000_000, MOST_SIGNATURES = 100, ID_BYTES = 4, KEY_BYTES = 32, TIME_BYTES = 8, SIGNATURE_BYTES = 64;
const DASH = '\u2014 ', LATEST_S = 2n ** 63n - 1n;
const SPACE = /[\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]/;
const isName = name => name !== '' && !name.includes('+') && !SPACE.test(name);
// A text up to a mark and what comes behind it; null behind where there is no mark.
export const cut = (text, mark) => text.includes(mark) ? [text.slice(0, text.indexOf(mark)), text.slice(text.indexOf(mark) + mark.length)] : [text, null];

export async function parseVerifierKey(text) {
  const [name, rest] = cut(text, '+');
  const [id, key] = rest === null ? ['', null] : cut(rest, '+');
  if (key === null || !/^[0-9a-f]{8}$/.test(id)) throw new Refused(`a verifier key looks like name+0123abcd+base64, found ${shown(first(text, 80))}`);
  const material = fromBase64(key), kind = material[0] ?? 0, bytes = material.slice(1);
  if (!isName(name)) throw new Refused(`a key's name has neither spaces nor a plus, found ${shown(first(name, 60))}`);
  if (![PLAIN, COSIGNATURE].includes(kind) || bytes.length !== KEY_BYTES) throw new Refused(`expected an Ed25519 key of ${KEY_BYTES} bytes that signs notes (1) or cosigns checkpoints (4), found kind ${kind}`);
  const right = hex((await sha256(join(utf8(`${name}\n`), Uint8Array.of(kind), bytes))).slice(0, ID_BYTES));
  if (right !== id) throw new Refused(`the id of the key ${name} should be ${right}, found ${id}`);
  return { name, id, kind, bytes };
}

// text: ends with a newline; signatures: name, id, body. No signature is looked at.
export function parseNote(whole) {
  if (whole.length > MOST_LETTERS) throw new Refused('the note is too long');
  if (/[\x00-\x09\x0b-\x1f]/.test(whole)) throw new Refused('a note has no control characters');
  const at = whole.lastIndexOf('\n\n'), lines = at < 0 ? '' : whole.slice(at + 2);
  if (at < 0 || !lines.endsWith('\n')) throw new Refused('a note is a text, an empty line and lines with signatures, each with its newline');
  const signatures = lines.slice(0, -1).split('\n').map(parseSignature);
  if (signatures.length > MOST_SIGNATURES) throw new Refused('the note has too many signatures');
  return { text: `${whole.slice(0, at)}\n`, signatures };
}

function parseSignature(line) {
  const [name, body] = cut(line.startsWith(DASH) ? line.slice(DASH.length) : line, ' ');
  const raw = line.startsWith(DASH) && body !== null && isName(name) ? fromBase64(body) : new Uint8Array();
  if (raw.length <= ID_BYTES) throw new Refused(`a signature looks like \`— name base64\`, found ${shown(first(line, 60))}`);
  return { name, id: hex(raw.slice(0, ID_BYTES)), body: raw.slice(ID_BYTES) };
}

export function parseCheckpoint(text) {
  const lines = text.split('\n');
  if (lines.length < 4 || lines.pop() !== '' || lines.some(line => line === '')) throw new Refused('a checkpoint has an origin, a size and a root, and no empty lines');
  if (!/^(0|[1-9][0-9]{0,18})$/.test(lines[1])) throw new Refused(`the size of a checkpoint is a number without leading zeroes, found ${shown(first(lines[1], 30))}`);
  const root = fromBase64(lines[2]);
  if (root.length !== HASH_BYTES) throw new Refused('the root of a checkpoint has 32 bytes');
  return { origin: lines[0], size: BigInt(lines[1]), root };
}

// Which of these keys signed the note, with the time of a cosignature in seconds since 1970 (null for a plain signature).
export async function signedBy(note, keys) {
  const found = new Map();
  for (const signature of note.signatures) {
    const key = keys.find(one => one.name === signature.name && one.id === signature.id);
    if (key && !found.has(key)) found.set(key, await timeOf(note, signature, key));
  }
  return found;
}

async function timeOf(note, { body }, key) {
  let time = null, signature = body, message = utf8(note.text);
  if (key.kind === COSIGNATURE) {
    time = BigInt(`0x${hex(body.slice(0, TIME_BYTES)) || '0'}`);
    signature = body.slice(TIME_BYTES);
    message = utf8(`cosignature/v1\ntime ${time}\n${note.text}`);
  }
  if (signature.length !== SIGNATURE_BYTES || (time ?? 0n) > LATEST_S || !await ed25519(key.bytes, signature, message)) throw new Refused(`the signature of ${key.name} is wrong`);
  return time;
}
