"""Published proofs, good and bad, are taken and refused as they should be."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from visit_verify.merkle import EMPTY_ROOT, BadProof, check_consistency, check_inclusion, leaf_hash, node_hash, root_of_inclusion

from ..conftest import SHARED, vectors


def cases(kind: str) -> list[Any]:
    folder = SHARED / "vectors" / "merkle" / kind
    return [pytest.param(path, id=str(path.relative_to(folder))) for path in sorted(folder.rglob("*.json"))] or [
        pytest.param(folder, marks=pytest.mark.skip(f"needs ../shared/vectors/merkle/{kind}"))
    ]


def case(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    for name, value in found.items():
        if name in ("root", "root1", "root2", "leafHash"):
            found[name] = base64.b64decode(value or "")
        elif name == "proof":
            found[name] = [base64.b64decode(one) for one in value or ()]
    return found


def test_the_hashes_are_those_of_rfc_6962() -> None:
    assert EMPTY_ROOT.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert leaf_hash(b"").hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    assert leaf_hash(b"L123456").hex() == "395aa064aa4c29f7010acfe3f25db9485bbd4b91897b6ad7ad547639252b4d56"
    assert node_hash(b"N123", b"N456").hex() == "aa217fe888e47007fa15edab33c2b492a722cb106c64667fc2b044444de66bbb"


def test_all_published_cases_are_there() -> None:
    vectors("merkle")
    assert (len(cases("inclusion")), len(cases("consistency"))) == (98, 98)


@pytest.mark.parametrize("path", cases("inclusion"))
def test_published_proofs_of_inclusion(path: Path) -> None:
    one = case(path)

    def check() -> None:
        check_inclusion(one["leafHash"], one["root"], index=one["leafIdx"], size=one["treeSize"], path=one["proof"])

    if one["wantErr"]:
        with pytest.raises(BadProof):
            check()
    else:
        check()


@pytest.mark.parametrize("path", cases("consistency"))
def test_published_proofs_of_consistency(path: Path) -> None:
    one = case(path)

    def check() -> None:
        check_consistency(one["root1"], one["root2"], old_size=one["size1"], new_size=one["size2"], path=one["proof"])

    if one["wantErr"]:
        with pytest.raises(BadProof):
            check()
    else:
        check()


@pytest.mark.parametrize("length", [0, 31, 33])
def test_what_is_no_hash_is_refused(length: int) -> None:
    with pytest.raises(BadProof, match="32 bytes"):
        root_of_inclusion(leaf_hash(b""), index=0, size=2, path=[bytes(length)])
    with pytest.raises(BadProof, match="32 bytes"):
        check_consistency(bytes(length), bytes(32), old_size=1, new_size=2, path=[bytes(32)])


def test_a_huge_tree_is_no_trouble() -> None:
    leaf = leaf_hash(b"x")
    path = [bytes([number]) * 32 for number in range(62)]
    root = root_of_inclusion(leaf, index=2**62 - 1, size=2**62, path=path)
    check_inclusion(leaf, root, index=2**62 - 1, size=2**62, path=path)
    with pytest.raises(BadProof):
        check_inclusion(leaf, root, index=2**62 - 2, size=2**62, path=path)
