// The file in which a visitor keeps a receipt: a zip with the receipt and its proof. Source: PKWARE's APPNOTE 6.3, without what this file never has.
import { parseProof } from './proof.js';
import { read, Refused } from './bytes.js';

const RECEIPT = 'receipt.jws', PROOF = 'receipt.tlog-proof';
// Of a whole file, and of what one of its members holds.
export const MOST_FILE_BYTES = 4_000_000;
const MOST_BYTES = 1_000_000;
const END = 0x06054b50, LISTED = 0x02014b50, LOCAL = 0x04034b50;
const END_BYTES = 22, LISTED_BYTES = 46, LOCAL_BYTES = 30, LONGEST_COMMENT = 65_535;
const STORED = 0, DEFLATED = 8, LATEST_VERSION = 63;
// Encrypted, patched, encrypted strongly.
const UNKNOWN = 0x61;

// data: bytes. The receipt and its proof; throws Refused.
export async function parseVisit(data) {
  if (data.length > MOST_FILE_BYTES) throw new Refused(`not a .visit file that can be read: it has more than ${MOST_FILE_BYTES} bytes`);
  let receipt, proof;
  try {
    const listed = listOf(data);
    if (listed.map(one => one.name).sort().join('\n') !== `${RECEIPT}\n${PROOF}`) throw new Refused(`a .visit file holds ${RECEIPT} and ${PROOF} and nothing else`);
    [receipt, proof] = await Promise.all([RECEIPT, PROOF].map(name => unpacked(data, listed.find(one => one.name === name))));
  } catch (failure) {
    throw failure instanceof Refused ? failure : new Refused(`not a .visit file that can be read: ${failure.message}`);
  }
  const text = receipt.some(byte => byte > 0x7f) ? null : read(receipt);
  if (text === null) throw new Refused('not a .visit file that can be read: a receipt is ASCII');
  try {
    return [text.replace(/^[\s\x1c-\x1f]+|[\s\x1c-\x1f]+$/g, ''), parseProof(proof)];
  } catch (failure) {
    throw failure instanceof Refused ? new Refused(`not a .visit file that can be read: ${failure.message}`) : failure;
  }
}

// What the zip lists: name, how it is packed, and where.
function listOf(data) {
  const view = new DataView(data.buffer, data.byteOffset, data.length);
  let end = data.length - END_BYTES;
  while (end >= 0 && end >= data.length - END_BYTES - LONGEST_COMMENT && view.getUint32(end, true) !== END) end -= 1;
  if (end < 0 || view.getUint32(end, true) !== END) throw new Error('File is not a zip file');
  const size = view.getUint32(end + 12, true), offset = view.getUint32(end + 16, true);
  // Bytes that stand before the zip move all that it says of places.
  const moved = end - size - offset;
  if (moved < 0) throw new Error('Bad offset for central directory');
  const found = [];
  for (let at = offset + moved; at < offset + moved + size;) {
    if (view.getUint32(at, true) !== LISTED) throw new Error('Bad magic number for central directory');
    const name = view.getUint16(at + 28, true), extra = view.getUint16(at + 30, true), comment = view.getUint16(at + 32, true);
    found.push({
      version: view.getUint16(at + 6, true), flags: view.getUint16(at + 8, true), method: view.getUint16(at + 10, true), crc: view.getUint32(at + 16, true), packed: view.getUint32(at + 20, true),
      size: view.getUint32(at + 24, true), at: view.getUint32(at + 42, true) + moved, name: letters(data.subarray(at + LISTED_BYTES, at + LISTED_BYTES + name)),
    });
    at += LISTED_BYTES + name + extra + comment;
  }
  return found;
}

const letters = data => String.fromCharCode(...data);

async function unpacked(data, { version, flags, method, crc, packed, size, at, name }) {
  const view = new DataView(data.buffer, data.byteOffset, data.length);
  if (view.getUint32(at, true) !== LOCAL) throw new Error('Bad magic number for file header');
  const begin = at + LOCAL_BYTES + view.getUint16(at + 26, true) + view.getUint16(at + 28, true);
  if (letters(data.subarray(at + LOCAL_BYTES, at + LOCAL_BYTES + view.getUint16(at + 26, true))) !== name) throw new Error('a member has two names');
  if ([[14, crc], [18, packed], [22, size]].some(([place, value]) => view.getUint32(at + place, true) !== value)) throw new Error(`it says two things of ${name}`);
  if (flags & UNKNOWN || version > LATEST_VERSION) throw new Error(`${name} is packed in a way that is not known here`);
  if (begin + packed > data.length) throw new Error(`${name} is cut`);
  const body = data.subarray(begin, begin + packed);
  if (![STORED, DEFLATED].includes(method)) throw new Error('That compression method is not supported');
  if (size > MOST_BYTES) throw new Refused(`${name} is too long`);
  const whole = method === STORED ? body : await inflated(body, size);
  // What the archive says of its own sizes is not believed.
  if (whole.length !== size || crc32(whole) !== crc) throw new Error(`Bad CRC-32 for file '${name}'`);
  return whole;
}

// As much as the member is said to hold; its sum tells whether that is all. What comes behind it in the packed stream is nobody's.
async function inflated(body, size) {
  const stream = new DecompressionStream('deflate-raw'), writer = stream.writable.getWriter(), reader = stream.readable.getReader();
  writer.write(body).then(() => writer.close()).catch(() => {});
  const parts = [];
  let length = 0;
  while (length < size) {
    const { done, value } = await reader.read();
    if (done) break;
    parts.push(value);
    length += value.length;
  }
  reader.cancel().catch(() => {});
  const whole = new Uint8Array(length);
  let at = 0;
  for (const part of parts) { whole.set(part, at); at += part.length; }
  return whole.slice(0, size);
}

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let sum = byte;
  for (let bit = 0; bit < 8; bit += 1) sum = sum & 1 ? (sum >>> 1) ^ 0xedb88320 : sum >>> 1;
  return sum;
});

function crc32(data) {
  let sum = ~0;
  for (const byte of data) sum = (sum >>> 8) ^ TABLE[(sum ^ byte) & 255];
  return ~sum >>> 0;
}
