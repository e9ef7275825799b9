"""A visitor's device, a till, an operator, a log and two witnesses with keys of their own, and a visit that all of them signed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, derive_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from joserfc.jwk import ECKey

from geo_o2o.ledger.merkle import Frontier
from geo_o2o.ledger.note import SigningKey, signed
from geo_o2o.ledger.receipt import digest_of, pseudonym, public_of, sign_claim, sign_confirmation, sign_receipt
from geo_o2o.ledger.tiles import grown_tiles, inclusion_path
from visit_verify.jws import ed25519_thumbprint, thumbprint, to_base64url
from visit_verify.merkle import leaf_hash
from visit_verify.note import COSIGNATURE, PLAIN, Checkpoint, Note
from visit_verify.policy import Policy, parse_policy
from visit_verify.proof import Proof
from visit_verify.receipt import entry_of

ISSUER, LOG = "https://visits.example", "visits.example/log/2026h2"
STORE, OTHER_STORE = "018f0000-0000-7000-8000-000000000001", "018f0000-0000-7000-8000-000000000002"
RECEIPT = "018f0000-0000-7000-8000-0000000000aa"
AT_MS = 1_795_000_000_000
SALT = bytes(range(32))
OPERATOR_SEED, TILL_SEED = b"o" * 32, b"t" * 32
LOG_KEY = SigningKey(LOG, PLAIN, b"l" * 32)
WITNESSES = [SigningKey(f"witness{number}.example", COSIGNATURE, bytes([number]) * 32) for number in (1, 2)]
_PRIVATE = derive_private_key(int.from_bytes(b"d" * 31, "big"), SECP256R1())
DEVICE = ECKey.import_key(_PRIVATE.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
DEVICE_ID = thumbprint({name: str(value) for name, value in DEVICE.as_dict(private=False).items() if name in ("crv", "kty", "x", "y")})
TILL_ID, OPERATOR_ID = ed25519_thumbprint(public_of(TILL_SEED)), ed25519_thumbprint(public_of(OPERATOR_SEED))
EVIDENCE_HASH = to_base64url(b"e" * 32)


def claim(**more: Any) -> str:
    payload = {
        "jti": "018f0000-0000-7000-8000-0000000000cc", "ch": to_base64url(b"c" * 16), "bcn": {"size": 3, "root": to_base64url(b"r" * 32)},
        "st": STORE, "iat": AT_MS, "evh": EVIDENCE_HASH, **more,
    }  # fmt: skip
    return sign_claim(payload, key=DEVICE)


def confirmation(claimed: str, *, seed: bytes = TILL_SEED, **more: Any) -> str:
    payload = {
        "jti": "018f0000-0000-7000-8000-0000000000dd", "clh": digest_of(claimed), "st": STORE, "till": ed25519_thumbprint(public_of(seed)),
        "iat": AT_MS + 20_000, "staff": to_base64url(b"s" * 32), **more,
    }  # fmt: skip
    return sign_confirmation(payload, seed=seed)


@dataclass
class Visit:
    """A receipt and what went into it. changes: of the receipt's claims; None leaves one out."""

    level: int = 3
    changes: dict[str, Any] = field(default_factory=dict)
    seed: bytes = OPERATOR_SEED
    claimed: str = field(default_factory=claim)
    salt: bytes = SALT
    # How many others are in the log, before and behind it.
    before: int = 5
    behind: int = 300

    @property
    def payload(self) -> dict[str, Any]:
        methods = {0: [], 1: ["geo"], 2: ["geo", "till"], 3: ["geo", "staff"], 4: ["geo", "staff", "pos"]}[self.level]
        said = {
            "iss": ISSUER, "jti": RECEIPT, "iat": AT_MS + 30_000, "sub": pseudonym(b"p" * 32, account="somebody", audience="holder"), "aud": "holder",
            "st": STORE, "sth": to_base64url(b"h" * 32), "win": [AT_MS - AT_MS % 900_000, AT_MS - AT_MS % 900_000 + 900_000], "lvl": self.level,
            "meth": methods, "pin": 870, "acc": 42_000, "fence": "buffer20", "risk": 0, "rsn": [], "pol": "p3", "evh": EVIDENCE_HASH,
            "clh": digest_of(self.claimed), "claim": self.claimed, "log": LOG,
            **({"conf": confirmation(self.claimed)} if self.level >= 3 else {}), **({"pos": to_base64url(b"x" * 32)} if self.level == 4 else {}),
            **self.changes,
        }  # fmt: skip
        return {name: value for name, value in said.items() if value is not None}

    def signed(self) -> str:
        return sign_receipt(self.payload, seed=self.seed)

    def proof(self, receipt: str, *, witnesses: int = 2, log_key: SigningKey = LOG_KEY) -> Proof:
        others = [leaf_hash(b"%d" % number) for number in range(self.before + self.behind)]
        leaves = [*others[: self.before], leaf_hash(entry_of(receipt, self.salt)), *others[self.before :]]
        tiles = {(tile.level, tile.n): tile.data for tile in grown_tiles(0, [], leaves)}
        path = inclusion_path(self.before, len(leaves), lambda level, n, width: tiles[level, n])
        head = signed(str(Checkpoint(log_key.name, len(leaves), Frontier().grown(leaves).root)), log_key)
        cosigned = [one.cosign(head.text, time_s=AT_MS // 1000 + 40 + 10 * at) for at, one in enumerate(WITNESSES[:witnesses])]
        return Proof(self.before, tuple(path), Note(head.text, (*head.signatures, *cosigned)), extra=self.salt)


def policy_text(*, quorum: str = "both", **more: str) -> str:
    lines = {
        "log": f"log {LOG_KEY.verifier} https://visits.example/log/2026h2",
        "first": f"witness first {WITNESSES[0].verifier}",
        "second": f"witness second {WITNESSES[1].verifier}",
        "group": "group both all first second",
        "quorum": f"quorum {quorum}",
        "operator": f"operator {to_base64url(public_of(OPERATOR_SEED))}",
        "till": f"till {STORE} {to_base64url(public_of(TILL_SEED))}",
        **more,
    }
    return "# whom we trust\n\n" + "\n".join(lines.values()) + "\n"


def policy(**more: str) -> Policy:
    return parse_policy(policy_text(**more))
