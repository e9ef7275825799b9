"""An append-only Merkle tree as it grows. How its proofs are checked stands with the verifier, which must do without this service. Pure.

Source: RFC 6962, section 2.1.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from visit_verify.merkle import EMPTY_ROOT, node_hash


@dataclass(frozen=True)
class Frontier:
    """All of a tree that its growth depends on: the roots of its whole binary subtrees, the largest first.

    Raises ValueError where these are not as many as a tree of that size has.
    """

    size: int = 0
    hashes: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        if self.size < 0 or len(self.hashes) != self.size.bit_count():
            raise ValueError(f"a tree of {self.size} entries has {max(self.size, 0).bit_count()} whole subtrees, found {len(self.hashes)}")

    @property
    def root(self) -> bytes:
        *left, root = self.hashes or (EMPTY_ROOT,)
        for one in reversed(left):
            root = node_hash(one, root)
        return root

    def grown(self, leaves: Iterable[bytes]) -> Frontier:
        """The tree with these leaf hashes behind its own."""
        size, hashes = self.size, list(self.hashes)
        for leaf in leaves:
            whole, last = size, leaf
            # As many subtrees at the right edge have become one as the size ends in ones.
            while whole & 1:
                last, whole = node_hash(hashes.pop(), last), whole >> 1
            hashes.append(last)
            size += 1
        return Frontier(size, tuple(hashes))


def root_of(hashes: Iterable[bytes]) -> bytes:
    """The root over leaf hashes, or over the roots of subtrees of one size."""
    return Frontier().grown(hashes).root
