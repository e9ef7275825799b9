// A proof in one text: where an entry stands in a log, and the signed checkpoint that covers it. Source: C2SP tlog-proof, version 1.
import { fromBase64, read, Refused } from './bytes.js';
import { checkInclusion, HASH_BYTES, leafHash } from './merkle.js';
import { cut, parseCheckpoint, parseNote } from './note.js';

const FIRST_LINE = 'c2sp.org/tlog-proof@v1', MOST_BYTES = 1_000_000, MOST_HASHES = 64;

export function parseProof(data) {
  if (data.length > MOST_BYTES) throw new Refused('the proof is too long');
  const text = read(data);
  if (text === null) throw new Refused('a proof is UTF-8');
  const [head, note] = cut(text, '\n\n');
  const [first, ...lines] = head.split('\n');
  if (first !== FIRST_LINE || note === null) throw new Refused(`a proof begins with ${FIRST_LINE}, and its checkpoint comes after an empty line`);
  const extra = lines[0]?.startsWith('extra ') ? fromBase64(lines.shift().slice(6)) : null;
  const index = /^index (0|[1-9][0-9]{0,18})$/.exec(lines[0] ?? '');
  if (!index) throw new Refused('expected a line `index` with the number of the entry');
  const path = lines.slice(1).map(fromBase64);
  if (path.length > MOST_HASHES || path.some(one => one.length !== HASH_BYTES)) throw new Refused(`a path has up to ${MOST_HASHES} hashes of ${HASH_BYTES} bytes`);
  try {
    return { index: BigInt(index[1]), path, note: parseNote(note), extra };
  } catch (failure) {
    throw failure instanceof Refused ? new Refused(`the checkpoint of the proof: ${failure.message}`) : failure;
  }
}

// The checkpoint, once it is sure that the entry stands in its tree; whose signatures it has is another question.
export async function checkProof(proof, entry) {
  const checkpoint = parseCheckpoint(proof.note.text);
  await checkInclusion(await leafHash(entry), checkpoint.root, { index: proof.index, size: checkpoint.size, path: proof.path });
  return checkpoint;
}
