"""Public ids: UUID version 8 that sort by time and know their shard.

48 bits Unix milliseconds | 4 bits version | 12 bits: upper part of the shard code | 2 bits variant | 7 bits: lower part | 55 random bits.
The shard code has 19 bits: 7 for the base cell and 4 digits of 3 bits of an H3 cell of resolution 4. A thing without a place
(an offer's definition, a merchant, a key) carries 19 bits of a hash of its random part instead, and is distributed by that.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from uuid import UUID

from .cells import SHARD_RESOLUTION, parent

RANDOM_BITS = 55
_RANDOM_MASK = (1 << RANDOM_BITS) - 1
_CODE_SHIFT = 33  # a res-4 index keeps 11 unused digits of 3 bits below its code
_CODE_MASK = (1 << 19) - 1
_LOW_BITS = 7
# Mode 1 (cell), resolution 4, unused digits all 7: what every shard cell has beside its code.
_CELL_FRAME = (1 << 59) | (SHARD_RESOLUTION << 52) | ((1 << _CODE_SHIFT) - 1)


def located_id(cell: int, *, now: datetime, chance: int) -> UUID:
    """An id for a thing at a place.

    cell: H3 index of resolution 4 or finer. now: aware. chance: RANDOM_BITS random bits, drawn by the caller.
    """
    code = (parent(cell, SHARD_RESOLUTION) >> _CODE_SHIFT) & _CODE_MASK
    return _assemble(code, now, chance)


def unlocated_id(*, now: datetime, chance: int) -> UUID:
    """An id for a thing without a place; its shard is a hash of its random part."""
    digest = hashlib.blake2b((chance & _RANDOM_MASK).to_bytes(7, "big"), digest_size=4).digest()
    return _assemble(int.from_bytes(digest, "big") & _CODE_MASK, now, chance)


def shard_of(public_id: UUID) -> int:
    """The shard number of an id; for a located thing this is its H3 cell of resolution 4."""
    high = (public_id.int >> 64) & 0xFFF
    low = (public_id.int >> RANDOM_BITS) & 0x7F
    return _CELL_FRAME | ((high << _LOW_BITS | low) << _CODE_SHIFT)


def _assemble(code: int, now: datetime, chance: int) -> UUID:
    milliseconds = int(now.timestamp() * 1000)
    return UUID(
        int=(milliseconds & 0xFFFF_FFFF_FFFF) << 80
        | 8 << 76
        | (code >> _LOW_BITS) << 64
        | 0b10 << 62
        | (code & 0x7F) << RANDOM_BITS
        | (chance & _RANDOM_MASK)
    )
