"""Reads what a training writes, while it writes it: its messages and its log.

The files may be on a shared drive, may not exist yet, and may be replaced at any moment: a resumed
training writes RUN/progress.jsonl anew, without the epochs it repeats.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ...io.ensemble.run_folder import RunFolder
from ..messages import Message
from .progress_file import messages_in, unreachable

FIRST_LOG_BYTES = 200_000
"""How much of the end of a log is shown at first."""
REMEMBERED = 4096
"""Bytes before the place read so far, by which another file of the same name is noticed."""


@dataclass(frozen=True, kw_only=True)
class Update:
    """New messages. ``restarted``: they are all there are, what was read before is void."""

    messages: list[Message]
    restarted: bool


@dataclass(frozen=True, kw_only=True)
class LogUpdate:
    """New text of a log, whole lines. ``restarted``: what was read before is void."""

    text: str
    restarted: bool


class Follower:
    """Follows the messages of a training."""

    def __init__(self, run: RunFolder) -> None:
        self._lines = _NewLines(run.progress)

    def read(self) -> Update:
        """The messages since the last call. Raises AppError for an unreachable folder."""
        lines, restarted = self._lines.read()
        return Update(messages=messages_in(lines), restarted=restarted)


class LogTail:
    """Follows the log of a training, from its last 200 kB on."""

    def __init__(self, run: RunFolder) -> None:
        self._lines = _NewLines(run.log, at_first=FIRST_LOG_BYTES)

    def read(self) -> LogUpdate:
        """The lines since the last call. Raises AppError for an unreachable folder.

        Of a progress bar, which is drawn over and over in one line, the last state is given.
        """
        lines, restarted = self._lines.read()
        text = lines.decode("utf-8", errors="replace").replace("\r\n", "\n")
        last = (line.rpartition("\r")[2] for line in text.split("\n"))
        return LogUpdate(text="\n".join(last), restarted=restarted)


class _NewLines:
    """The whole lines a file has grown by since the last reading; half a line waits.

    Of a file longer than ``at_first`` bytes only so many at its end are read in the beginning.
    """

    def __init__(self, file: Path, *, at_first: int | None = None) -> None:
        self._file = file
        self._at_first = at_first
        self._forget()

    def read(self) -> tuple[bytes, bool]:
        """The new lines, and whether the file is another one, read from its start."""
        try:
            with self._file.open("rb") as stream:
                return self._read(stream)
        except FileNotFoundError as error:
            if self._place and not self._file.parent.exists():
                raise unreachable(self._file.parent, error) from error
            restarted = self._place > 0
            self._forget()
            return b"", restarted
        except OSError as error:
            raise unreachable(self._file.parent, error) from error

    def _forget(self) -> None:
        self._place = 0
        self._before = b""  # what stands before the place
        self._seen = (0, 0, 0)

    def _read(self, stream: BinaryIO) -> tuple[bytes, bool]:
        status = os.fstat(stream.fileno())
        now = status.st_ino, status.st_size, status.st_mtime_ns
        if now == self._seen:
            return b"", False
        restarted = not self._is_the_same(stream, now)
        if restarted:
            self._forget()
        self._seen = now
        lines = self._rest(stream, status.st_size)
        return lines, restarted

    def _is_the_same(self, stream: BinaryIO, now: tuple[int, int, int]) -> bool:
        """Whether the file is the one read before, grown; inodes alone are used again too soon."""
        if not self._place:
            return True
        if now[0] != self._seen[0] or now[1] < self._place:
            return False
        stream.seek(self._place - len(self._before))
        return stream.read(len(self._before)) == self._before

    def _rest(self, stream: BinaryIO, size: int) -> bytes:
        skipped = 0
        if not self._place and self._at_first is not None:
            skipped = max(0, size - self._at_first)
        stream.seek(self._place + skipped)
        new = stream.read()
        whole = new[: new.rfind(b"\n") + 1]
        self._place += skipped + len(whole)
        self._before = (self._before + whole)[-REMEMBERED:]
        return whole.partition(b"\n")[2] if skipped else whole
