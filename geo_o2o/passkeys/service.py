from __future__ import annotations

import ipaddress
import json
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import webauthn
from sqlalchemy.orm import Session
from webauthn.helpers import base64url_to_bytes
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from ..auth import service as auth
from ..auth.models import ApiKey
from ..caller import Caller
from ..config import Settings
from ..errors import Conflict, Forbidden, InvalidInput, NotFound, Unauthenticated
from ..geo.ids import RANDOM_BITS, unlocated_id
from . import queries
from .challenges import CHANCE_BYTES, BadChallenge, check_challenge, make_challenge
from .models import Passkey

# A working day at a counter; then the same finger again.
SIGNED_IN = timedelta(hours=12)
_SIGN_IN = "sign in"


class PasskeysUnavailable(Conflict):
    code = "passkeys_unavailable"


class KeyNeeded(Forbidden):
    code = "key_needed"


class PasskeyKnown(Conflict):
    code = "passkey_known"


class PasskeyInvalid(Unauthenticated):
    code = "passkey_invalid"


def party_of(settings: Settings) -> tuple[str, str]:
    """The name that passkeys belong to, and the origin of the pages. Raises PasskeysUnavailable where browsers would have none."""
    address = urlsplit(settings.public_url)
    host = address.hostname or ""
    try:
        ipaddress.ip_address(host)
        is_name = False
    except ValueError:
        is_name = bool(host)
    if not is_name or (address.scheme != "https" and host != "localhost"):
        raise PasskeysUnavailable("browsers keep passkeys for names with https, and for localhost: GEO_O2O_PUBLIC_URL is neither")
    # As browsers write an origin: in small letters, without what goes without saying.
    usual = address.port in (None, {"https": 443, "http": 80}[address.scheme])
    return host, f"{address.scheme}://{host}" if usual else f"{address.scheme}://{host}:{address.port}"


# --- a new one -----------------------------------------------------------------------------------------------------------------


def begin(session: Session, settings: Settings, *, caller: Caller, now: datetime) -> dict[str, Any]:
    """What a browser makes a passkey from (PublicKeyCredentialCreationOptions as JSON). Raises PasskeysUnavailable, KeyNeeded, Forbidden."""
    merchant = auth.get_merchant(session, _merchant_of(caller))
    host, _ = party_of(settings)
    options = webauthn.generate_registration_options(
        rp_id=host,
        rp_name="geo_o2o",
        user_id=caller.key_id.bytes,
        user_name=merchant.name,
        challenge=_challenge(f"add {caller.key_id}", settings, now=now),
        # Found without a name, and by a person: whoever finds the tablet must not sign in.
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.REQUIRED, user_verification=UserVerificationRequirement.REQUIRED
        ),
        exclude_credentials=[
            PublicKeyCredentialDescriptor(id=one.credential_id)
            for one in queries.list_passkeys(session, merchant.id)
            if one.account_id == caller.key_id
        ],
    )
    return dict(json.loads(webauthn.options_to_json(options)))


def add(session: Session, settings: Settings, *, caller: Caller, name: str, credential: Mapping[str, Any], now: datetime) -> Passkey:
    """Raises InvalidInput, PasskeyKnown, PasskeysUnavailable, Forbidden."""
    merchant_id, (host, origin) = _merchant_of(caller), party_of(settings)
    try:
        challenge, until = _challenge_of(credential, f"add {caller.key_id}", settings, now=now)
        found = webauthn.verify_registration_response(
            credential=dict(credential), expected_challenge=challenge, expected_rp_id=host, expected_origin=origin, require_user_verification=True
        )
    # What a stranger sends is read by a library of many formats: whatever it cannot read is no passkey.
    except Exception as failure:
        message = f"this is no new passkey: {_words(failure)}"
        raise InvalidInput(message, errors={"credential": [message]}) from failure
    known = queries.is_known(session, found.credential_id)
    if known or not queries.spend(session, challenge, expires_at=until):
        raise PasskeyKnown("this passkey is here already")
    passkey = Passkey(
        id=unlocated_id(now=now, chance=secrets.randbits(RANDOM_BITS)),
        credential_id=found.credential_id,
        public_key=found.credential_public_key,
        sign_count=found.sign_count,
        merchant_id=merchant_id,
        account_id=caller.key_id,
        name=name,
        created_at=now,
    )
    session.add(passkey)
    session.flush()
    return passkey


