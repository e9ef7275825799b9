"""The kinds of failure, without HTTP.

A room names its own failures by subclassing a kind and giving a `code`. `http.py` holds the one table from kind to status.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

FieldErrors = Mapping[str, Sequence[str]]


class GeoO2OError(Exception):
    """A failure the caller can understand.

    code: stable, snake_case, part of the API.
    message: what was expected, what was found, in which unit.
    errors: messages by field name, for input that has fields.
    """

    code = "error"

    def __init__(self, message: str, *, code: str | None = None, errors: FieldErrors | None = None):
        super().__init__(message)
        self.message = message
        self.code = code or type(self).code
        self.errors = errors or {}


class Malformed(GeoO2OError):
    """The request cannot be read at all."""

    code = "malformed"


class InvalidInput(GeoO2OError):
    """The request can be read, and a field of it has the wrong shape or range."""

    code = "invalid_input"


class Unauthenticated(GeoO2OError):
    """No key, or one that is not known here."""

    code = "unauthenticated"


class NonceNeeded(Unauthenticated):
    """The caller must sign what it has not seen before. nonce: that."""

    code = "use_nonce"

    def __init__(self, message: str, *, nonce: str):
        super().__init__(message)
        self.nonce = nonce


class Forbidden(GeoO2OError):
    """The caller is known and may not do this."""

    code = "forbidden"


class NotFound(GeoO2OError):
    """The thing asked for does not exist."""

    code = "not_found"


class Conflict(GeoO2OError):
    """The deed contradicts the present state."""

    code = "conflict"


class Gone(GeoO2OError):
    """The thing was here and has been removed."""

    code = "gone"


class Moved(GeoO2OError):
    """The thing has a new id."""

    code = "moved"

    def __init__(self, message: str, *, location: str):
        super().__init__(message)
        self.location = location


class PreconditionFailed(GeoO2OError):
    """The thing has changed since the caller read it."""

    code = "precondition_failed"


class PreconditionRequired(GeoO2OError):
    """The caller must say which version it means to change."""

    code = "precondition_required"


class TooMany(GeoO2OError):
    """The caller has asked too often; the same request may succeed later."""

    code = "too_many"

    def __init__(self, message: str, *, retry_after_s: int, code: str | None = None):
        super().__init__(message, code=code)
        self.retry_after_s = retry_after_s


class Unavailable(GeoO2OError):
    """Something this service stands on is down; the same request may succeed later."""

    code = "unavailable"

    def __init__(self, message: str, *, retry_after_s: int = 2, code: str | None = None):
        super().__init__(message, code=code)
        self.retry_after_s = retry_after_s
