"""File of a training's messages, RUN/progress.jsonl, with one JSON message per line."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from .. import AppError
from ..messages import JobEnded, Message, from_line

LAST_BYTES = 65536
"""More than the last hundred epochs of a training."""
FIRST_LOG_BYTES = 200_000
"""Length of the end of a log that is read first."""


def append_message(file: Path, message: Message) -> None:
    """Append a message as one line, so that a reader always sees whole lines."""
    line = (message.to_line() + "\n").encode()
    with file.open("a+b", buffering=0) as stream:
        # A kill or a full disk may have left half a line, which must not be continued.
        size = stream.seek(0, os.SEEK_END)
        stream.seek(max(0, size - 1))
        stream.write(line if stream.read(1) in (b"", b"\n") else b"\n" + line)


def messages_in(lines: bytes) -> list[Message]:
    """Return the messages of the lines, without those that are damaged or of an unknown kind."""
    messages = []
    for line in lines.split(b"\n"):
        try:
            messages.append(from_line(line.decode("utf-8", errors="replace")))
        except AppError:  # cut short by a kill, or written by a newer version
            continue
    return messages


def last_messages(file: Path) -> list[Message]:
    """Return the last messages of the file, [] if it is missing. Raises OSError."""
    try:
        with file.open("rb") as stream:
            stream.seek(max(0, stream.seek(0, os.SEEK_END) - LAST_BYTES))
            return messages_in(stream.read())
    except FileNotFoundError:
        return []


def end_in(messages: Sequence[Message]) -> JobEnded | None:
    """Return the end of the job that wrote the messages, None if it still runs or died."""
    last = messages[-1] if messages else None
    return last if isinstance(last, JobEnded) else None


def unreachable(folder: Path, error: OSError) -> AppError:
    """Return the error for a folder that cannot be read."""
    return AppError(
        "{folder} cannot be read ({reason}). Check that its drive is connected.",
        folder=folder,
        reason=error.strerror or type(error).__name__,
    )


def log_text(lines: bytes) -> str:
    """Return lines of a log; a progress bar, redrawn in one line, gives its last state."""
    text = lines.decode("utf-8", errors="replace").replace("\r\n", "\n")
    return "\n".join(line.rpartition("\r")[2] for line in text.split("\n"))


LARGEST_BYTES = 1 << 26
"""Of a longer file, as a stranger's run may have, only the end is read."""


class FileTail:
    """Reader of the whole lines that were added to a file since the last reading.

    One reading returns at most the last ``limit`` bytes.
    """

    def __init__(self, file: Path, *, limit: int | None = None) -> None:
        self._file, self._limit = file, limit
        self._lines = b""
        self._version: tuple[int, int, int] | None = None

    def read(self) -> tuple[bytes, bool]:
        """Return the new lines, and whether lines read before are void, as the file begins again.

        Raises AppError if the folder cannot be reached.
        """
        try:
            status = self._file.stat()
            version = status.st_ino, status.st_size, status.st_mtime_ns
            if version == self._version:
                return b"", False
            with self._file.open("rb") as stream:
                stream.seek(max(0, status.st_size - LARGEST_BYTES))
                content = stream.read(LARGEST_BYTES)
        except FileNotFoundError as error:
            if self._lines and not self._file.parent.exists():
                raise unreachable(self._file.parent, error) from error
            version, content = None, b""
        except OSError as error:
            raise unreachable(self._file.parent, error) from error
        before, self._version = self._lines, version
        self._lines = content[: content.rfind(b"\n") + 1]
        # Another file is known by its content, as file systems soon use an inode again.
        restarted = not self._lines.startswith(before)
        new = self._lines if restarted else self._lines[len(before) :]
        if self._limit is not None and len(new) > self._limit:
            new = new[-self._limit :].partition(b"\n")[2]
        return new, restarted