def revoke(session: Session, id_: UUID, *, caller: Caller, now: datetime) -> Passkey:
    """Useless from now on, and whoever is signed in by it is signed out within seconds. Raises NotFound."""
    passkey = queries.find_passkey(session, id_)
    if passkey is None or not caller.may_see(passkey.merchant_id):
        raise NotFound(f"there is no passkey {id_}")
    if passkey.revoked_at is None:
        passkey.revoked_at = now
        auth.end_sign_ins(session, passkey_id=id_, now=now)
    return passkey


def _merchant_of(caller: Caller) -> UUID:
    # What ends by itself must not give what does not.
    if caller.signed_in:
        raise KeyNeeded("a passkey is made with the store's key, and not by whoever is signed in with another passkey")
    if caller.merchant_id is None:
        raise Forbidden("a passkey belongs to a merchant: make it with a store's key")
    return caller.merchant_id


# --- sign in -------------------------------------------------------------------------------------------------------------------


def begin_sign_in(settings: Settings, *, now: datetime) -> dict[str, Any]:
    """What a browser looks for a passkey by (PublicKeyCredentialRequestOptions as JSON). Raises PasskeysUnavailable."""
    host, _ = party_of(settings)
    options = webauthn.generate_authentication_options(
        rp_id=host, challenge=_challenge(_SIGN_IN, settings, now=now), user_verification=UserVerificationRequirement.REQUIRED
    )
    return dict(json.loads(webauthn.options_to_json(options)))


def sign_in(session: Session, settings: Settings, *, credential: Mapping[str, Any], now: datetime) -> tuple[Passkey, ApiKey, str]:
    """The passkey, and a key of its store's account that ends by itself, with its text. Raises PasskeyInvalid, PasskeysUnavailable."""
    host, origin = party_of(settings)
    try:
        challenge, until = _challenge_of(credential, _SIGN_IN, settings, now=now)
        credential_id = base64url_to_bytes(credential["rawId"])
    except Exception as failure:
        raise PasskeyInvalid(f"this passkey does not sign in here: {_words(failure)}") from failure
    passkey = queries.find_credential(session, credential_id)
    if passkey is None:
        raise PasskeyInvalid("this passkey does not sign in here: it is not known, or was revoked")
    try:
        found = webauthn.verify_authentication_response(
            credential=dict(credential), expected_challenge=challenge, expected_rp_id=host, expected_origin=origin,
            credential_public_key=passkey.public_key, credential_current_sign_count=passkey.sign_count, require_user_verification=True,
        )  # fmt: skip
    except Exception as failure:
        raise PasskeyInvalid(f"this passkey does not sign in here: {_words(failure)}") from failure
    if not queries.spend(session, challenge, expires_at=until):
        raise PasskeyInvalid("this passkey does not sign in here: the challenge was answered before, so begin again")
    signed_in = auth.create_sign_in(
        session, account_id=passkey.account_id, merchant_id=passkey.merchant_id, passkey_id=passkey.id, until=now + SIGNED_IN, now=now
    )
    if signed_in is None:
        raise PasskeyInvalid("this passkey does not sign in here: the store's key that it was made with was revoked")
    passkey.sign_count, passkey.used_at = found.new_sign_count, now
    return passkey, *signed_in


def forget(session: Session, *, now: datetime) -> int:
    """Drops what sign-ins leave behind once nothing can come of it. Returns how many rows."""
    return queries.forget_spent(session, before=now) + auth.forget_sign_ins(session, now=now)


def _challenge(purpose: str, settings: Settings, *, now: datetime) -> bytes:
    return make_challenge(purpose, secret=settings.secret_key, at_s=now.timestamp(), chance=secrets.token_bytes(CHANCE_BYTES))


def _challenge_of(credential: Mapping[str, Any], purpose: str, settings: Settings, *, now: datetime) -> tuple[bytes, datetime]:
    """The challenge that an answer signs, and until when it holds. Raises BadChallenge, and whatever comes of reading what is none."""
    said = json.loads(base64url_to_bytes(credential["response"]["clientDataJSON"]))
    challenge = base64url_to_bytes(said["challenge"])
    return challenge, datetime.fromtimestamp(check_challenge(challenge, purpose, secret=settings.secret_key, at_s=now.timestamp()), UTC)


def _words(failure: Exception) -> str:
    """In the library's words or our own, one line; nothing where it only says which line of code could not read it."""
    known = isinstance(failure, BadChallenge) or type(failure).__module__.startswith("webauthn.")
    return str(failure).splitlines()[0][:200] if known and str(failure) else "it cannot be read"
