"""UK Food Hygiene Ratings: the agency's XML, or the same columns as CSV or Parquet.

A hygiene rating of 0 to 5 counts as one rating of that many stars, and 0 as 1 star, the least there is; what is not a number
(AwaitingInspection, Exempt, the Scottish Pass) leaves a place unrated. The rating as published is kept as a tag.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..stores.categories import from_fhrs
from .report import BrokenFile
from .rows import Refused, StoreRow, check_store
from .tables import records

ATTRIBUTION, LICENCE = "Food Standards Agency", "Open Government Licence v3.0"
_NEEDED = ("FHRSID", "BusinessName", "Longitude", "Latitude")


def stores(path: Path) -> Iterator[StoreRow | Refused]:
    """Places of a file; those without a published position are refused."""
    if path.suffix == ".xml":
        rows = _xml(path)
    else:
        header, rows = records(path)
        missing = [name for name in _NEEDED if name not in header]
        if missing:
            raise BrokenFile(f"{path.name} has no column {', '.join(missing)}; it has {', '.join(header)}")
    for where, record in rows:
        yield _store(where, record)


def _store(where: str, record: Mapping[str, Any]) -> StoreRow | Refused:
    if record.get("Longitude") in (None, "") or record.get("Latitude") in (None, ""):
        return Refused(f"FHRSID {record.get('FHRSID')}", "no_point", "no position is published")
    value = str(record.get("RatingValue") or "")
    stars = max(1, int(value)) if value in ("0", "1", "2", "3", "4", "5") else None
    lines = [str(record[name]) for name in ("AddressLine1", "AddressLine2", "AddressLine3", "AddressLine4") if record.get(name)]
    address = {"full": ", ".join(lines)[:500], "postcode": record.get("PostCode"), "city": record.get("LocalAuthorityName")}
    return check_store(
        where, source_id=record.get("FHRSID"), name=record.get("BusinessName"), lon=record["Longitude"], lat=record["Latitude"],
        category=from_fhrs(str(record.get("BusinessType") or "")), address={key: str(text) for key, text in address.items() if text},
        tags=(f"fhrs_rating:{value}",) if value else (), rating_sum=stars or 0, rating_count=1 if stars else 0, exact_place=False,
    )  # fmt: skip


def _xml(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    try:
        for number, (_, element) in enumerate(ET.iterparse(path)):
            if element.tag == "EstablishmentDetail":
                yield f"element {number}", {child.tag: child.text for child in element.iter()}
                element.clear()
    except (ET.ParseError, OSError) as failure:
        raise BrokenFile(f"{path.name} is no whole XML file: {failure}") from failure
