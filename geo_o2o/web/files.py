"""Files of the pages as they are sent: packed once, and known again by their tags."""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
import re
from functools import cache, lru_cache
from pathlib import Path

import brotli

from ..errors import NotFound

_STATIC = Path(__file__).parent / "static"
_ICONS = _STATIC / "vendor" / "lucide@1.62.0"
_TYPES = {
    ".mjs": "text/javascript; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".woff2": "font/woff2",
    ".webmanifest": "application/manifest+json; charset=utf-8",
}  # fmt: skip
_SMALL_ENOUGH = frozenset({".woff2", ".png"})
_QUALITY = 6
# What an icon draws, without the attributes that it has outside of a page.
_SHAPES = re.compile(r"<svg[^>]*>(.*)</svg>", re.DOTALL)
# No file of ours is called by more letters, and a file system takes 255.
_LONGEST_NAME = 200


@lru_cache(maxsize=512)
def packed_file(name: str, encoding: str) -> tuple[bytes, str, str]:
    """The bytes of a file as they are sent, its tag, and how they are packed. Raises NotFound."""
    path = (_STATIC / name.replace("\0", "/")).resolve() if len(name) <= _LONGEST_NAME else _STATIC
    if _STATIC not in path.parents or not path.is_file():
        raise NotFound(f"there is no file {name[:100]!r}")
    body = path.read_bytes()
    tag = hashlib.sha256(body).hexdigest()[:32]
    if not encoding or path.suffix in _SMALL_ENOUGH:
        return body, tag, ""
    packed = brotli.compress(body, quality=_QUALITY) if encoding == "br" else gzip.compress(body, _QUALITY, mtime=0)
    return packed, f"{tag}-{encoding}", encoding


def content_type_of(name: str) -> str:
    suffix = Path(name).suffix
    guessed = _TYPES.get(suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
    return f"{guessed}; charset=utf-8" if guessed.startswith("text/") and "charset" not in guessed else guessed


@cache
def icon(name: str) -> str:
    """An icon as SVG to stand in a page; its size and colour are those of the text. Raises NotFound."""
    path = _ICONS / f"{name}.svg"
    if not path.is_file():
        raise NotFound(f"there is no icon {name[:40]!r}")
    found = _SHAPES.search(path.read_text(encoding="utf-8"))
    assert found, f"{path.name} is no icon"
    return f'<svg class="i" viewBox="0 0 24 24" aria-hidden="true">{" ".join(found[1].split())}</svg>'
