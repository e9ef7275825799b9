"""What this service signs, the verifier takes; and a secret never shows itself."""

from __future__ import annotations

import pytest

from geo_o2o.ledger.note import SigningKey, parse_signing_key, signed
from visit_verify.note import COSIGNATURE, PLAIN, BadNote, Checkpoint, Note, parse_note, parse_verifier_key, signed_by

# RFC 8032, section 7.1, test 1: seed and public key.
SEED = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
PUBLIC = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
CHECKPOINT = Checkpoint("example.com/log", 3, bytes(range(32)))


def test_a_key_is_made_of_its_seed() -> None:
    key = SigningKey("example.com/log", PLAIN, SEED)
    assert key.verifier.public == PUBLIC
    assert parse_verifier_key(str(key.verifier)) == key.verifier


@pytest.mark.parametrize("kind", [PLAIN, COSIGNATURE])
def test_a_secret_comes_back_as_it_was_written(kind: int) -> None:
    key = SigningKey("example.com/log", kind, SEED)
    assert key.format().startswith("PRIVATE+KEY+example.com/log+")
    assert parse_signing_key(key.format() + "\n") == key


def test_a_secret_is_not_shown() -> None:
    key = SigningKey("example.com/log", PLAIN, SEED)
    assert key.format().rsplit("+", 1)[1] not in f"{key} {key!r} {[key]}"
    assert "9d61b19d" not in repr(key)


@pytest.mark.parametrize("change", [lambda text: text[12:], lambda text: text[:-4], lambda text: text.replace("log+", "lob+"), lambda text: ""])
def test_what_is_no_secret_is_refused_without_showing_it(change: object) -> None:
    text = SigningKey("example.com/log", PLAIN, SEED).format()
    with pytest.raises(BadNote) as caught:
        parse_signing_key(change(text))  # type: ignore[operator]
    assert text.rsplit("+", 1)[1][:20] not in str(caught.value)


def test_the_log_and_two_witnesses_sign_one_checkpoint() -> None:
    log = SigningKey("example.com/log", PLAIN, SEED)
    witnesses = [SigningKey(f"witness{number}.example", COSIGNATURE, bytes([number]) * 32) for number in (1, 2)]
    note = signed(str(CHECKPOINT), log)
    cosigned = Note(note.text, (*note.signatures, *(one.cosign(note.text, time_s=1_800_000_000 + at) for at, one in enumerate(witnesses))))
    read = parse_note(str(cosigned))
    assert read == cosigned
    assert signed_by(read, [log.verifier, *(one.verifier for one in witnesses)]) == {
        log.verifier: None, witnesses[0].verifier: 1_800_000_000, witnesses[1].verifier: 1_800_000_001,
    }  # fmt: skip


def test_a_key_of_one_kind_does_not_sign_as_the_other() -> None:
    plain, witness = SigningKey("one.example", PLAIN, SEED), SigningKey("one.example", COSIGNATURE, SEED)
    assert plain.verifier.id != witness.verifier.id
    note = signed(str(CHECKPOINT), plain)
    assert signed_by(note, [witness.verifier]) == {}
    forged = Note(note.text, (type(note.signatures[0])("one.example", witness.verifier.id, note.signatures[0].body),))
    with pytest.raises(BadNote, match="wrong"):
        signed_by(forged, [witness.verifier])
