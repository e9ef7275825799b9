"""Entries that everybody may read: keys that come and go, releases of maps, lists of voids, the end of a shard. Pure.

Source: design of the project (trust, section 4.1).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import rfc8785

KEY, RELEASE, CLOSE = 3, 4, 5
_VERSION = 0x01
_MOST_BYTES = 4_096


def event_entry(kind: int, event: Mapping[str, Any]) -> bytes:
    """Version, kind and the event as canonical JSON. Raises ValueError where it is longer than 4 KiB."""
    if kind not in (KEY, RELEASE, CLOSE):
        raise ValueError(f"expected a kind of public entry, found {kind}")
    body = rfc8785.dumps(dict(event))
    if len(body) > _MOST_BYTES:
        raise ValueError(f"an entry has at most {_MOST_BYTES} bytes, found {len(body)}")
    return bytes([_VERSION, kind]) + body
