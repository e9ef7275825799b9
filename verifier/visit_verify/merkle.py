"""Proofs of an append-only Merkle tree, checked. Pure.

Source: RFC 6962, section 2.1 (hashes); RFC 9162, sections 2.1.3.2 and 2.1.4.2 (how proofs are checked). SHA-256 throughout.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

HASH_BYTES = 32
EMPTY_ROOT = hashlib.sha256().digest()


class BadProof(ValueError):
    """The proof does not show what it should."""


def leaf_hash(entry: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def root_of_inclusion(leaf: bytes, *, index: int, size: int, path: Sequence[bytes]) -> bytes:
    """The root of the tree of that size in which the leaf hash stands at that index, if the path is right. Raises BadProof."""
    if not 0 <= index < size:
        raise BadProof(f"a tree of {size} entries has no entry {index}")
    _check_hashes(leaf, *path)
    node, last, root = index, size - 1, leaf
    for sibling in path:
        if last == 0:
            raise BadProof("the path is longer than the tree is high")
        if node % 2 == 1 or node == last:
            root = node_hash(sibling, root)
            # At the right edge nodes without a sibling go up unchanged.
            while node % 2 == 0 and node != 0:
                node, last = node // 2, last // 2
        else:
            root = node_hash(root, sibling)
        node, last = node // 2, last // 2
    if last != 0:
        raise BadProof("the path is shorter than the tree is high")
    return root


def check_inclusion(leaf: bytes, root: bytes, *, index: int, size: int, path: Sequence[bytes]) -> None:
    """Raises BadProof unless the leaf hash stands at that index of the tree."""
    if root_of_inclusion(leaf, index=index, size=size, path=path) != root:
        raise BadProof("the path leads to another root")


def check_consistency(old_root: bytes, new_root: bytes, *, old_size: int, new_size: int, path: Sequence[bytes]) -> None:
    """Raises BadProof unless the old tree is the beginning of the new one. old_size: 1 or more; the empty tree is the caller's case."""
    if not 0 < old_size <= new_size:
        raise BadProof(f"a tree of {old_size} entries is not the beginning of one of {new_size}")
    if old_size == new_size:
        if path or old_root != new_root:
            raise BadProof("trees of one size are the same and need no proof")
        return
    _check_hashes(old_root, new_root, *path)
    # The root of a whole binary tree is a node of the new one, and is left out of the path.
    whole = [old_root] if old_size & (old_size - 1) == 0 else []
    nodes = [*whole, *path]
    if not nodes or not path:
        raise BadProof("the path is empty")
    node, last = old_size - 1, new_size - 1
    while node % 2 == 1:
        node, last = node // 2, last // 2
    old = new = nodes[0]
    for sibling in nodes[1:]:
        if last == 0:
            raise BadProof("the path is longer than the tree is high")
        if node % 2 == 1 or node == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            while node % 2 == 0 and node != 0:
                node, last = node // 2, last // 2
        else:
            new = node_hash(new, sibling)
        node, last = node // 2, last // 2
    if last != 0:
        raise BadProof("the path is shorter than the tree is high")
    if old != old_root:
        raise BadProof("the path leads to another old root")
    if new != new_root:
        raise BadProof("the path leads to another new root")


def _check_hashes(*hashes: bytes) -> None:
    if any(len(one) != HASH_BYTES for one in hashes):
        raise BadProof(f"a hash has {HASH_BYTES} bytes")
