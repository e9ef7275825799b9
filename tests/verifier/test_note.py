"""Notes are read strictly, and a signature of a known key must be right."""

from __future__ import annotations

import json

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from visit_verify.note import COSIGNATURE, PLAIN, BadNote, Checkpoint, Note, parse_checkpoint, parse_note, parse_verifier_key, signed_by, verifier_key

from ..conftest import vectors

# The two examples of the signed-note specification; the key of the second.
POEM = (
    "Ognuno sta solo sul cuor della terra\ntrafitto da un raggio di sole:\n\ned è subito sera.\n\n"
    "— quasimodo.example/salvatore NnugSzTjtVAewIS+Z/iJhUPeFDkO/5QQ2i5ddnGITLlC+EhfLW9oJKONrMouFSQU0xMcXxj99ihAQwaqP3ZekRwNtIc=\n"
)
EXAMPLE = (
    "This is an example message.\n\n— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
)
KEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
TESSERA = "example.com/log/testdata+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx"


def test_the_example_of_the_specification_is_signed_by_its_key() -> None:
    key = parse_verifier_key(KEY)
    assert str(key) == KEY
    note = parse_note(EXAMPLE)
    assert str(note) == EXAMPLE
    assert note.text == "This is an example message.\n"
    assert signed_by(note, [key]) == {key: None}


def test_a_text_may_have_empty_lines() -> None:
    note = parse_note(POEM.encode())
    assert note.text.endswith("di sole:\n\ned è subito sera.\n")
    assert [one.name for one in note.signatures] == ["quasimodo.example/salvatore"]
    assert str(note) == POEM


def test_a_flipped_bit_anywhere_is_refused() -> None:
    key = parse_verifier_key(KEY)
    for at in range(len(EXAMPLE.encode())):
        for bit in (1, 16):
            data = bytearray(EXAMPLE.encode())
            data[at] ^= bit
            try:
                found = signed_by(parse_note(bytes(data)), [key])
            except BadNote:
                continue
            assert found == {}, f"byte {at}: an unknown key at most"


def test_signatures_of_unknown_keys_are_passed_by() -> None:
    key = parse_verifier_key(KEY)
    *_, line = EXAMPLE.splitlines(keepends=True)
    stranger = line.replace("example.com/foo", "example.com/bar")
    assert signed_by(parse_note(EXAMPLE + stranger), [key]) == {key: None}
    assert signed_by(parse_note(EXAMPLE.replace(line, stranger)), [key]) == {}


