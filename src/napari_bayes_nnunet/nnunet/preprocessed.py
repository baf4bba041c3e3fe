"""Preprocessed cases, read without running any code from their files.

A training that is resumed finds them in its run folder, which may come from anywhere. nnU-Net
itself unpickles their properties, and blosc2 starts Python for codecs that it does not know.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
import re
import struct
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import blosc2
import numpy as np
from nnunetv2.training.dataloading.nnunet_dataset import nnUNetDatasetBlosc2
from numpy.typing import NDArray

from ..core.problems import Action
from . import ModelError

UNSAFE_CASE = (
    "{file} cannot be used, because {reason}. Delete the folder {folder} to have the images "
    "preprocessed again."
)
FOREIGN_OBJECT = "it contains more than numbers and text, so it could run code"
UNUSUAL_FILE = "it is damaged or was not written by nnU-Net"

_DAMAGED = (
    *(OSError, EOFError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError),
    *(MemoryError, RuntimeError, SyntaxError, struct.error),
)


class CheckedDataset(nnUNetDatasetBlosc2):
    """nnU-Net's dataset of preprocessed cases, all of which are checked when it is made.

    Raises ModelError if a file is damaged or could run code.
    """

    def __init__(
        self,
        folder: str,
        identifiers: list[str] | None = None,
        folder_with_segs_from_previous_stage: str | None = None,
    ) -> None:
        super().__init__(folder, identifiers, folder_with_segs_from_previous_stage)
        for identifier in self.identifiers:  # errors in a loader's process are lost
            for file in self._arrays(identifier):
                check_array_file(file)
            read_properties(self._file(identifier, ".pkl"))

    def load_case(self, identifier: str) -> tuple[Any, Any, Any | None, dict[str, Any]]:
        """Return image, labels, labels of the previous stage of a cascade, and properties."""
        image, labels, *previous = map(self._open, self._arrays(identifier))
        properties = read_properties(self._file(identifier, ".pkl"))
        return image, labels, previous[0] if previous else None, properties

    def _arrays(self, identifier: str) -> Iterator[Path]:
        yield self._file(identifier, ".b2nd")
        yield self._file(identifier, "_seg.b2nd")
        if self.folder_with_segs_from_previous_stage is not None:
            yield Path(self.folder_with_segs_from_previous_stage, f"{identifier}.b2nd")

    def _file(self, identifier: str, ending: str) -> Path:
        return Path(self.source_folder, identifier + ending)

    def _open(self, file: Path) -> Any:
        return open_array(file, **self.mmap_kwargs)


def open_array(file: Path, **options: Any) -> Any:
    """Return the array of a file that `check_array_file` found safe, read where it is sliced."""
    return blosc2.open(urlpath=str(file), mode="r", dparams={"nthreads": 1}, **options)


# Properties


def read_properties(file: Path) -> dict[str, Any]:
    """Return the properties of a case from nnU-Net's pickle.

    Raises ModelError if it is damaged or contains anything but numbers, texts, arrays and their
    containers.
    """
    try:
        content = file.read_bytes()
        _check_memo(content)
        properties = _without_stand_ins(_PropertiesUnpickler(io.BytesIO(content)).load(), {})
        if not isinstance(properties, dict):
            raise TypeError
    except pickle.UnpicklingError as error:
        reason = FOREIGN_OBJECT if isinstance(error, _ForeignObjectError) else UNUSUAL_FILE
        raise _unusable(file, reason) from error
    except _DAMAGED as error:
        raise _unusable(file, UNUSUAL_FILE) from error
    return properties


class _ForeignObjectError(pickle.UnpicklingError):
    """Error for a pickle that names something to import."""


class _PropertiesUnpickler(pickle.Unpickler):
    """Unpickler that imports nothing.

    NumPy's types are replaced, because with a forged state they would read any memory.
    """

    def find_class(self, module: str, name: str) -> Any:
        """Return the stand-in for a type. Raises _ForeignObjectError if it is not expected."""
        try:
            return _STAND_INS[module.replace("numpy.core", "numpy._core"), name]
        except KeyError:
            raise _ForeignObjectError(name) from None


class _NumberType:
    """Stand-in for the dtype of numbers."""

    def __init__(self, code: str, *options: object) -> None:
        if not re.fullmatch(r"[biufc]\d{1,2}", code):
            raise _ForeignObjectError(code)
        self.dtype = np.dtype(code)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.dtype = self.dtype.newbyteorder(state[1])


class _NumberArray:
    """Stand-in for an array of numbers."""

    array: NDArray[Any]

    def __init__(self, *arguments: object) -> None:
        """Accept the arguments of NumPy's ``_reconstruct``, which makes an array of length 0."""

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, kind, is_fortran, content = state
        order: Literal["F", "C"] = "F" if is_fortran else "C"
        self.array = np.frombuffer(content, kind.dtype).reshape(shape, order=order).copy(order)


