// Whether an entry stands in an append-only tree. Source: RFC 6962, section 2.1; RFC 9162, section 2.1.3.2. Places and sizes are BigInts.
import { join, Refused, same, sha256 } from './bytes.js';

export const HASH_BYTES = 32;
export const leafHash = entry => sha256(join(Uint8Array.of(0), entry));
const nodeHash = (left, right) => sha256(join(Uint8Array.of(1), left, right));

export async function checkInclusion(leaf, root, { index, size, path }) {
  if (index < 0n || index >= size) throw new Refused(`a tree of ${size} entries has no entry ${index}`);
  let node = index, last = size - 1n, found = leaf;
  for (const sibling of path) {
    if (last === 0n) throw new Refused('the path is longer than the tree is high');
    if (node % 2n === 1n || node === last) {
      found = await nodeHash(sibling, found);
      // At the right edge nodes without a sibling go up unchanged.
      while (node % 2n === 0n && node !== 0n) { node /= 2n; last /= 2n; }
    } else {
      found = await nodeHash(found, sibling);
    }
    node /= 2n; last /= 2n;
  }
  if (last !== 0n) throw new Refused('the path is shorter than the tree is high');
  if (!same(found, root)) throw new Refused('the path leads to another root');
}
