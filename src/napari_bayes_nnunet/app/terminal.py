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
    """View of the messages of a job."""

    def show(self, message: Message) -> None:
        """Show a message, or ignore its kind."""

    def close(self) -> None:
        """End an open progress bar."""


class JsonLines:
    """Messages of the given ``kinds``, one JSON line each."""

    def __init__(self, stream: TextIO, *, kinds: type[Message] = Message) -> None:
        self._stream, self._kinds = stream, kinds

    def show(self, message: Message) -> None:
        """Write the message if it is one of the kinds."""
        if isinstance(message, self._kinds):
            print(message.to_line(), file=self._stream, flush=True)

    def close(self) -> None:
        """Do nothing: every line is complete."""


class ProgressView:
    """Readable progress: a bar if ``stream`` is a terminal, else lines of text.

    With ``leave``, finished bars stay visible.
    """

    def __init__(self, stream: TextIO, *, leave: bool = False) -> None:
        self._stream, self._leave = stream, leave
        self._has_bars = stream.isatty()
        self._bar: tqdm[None] | None = None
        self._time_left = TimeLeft()

    def progress(
        self,
        text: str,
        done: int,
        total: int,
        *,
        note: str | None = None,
        line: str = "",
        may_end_early: bool = False,
    ) -> None:
        """Move the bar; another ``total`` or a smaller ``done`` starts a new bar.

        ``text`` is shown before the bar and ``note``, by default the time left, after it. Without
        a terminal, ``line`` is written instead. If the work ``may_end_early``, another ``total``
        moves the end of the bar.
        """
        if not self._has_bars:
            if line:
                self.line(line)
            return
        if self._bar is not None and may_end_early:
            self._bar.total = total
        if self._bar is None or self._bar.total != total or done < self._bar.n:
            self._begin(text, done, total)
        assert self._bar is not None
        if done > self._bar.n:
            self._time_left.step(done - self._bar.n)
        self._bar.n = done
        self._bar.set_description_str(text, refresh=False)
        if note is None:
            note = time_left_text(self._time_left.seconds(total - done))
        self._bar.set_postfix_str(note, refresh=False)
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
    """Move the bar of an image, or of images segmented together, to the member of a snapshot.

    An image that is stable has no more members.
    """
    done, total = snapshot.done, snapshot.total
    note = time_left_text(snapshot.eta_seconds)
    text = f"{image}, member {done} of {total}"
    view.progress(text, done, total, note=note, may_end_early=True)


def time_left_text(seconds: float | None) -> str:
    """Return a text such as "3 min 20 s left", or "" if the time is unknown."""
    return "" if seconds is None else f"{duration_text(seconds)} left"
