"""Progress of a command in a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, TextIO

from tqdm import tqdm

from ..core.durations import TimeLeft, duration_text
from .messages import Message
from .segmentation.result import Snapshot


class MessageView(Protocol):
    """Shows messages of a job."""

    def show(self, message: Message) -> None:
        """Show a message, unless its kind is of no interest here."""

    def close(self) -> None:
        """Leave the terminal tidy."""


class JsonLines:
    """Messages of some ``kinds`` for a program, one JSON line each."""

    def __init__(self, stream: TextIO, *, kinds: type[Message] = Message) -> None:
        self._stream, self._kinds = stream, kinds

    def show(self, message: Message) -> None:
        """Write the message if it is one of the kinds."""
        if isinstance(message, self._kinds):
            print(message.to_line(), file=self._stream, flush=True)

    def close(self) -> None:
        """Do nothing: every line is complete."""


class ProgressView:
    """Progress for a person: a bar if ``stream`` is a terminal, else lines of text.

    Bars stay in sight at their end if ``leave``.
    """

    def __init__(self, stream: TextIO, *, leave: bool = False) -> None:
        self._stream, self._leave = stream, leave
        self._has_bars = stream.isatty()
        self._bar: tqdm[None] | None = None
        self._time_left = TimeLeft()

    def progress(
        self, text: str, done: int, total: int, *, note: str | None = None, line: str = ""
    ) -> None:
        """Move the bar, or begin another one for another ``total`` or less ``done``.

        ``text`` stands before the bar and ``note``, by default the time left, after it. ``line`` is
        written instead if there are no bars.
        """
        if not self._has_bars:
            if line:
                self.line(line)
            return
        if self._bar is None or self._bar.total != total or done < self._bar.n:
            self._begin(text, done, total)
        assert self._bar is not None
        if done > self._bar.n:
            self._time_left.step(done - self._bar.n)
        self._bar.n = done
        self._bar.set_description_str(text, refresh=False)
        left = time_left_text(self._time_left.seconds(total - done)) if note is None else note
        self._bar.set_postfix_str(left, refresh=False)
        self._bar.refresh()

    def line(self, text: str) -> None:
        """Write a line of text, above the bar."""
        with tqdm.external_write_mode(file=self._stream):
            print(text, file=self._stream, flush=True)

    def close(self) -> None:
        """End the bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _begin(self, text: str, done: int, total: int) -> None:
        self.close()
        self._time_left = TimeLeft()
        self._bar = tqdm(
            total=total,
            initial=done,
            desc=text,
            bar_format="{desc} |{bar}| {elapsed}{postfix}",
            file=self._stream,
            dynamic_ncols=True,
            leave=self._leave,
        )


@contextmanager
def progress_bar() -> Iterator[ProgressView]:
    """Show progress on the error stream until the end of the block."""
    view = ProgressView(sys.stderr)
    try:
        yield view
    finally:
        view.close()


def show_member(view: ProgressView, image: str, snapshot: Snapshot) -> None:
    """Move the bar of an image, or of images segmented together, to the member of a snapshot."""
    done, total = snapshot.done, snapshot.total
    left = time_left_text(snapshot.eta_seconds)
    view.progress(f"{image}, member {done} of {total}", done, total, note=left)


def time_left_text(seconds: float | None) -> str:
    """Return "3 min 20 s left", "" if nothing is known."""
    return "" if seconds is None else f"{duration_text(seconds)} left"