def test_one_wrong_signature_of_a_known_key_spoils_the_note() -> None:
    first, other = parse_verifier_key(KEY), parse_verifier_key(TESSERA)
    forged = f"— {other.name} " + "M9e0lvAQRtH832pk2RTbeSeZMkp4FZSdJYFBUjO5SKxuRbywPUF3cx+HUrb50kjd3rUWW/fj53Wj1dwcwh9bGQnqVAg=\n"
    with pytest.raises(BadNote, match="wrong"):
        signed_by(parse_note(EXAMPLE + forged), [first, other])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "no signature\n",
        "no signature\n\n",
        EXAMPLE[:-1],
        EXAMPLE.replace("\n\n", "\n"),
        EXAMPLE.replace("—", "-"),
        EXAMPLE.replace("— example.com/foo", "— example.com/foo bar"),
        EXAMPLE.replace("— example.com/foo", "— example.com+foo"),
        EXAMPLE.replace("— example.com/foo", "— example.com\u2003foo"),
        EXAMPLE.replace("— example.com/foo", "—  "),
        EXAMPLE.replace("IneyaQM=", "IneyaQM"),
        EXAMPLE.replace("IneyaQM=", "IneyaQN="),
        EXAMPLE.replace("IneyaQM=", "Iney*QM="),
        EXAMPLE.replace("This is", "This\tis"),
        EXAMPLE.replace("This is", "This\x00is"),
        EXAMPLE.replace("\n", "\r\n"),
        "text\n\n— name AAAAAA==\n",
        "text\n\n" + EXAMPLE.splitlines(keepends=True)[-1] * 101,
        EXAMPLE + "x" * 1_000_000,
    ],
)
def test_what_is_no_note_is_refused(text: str) -> None:
    with pytest.raises(BadNote):
        parse_note(text)


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(BadNote, match="UTF-8"):
        parse_note(b"\xff" + EXAMPLE.encode())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "example.com/foo",
        "example.com/foo+530d903a",
        KEY.replace("530d903a", "530d903b"),
        KEY.replace("530d903a", "530D903A"),
        KEY.replace("example.com/foo", ""),
        KEY.replace("example.com/foo", "example com/foo"),
        KEY.replace("+AekyeRrm", "+Aekye"),
        KEY.replace("+Aeky", "+Aiky"),
        KEY[:-4],
    ],
)
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(BadNote):
        parse_verifier_key(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "log\n1\n",
        "log\n01\n" + "A" * 43 + "=\n",
        "log\n-1\n" + "A" * 43 + "=\n",
        "log\n1.0\n" + "A" * 43 + "=\n",
        "log\n٣\n" + "A" * 43 + "=\n",
        "log\n1\nAAAA\n",
        "log\n1\n" + "A" * 43 + "=",
        "\n1\n" + "A" * 43 + "=\n",
        "log\n1\n" + "A" * 43 + "=\n\nmore\n",
        "log\n99999999999999999999999\n" + "A" * 43 + "=\n",
    ],
)
def test_what_is_no_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(BadNote):
        parse_checkpoint(text)


def test_a_checkpoint_may_have_further_lines() -> None:
    checkpoint = Checkpoint("example.com/log", 0, bytes(32), ("more", "and more"))
    assert parse_checkpoint(str(checkpoint)) == checkpoint


def test_all_checkpoints_of_a_published_log_are_signed() -> None:
    folder, key = vectors("tessera/log"), parse_verifier_key(TESSERA)
    sizes = []
    for path in folder.glob("checkpoint.*"):
        note = parse_note(path.read_bytes())
        assert signed_by(note, [key]) == {key: None}
        sizes.append(parse_checkpoint(note.text).size)
    assert sorted(sizes) == list(range(16))


def test_published_cosignatures_of_witnesses() -> None:
    folder = vectors("sunlight")
    found = {}
    for name, home in (("witness2/witness.v0.json", "witness2"), ("witness/mirror/mirror.v0.json", "witness/mirror")):
        key = parse_verifier_key(json.loads((folder / name).read_text())["verifier_keys"][0])
        assert key.kind == COSIGNATURE
        (path,) = (folder / home).glob("*/checkpoint")
        note = parse_note(path.read_bytes())
        found[key.name] = signed_by(note, [key])[key], parse_checkpoint(note.text).size
        moved = bytearray(note.signatures[0].body)
        moved[7] ^= 1
        later = Note(note.text, (type(note.signatures[0])(key.name, key.id, bytes(moved)),))
        with pytest.raises(BadNote, match="wrong"):
            signed_by(later, [key])
    assert found == {"witness2.example.org": (1767139200, 300), "mirror.example.org": (1767139200, 300)}


@pytest.mark.parametrize("name", ["", "two words", "a+b", "no\u00a0break"])
def test_names_that_no_key_may_have(name: str) -> None:
    with pytest.raises(BadNote):
        verifier_key(name, PLAIN, bytes(32))


def test_wycheproof_ed25519() -> None:
    """The library that checks every signature here: 151 published cases."""
    published = json.loads((vectors("wycheproof") / "ed25519_test.json").read_text())
    judged = 0
    for group in published["testGroups"]:
        public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(group["publicKey"]["pk"]))
        for test in group["tests"]:
            try:
                public.verify(bytes.fromhex(test["sig"]), bytes.fromhex(test["msg"]))
                right = True
            except InvalidSignature:
                right = False
            assert right == (test["result"] == "valid"), test["comment"]
            judged += 1
    assert judged == published["numberOfTests"] == 151
