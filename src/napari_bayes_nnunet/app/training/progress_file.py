"""The file of a training's messages, RUN/progress.jsonl: one JSON message a line."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from .. import AppError
from ..messages import JobEnded, Message, from_line

LAST_BYTES = 65536
"""More than the last hundred epochs of a training."""


class Journal:
    """The file of messages. Who follows it sees whole lines, one a message."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def append(self, message: Message) -> None:
        """Write a message at the end."""
        line = (message.to_line() + "\n").encode()
        with self._file.open("a+b", buffering=0) as file:
            # A kill or a full disk may have left half a line, which this must not lengthen.
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 1))
            file.write(line if file.read(1) in (b"", b"\n") else b"\n" + line)


def messages_in(lines: bytes) -> list[Message]:
    """The messages of the lines; those that are damaged or of an unknown kind are left out."""
    messages = []
    for line in lines.split(b"\n"):
        try:
            messages.append(from_line(line.decode("utf-8", errors="replace")))
        except AppError:  # cut short by a kill, or of a newer version
            continue
    return messages


def last_messages(file: Path) -> list[Message]:
    """The messages at the end of the file, [] without it. Raises OSError."""
    try:
        with file.open("rb") as stream:
            stream.seek(max(0, stream.seek(0, os.SEEK_END) - LAST_BYTES))
            return messages_in(stream.read())
    except FileNotFoundError:
        return []


def end_in(messages: Sequence[Message]) -> JobEnded | None:
    """How the job ended that wrote these messages, None while it goes on or when it died."""
    last = messages[-1] if messages else None
    return last if isinstance(last, JobEnded) else None


def unreachable(folder: Path, error: OSError) -> AppError:
    """The sentence for a folder that cannot be read."""
    reason = error.strerror or type(error).__name__
    return AppError(
        f"{folder} cannot be read at the moment: {reason}. Check that its drive is connected."
    )
