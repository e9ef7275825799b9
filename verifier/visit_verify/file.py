"""The file in which a visitor keeps a receipt: a zip with the receipt and its proof. Pure."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib

from .proof import Proof, parse_proof
from .receipt import BadReceipt

RECEIPT_NAME, PROOF_NAME = "receipt.jws", "receipt.tlog-proof"
# Of a whole file, and of what one of its members holds.
MOST_FILE_BYTES = 4_000_000
_MOST_BYTES = 1_000_000
# Where a member's own header has its CRC-32, packed size and size.
_SUM_AT = 14


def parse_visit(data: bytes) -> tuple[str, Proof]:
    """The receipt and its proof. Raises BadReceipt."""
    if len(data) > MOST_FILE_BYTES:
        raise BadReceipt(f"not a .visit file that can be read: it has more than {MOST_FILE_BYTES} bytes")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if sorted(one.filename for one in archive.infolist()) != [RECEIPT_NAME, PROOF_NAME]:
                raise BadReceipt(f"a .visit file holds {RECEIPT_NAME} and {PROOF_NAME} and nothing else")
            for one in archive.infolist():
                _check_told_twice(data, one)
            receipt, proof = (_read(archive, name) for name in (RECEIPT_NAME, PROOF_NAME))
        return receipt.decode("ascii").strip(), parse_proof(proof)
    except BadReceipt:
        raise
    # A zip that was made to hurt ends in any of these inside the library.
    except (zipfile.BadZipFile, zlib.error, struct.error, ValueError, NotImplementedError, RuntimeError, EOFError, OSError) as failure:
        raise BadReceipt(f"not a .visit file that can be read: {failure}") from failure


def format_visit(receipt: str, proof: Proof) -> bytes:
    """The same bytes for the same receipt and proof."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in ((RECEIPT_NAME, receipt + "\n"), (PROOF_NAME, str(proof))):
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), text, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def _check_told_twice(data: bytes, one: zipfile.ZipInfo) -> None:
    """A zip says the sum and the sizes of a member ahead of it and at its end: where these differ, readers would differ too."""
    if struct.unpack_from("<III", data, one.header_offset + _SUM_AT) != (one.CRC, one.compress_size, one.file_size):
        raise BadReceipt(f"not a .visit file that can be read: it says two things of {one.filename}")


def _read(archive: zipfile.ZipFile, name: str) -> bytes:
    # What the archive says of its own sizes is not believed.
    with archive.open(name) as file:
        data = file.read(_MOST_BYTES + 1)
    if len(data) > _MOST_BYTES:
        raise BadReceipt(f"{name} is too long")
    return data