def _array(
    content: bytearray, kind: _NumberType, shape: tuple[int, ...], order: Literal["F", "C"]
) -> NDArray[Any]:
    return np.frombuffer(content, kind.dtype).reshape(shape, order=order)


def _number(kind: _NumberType, content: bytes) -> Any:
    return np.frombuffer(content, kind.dtype, count=1)[0]


_STAND_INS: dict[tuple[str, str], Any] = {
    ("numpy", "dtype"): _NumberType,
    ("numpy", "ndarray"): _NumberArray,
    ("numpy._core.multiarray", "_reconstruct"): _NumberArray,
    ("numpy._core.multiarray", "scalar"): _number,
    ("numpy._core.numeric", "_frombuffer"): _array,  # of protocol 5, which is that of Python 3.14
    ("collections", "OrderedDict"): OrderedDict,
}


def _without_stand_ins(value: Any, done: dict[int, Any]) -> Any:
    """Return a value with real arrays; ``done`` has what was made of objects that occur again.

    Without it, a list of lists that hold each other twice would take years.
    """
    if id(value) in done:
        return done[id(value)]
    made = value.array if isinstance(value, _NumberArray) else value
    if isinstance(value, dict):
        made = {key: _without_stand_ins(item, done) for key, item in value.items()}
    elif isinstance(value, list | tuple):
        made = type(value)(_without_stand_ins(item, done) for item in value)
    done[id(value)] = made
    return made


def _check_memo(content: bytes) -> None:
    """Raise ValueError if a memo index exceeds the pickle, which would allocate gigabytes."""
    for opcode, argument, _ in pickletools.genops(content):
        if opcode.name in ("PUT", "LONG_BINPUT") and int(argument or 0) > len(content):
            raise ValueError


# Arrays

_METALAYERS = b"\xde\x00\x01\xa4b2nd\xd2\x00\x00\x00\x6b\xdc\x00\x01\xc6"
_TRAILER = b"\x94\x01\x93\xcd\x00\x06\xde\x00\x00\xdc\x00\x00\xce\x00\x00\x00\x23\xd8\x00"
"""A frame of blosc2 with the metalayer "b2nd" alone, and without any of variable length."""
_FINGERPRINT = 16
_CODECS = (0, 1, 3, 4)
_FILTERS = {0, 1, 2}
"""BloscLZ, LZ4, Zlib, Zstandard; none, shuffle, bit shuffle. They are part of blosc2 itself."""
_LARGEST_INDEX = 2**24


def check_array_file(file: Path) -> None:
    """Raise ModelError if a file is not a plain compressed array of numbers.

    blosc2 calls ``python -c "import blosc2_…"`` for codecs of others, opens files and addresses
    named in the metadata, and trusts sizes that contradict each other.
    """
    try:
        chunk, block = _check_frame(file.read_bytes())
        array = blosc2.open(urlpath=str(file), mode="r")
        size = array.dtype.itemsize
        expected = (math.prod(array.ext_chunks) * size, math.prod(array.blocks) * size)
        if array.dtype.kind not in "biuf" or (chunk, block) != expected:
            raise ValueError
    except _DAMAGED as error:
        raise _unusable(file, UNUSUAL_FILE) from error


def _check_frame(content: bytes) -> tuple[int, int]:
    """Return the bytes of a chunk and of a block. Raises ValueError or struct.error."""
    (start,) = struct.unpack_from(">i", content, 11)
    whole, compressed = (struct.unpack_from(">q", content, at)[0] for at in (30, 39))
    block, chunk = (struct.unpack_from(">i", content, at)[0] for at in (53, 58))
    index = start + compressed
    size = _check_chunk(content, index)
    (index_bytes,) = struct.unpack_from("<i", content, index + 4)
    if (
        content[91 : 91 + len(_METALAYERS)] != _METALAYERS
        or content[index + size : -_FINGERPRINT] != _TRAILER
        or index_bytes != 8 * -(-whole // chunk)
        or index_bytes > _LARGEST_INDEX
    ):
        raise ValueError
    offsets = np.frombuffer(blosc2.decompress2(content[index : index + size]), "<i8")
    for offset in offsets[offsets >= 0]:  # a negative offset marks a chunk of equal values
        _check_chunk(content, start + int(offset))
        if struct.unpack_from("<2i", content, start + int(offset) + 4) != (chunk, block):
            raise ValueError
    return chunk, block


def _check_chunk(content: bytes, start: int) -> int:
    """Return the size of a compressed chunk. Raises ValueError if blosc2 itself cannot read it."""
    flags, size = struct.unpack_from("<xxB9xi", content, start)
    filters = content[start + 16 : start + 22]
    is_extended = flags & 0b101 == 0b101
    if not is_extended or flags >> 5 not in _CODECS or not _FILTERS.issuperset(filters):
        raise ValueError
    if start < 0 or size < 0 or start + size > len(content):
        raise ValueError
    return int(size)


def _unusable(file: Path, reason: str) -> ModelError:
    folder = file.parents[1]
    return ModelError(UNSAFE_CASE, Action.RESUME, file=file.name, reason=reason, folder=folder)
