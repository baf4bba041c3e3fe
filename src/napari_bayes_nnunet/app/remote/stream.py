"""Messages followed by the content of their files, for a computer that has another disk.

A message is its JSON line, with the ending of a file in place of its path. For each file follow its
size in a line of its own, and its bytes. The recipient chooses the path.
"""

from __future__ import annotations

import math
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import IO, Final

from numpy.lib import format as npy

from ...core.problems import Action
from ...io.files.limits import CHUNK, LARGEST_TEXT
from .. import AppError
from ..messages import Message, from_line

FILE_ENDINGS: Final = (".npy", ".npz", ".json", ".pth")
LARGEST_FILE: Final = 2**33
"""Bytes of a file that is received, and of the array in it."""
DAMAGED_DATA: Final = "The data from the other computer are damaged."


def write_message(stream: IO[bytes], message: Message) -> None:
    """Write a message with the content of its files. Raises OSError."""
    with ExitStack() as opened:  # all before the first byte, because a file may be missing
        files = [opened.enter_context(path.open("rb")) for path in message.files]
        line = message.with_files(lambda path: Path(path).suffix).to_line()
        stream.write(f"{line}\n".encode())
        for file in files:
            stream.write(b"%d\n" % os.fstat(file.fileno()).st_size)
            shutil.copyfileobj(file, stream, CHUNK)
    stream.flush()


def read_messages(stream: IO[bytes], folder: Path) -> Iterator[Message]:
    """Yield the messages of a stream until its end, with their files in ``folder``.

    Raises EOFError if the stream ends in a file, AppError for a line that is not a message.
    """
    while line := stream.readline(LARGEST_TEXT):
        message = from_line(line.decode(errors="replace"))
        yield message.with_files(partial(_receive, stream, folder))


def _receive(stream: IO[bytes], folder: Path, ending: str) -> str:
    """Write a file of the stream to a new file and return its path."""
    # Limited, because a damaged stream may have no line break.
    size = stream.readline(20).strip()
    if ending not in FILE_ENDINGS or not size.isdigit() or int(size) > LARGEST_FILE:
        raise AppError(DAMAGED_DATA, Action.START_AGAIN)
    left = int(size)
    handle, path = tempfile.mkstemp(suffix=ending, dir=folder)
    with open(handle, "wb") as file:
        while left:
            content = stream.read(min(left, CHUNK))
            if not content:
                raise EOFError
            file.write(content)
            left -= len(content)
    if ending == ".npy":
        _check_array(Path(path))
    return path


def _check_array(file: Path) -> None:
    """Raise AppError unless a file is a whole array of numbers: its header can claim any size."""
    with file.open("rb") as stream:
        try:
            if npy.read_magic(stream) != (1, 0):
                raise ValueError("The header has another version.")
            shape, _, dtype = npy.read_array_header_1_0(stream)
            claimed = stream.tell() + math.prod(shape) * dtype.itemsize
            if dtype.kind not in "buif" or claimed != file.stat().st_size:
                raise ValueError("The header claims another array.")
        except ValueError as error:
            raise AppError(DAMAGED_DATA, Action.START_AGAIN) from error
