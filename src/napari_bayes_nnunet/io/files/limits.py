"""Limits for reading, because a small file can unpack to more than the memory holds."""

from __future__ import annotations

import errno
import os
import zipfile
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .special import refuse_special

LARGEST_TEXT: Final = 64 * 2**20
"""Largest JSON or CSV file, in bytes; the record of 10,000 cases has a hundredth of this."""
LFS_START: Final = b"version https://git-lfs.github.com/spec/"
"""First bytes of a pointer, which Git leaves in place of a large file it has not downloaded."""
CHUNK: Final = 2**20
"""Bytes that are unpacked at a time and not kept."""

DAMAGED_NPZ: Final = (
    *(OSError, ValueError, KeyError, TypeError, EOFError, RuntimeError, MemoryError),
    *(zipfile.BadZipFile, zlib.error),
)
"""Errors of zipfile and NumPy for bytes that are not a complete archive of arrays."""


class ArrayHeader(NamedTuple):
    """Shape and type of an array in an .npz file, known before it is unpacked."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]


def read_small(file: Path, *, most: int = LARGEST_TEXT) -> bytes:
    """Return the bytes of a file. Raises OSError, with EFBIG if it has more than ``most``."""
    refuse_special(file)
    with file.open("rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        # One byte more tells whether the file has grown meanwhile.
        content = b"" if size > most else stream.read(size + 1)
        while size < len(content) <= most and (more := stream.read(CHUNK)):  # the file is growing
            content += more
    if max(size, len(content)) > most:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), os.fspath(file))
    return content


def read_small_text(file: Path, *, encoding: str = "utf-8", errors: str = "strict") -> str:
    """Return the text of a file, with line feeds only; raises as `read_small` does."""
    text = read_small(file).decode(encoding, errors)
    return text.replace("\r\n", "\n").replace("\r", "\n")


def is_stored(archive: zipfile.ZipFile, size: int) -> bool:
    """Return whether an archive of ``size`` bytes has no compressed or overlapping entries.

    Overlapping entries are together larger than the archive.
    """
    entries = archive.infolist()
    as_stored = all(entry.compress_type == zipfile.ZIP_STORED for entry in entries)
    return as_stored and sum(entry.file_size for entry in entries) <= size


def read_npz(
    file: Path, names: Iterable[str], check: Callable[[str, ArrayHeader], None]
) -> dict[str, NDArray[Any]]:
    """Return the arrays ``names`` of an .npz file; ``check`` raises if a header asks for too much.

    Raises KeyError for a missing array, and what NumPy and zipfile raise for a damaged file.
    """
    with zipfile.ZipFile(file) as archive:
        for name, header in {name: _array_header(archive, name) for name in names}.items():
            check(name, header)
    with file.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
        # By the whole names, because an entry without the ending would come before the checked one.
        return {name: stored[f"{name}.npy"] for name in names}


def _array_header(archive: zipfile.ZipFile, name: str) -> ArrayHeader:
    with archive.open(f"{name}.npy") as stream:
        # Headers of later versions may have 4 GB, and np.savez writes them for long names only.
        if np.lib.format.read_magic(stream) != (1, 0):
            raise ValueError(f"The array {name} has an unknown header.")
        shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
    return ArrayHeader(shape, dtype)
