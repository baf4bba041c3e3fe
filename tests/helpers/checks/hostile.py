"""Contents of files that would run code if they were trusted."""

import struct
from pathlib import Path
from typing import Any

GROK = 37
"""A compression that blosc2 looks for in the module blosc2_grok."""


class Toucher:
    """Object whose unpickling makes an empty file."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self._file,)


def forge_codec(array: bytes, part: str = "chunk") -> bytes:
    """Return a blosc2 file whose first chunk, or index, claims to be compressed by a plugin."""
    (start,) = struct.unpack_from(">i", array, 11)
    (compressed,) = struct.unpack_from(">q", array, 39)
    at = start + (compressed if part == "index" else 0)
    forged = bytearray(array)
    forged[at + 2] = forged[at + 2] & 0x1F | 6 << 5
    forged[at + 22] = GROK
    return bytes(forged)
