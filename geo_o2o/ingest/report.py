"""What a load did, or would do."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from ..errors import InvalidInput
from .rows import Refused

# Refused rows shown on the screen; all of them go to the file of --report.
SHOWN = 20
# Refused rows that are kept with the load, and how much of each text.
RECORDED, _LONGEST = 200, 300
# Kept in memory at most; a file with more broken rows than this is broken as a whole.
_KEPT = 100_000


def written(text: str) -> str:
    """A text of a file as a database can keep it: not too long, without NUL and without bytes that are no letters."""
    return text[:_LONGEST].encode("utf-8", "replace").decode().replace("\0", "?")


class BrokenFile(InvalidInput):
    """The file cannot be read to its end, so nothing of it is loaded."""

    code = "broken_file"


@dataclass
class Report:
    """Counts of one kind of row. notes: rows that were loaded with less than the file says, by reason."""

    what: str
    new: int = 0
    changed: int = 0
    unchanged: int = 0
    moved: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)
    rows: list[Refused] = field(default_factory=list)

    def refuse(self, row: Refused) -> None:
        self.refused[row.reason] += 1
        if len(self.rows) < _KEPT:
            self.rows.append(row)

    def as_json(self) -> dict[str, Any]:
        return {
            "what": self.what, "new": self.new, "changed": self.changed, "unchanged": self.unchanged, "moved": self.moved,
            "refused": dict(self.refused), "notes": dict(self.notes),
        }  # fmt: skip

    def as_record(self) -> dict[str, Any]:
        """As it is kept: counts, and the first of the refused rows."""
        rows = [{"where": written(row.where), "reason": row.reason, "detail": written(row.detail)} for row in self.rows[:RECORDED]]
        return {**self.as_json(), "rows": rows}

    def lines(self) -> list[str]:
        """For a person to read."""
        counts = f"{self.what}: {self.new:,} new, {self.changed:,} changed, {self.unchanged:,} unchanged"
        if self.moved:
            counts += f", {self.moved:,} moved to another shard"
        lines = [f"{counts}, {sum(self.refused.values()):,} refused"]
        lines += [f"  refused {count:,} × {reason}" for reason, count in self.refused.most_common()]
        lines += [f"  note {count:,} × {reason}" for reason, count in self.notes.most_common()]
        lines += [f"    {row.where}: {row.reason}: {row.detail}" for row in self.rows[:SHOWN]]
        if len(self.rows) > SHOWN:
            lines.append(f"    … and {sum(self.refused.values()) - SHOWN:,} more; --report FILE writes all of them")
        return lines
