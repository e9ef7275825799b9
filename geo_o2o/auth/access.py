"""Marks on views, and which role may do what. Pure: the hook in views.py reads the marks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

View = TypeVar("View", bound=Callable[..., Any])

PUBLIC = "public"

ROLES: dict[str, frozenset[str]] = {
    "app": frozenset({"discovery:read", "catalogue:read", "check-ins:write", "visits:read", "tiles:read"}),
    # The key of a page, which everybody can read there: what it may is that of an app, and what was sent with it is shown to the device that sent it.
    "web": frozenset({"discovery:read", "catalogue:read", "check-ins:write", "visits:read", "tiles:read"}),
    "store": frozenset(
        {"catalogue:read", "catalogue:write", "check-ins:read", "confirmations:write", "visits:read", "passkeys:write"}
    ),
    "planner": frozenset({"catalogue:read", "heat:read", "tiles:read"}),
    "admin": frozenset(
        {
            "discovery:read", "catalogue:read", "catalogue:write", "check-ins:write", "check-ins:read", "confirmations:write",
            "visits:read", "districts:write", "heat:read", "tiles:read", "merchants:write", "keys:write", "profiles:write", "status:read",
            "passkeys:write",
        }
    ),
}  # fmt: skip
SCOPES = frozenset().union(*ROLES.values())


def access(scope: str) -> Callable[[View], View]:
    """Marks a view with the scope its caller needs.

    Raises ValueError where no role has that scope, so that a misspelt one fails at import.
    """
    if scope not in SCOPES:
        raise ValueError(f"no role has the scope {scope!r}")

    def mark(view: View) -> View:
        view.access = scope  # type: ignore[attr-defined]
        return view

    return mark


def public(view: View) -> View:
    """Marks a view that anyone may call."""
    view.access = PUBLIC  # type: ignore[attr-defined]
    return view


def mark_of(view: Callable[..., Any] | None) -> str | None:
    """The mark of a view, None where somebody forgot it."""
    return getattr(view, "access", None)
