"""Progress of a command in a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any, TextIO, TypeVar

from tqdm import tqdm

from ..core.counts import format_count
from ..core.durations import TimeLeft, duration_text
from ..core.steps import drain
from .messages import EpochDone, Message, Notice, StageStarted, StudyDone, TrainingStarted
from .segmentation.result import Snapshot

_Result = TypeVar("_Result")


class JsonLines:
    """Messages of the given ``kinds``, one JSON line each."""

    def __init__(self, stream: TextIO, *, kinds: type[Message] = Message) -> None:
        self._stream, self._kinds = stream, kinds

    def show(self, message: Message) -> None:
        """Write the message if it is one of the kinds."""
        if isinstance(message, self._kinds):
            # The reader follows the job while it runs.
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


class JobText(ProgressView):
    """Readable messages of a job: a bar for its steps, epochs or studies, lines for the rest.

    ``stage_end`` follows the text of a stage without steps.
    """

    def __init__(self, stream: TextIO, *, stage_end: str = "") -> None:
        super().__init__(stream, leave=True)
        self._stage_end = stage_end
        self._started: TrainingStarted | None = None

    def show(self, message: Message) -> None:
        """Show a message; the command itself says how the job ended."""
        if isinstance(message, StageStarted) and message.total:
            self._step(message.text, message)
        elif isinstance(message, StageStarted):
            self.close()
            self.line(f"{message.text}{self._stage_end}")
        elif isinstance(message, Notice):
            self.line(message.text)
        elif isinstance(message, StudyDone):
            if message.outcome == "failed":
                self.line(f"{message.case}: {message.text}")
            self._step(
                f"{message.done} of {format_count(message.total, 'study', 'studies')}", message
            )
        elif isinstance(message, TrainingStarted):
            self._started = message
            cycle = min(message.epoch * message.cycles // message.epochs + 1, message.cycles)
            label = _position_text(message, message.epoch, cycle)
            self.progress(label, message.epoch, message.epochs, note="")
        elif isinstance(message, EpochDone) and self._started:
            self._show_epoch(self._started, message)

    def _step(self, text: str, message: StageStarted | StudyDone) -> None:
        left = time_left_text(message.eta_seconds)
        line = ", ".join(filter(None, (text, left)))
        self.progress(text, message.done, message.total, note=left, line=line)

    def _show_epoch(self, started: TrainingStarted, message: EpochDone) -> None:
        label = _position_text(started, message.epoch + 1, message.cycle + 1)
        plus = " + validation" if started.validation_cases else ""
        validation = "" if message.val_loss is None else f", validation {message.val_loss:.3f}"
        numbers = (
            f"{duration_text(message.eta_seconds)}{plus} left, "
            f"loss {message.train_loss:.3f}{validation}"
        )
        member = ", member kept" if message.member else ""
        line = f"{label}: {numbers}, {message.seconds:.1f} s{member}"
        self.progress(label, message.epoch + 1, started.epochs, note=numbers, line=line)


def _position_text(started: TrainingStarted, epoch: int, cycle: int) -> str:
    """Return cycle and epoch, counted from 1."""
    return f"cycle {cycle} of {started.cycles}, epoch {epoch} of {started.epochs}"


@contextmanager
def progress_bar() -> Iterator[ProgressView]:
    """Show progress on the error stream until the end of the block."""
    view = ProgressView(sys.stderr)
    try:
        yield view
    finally:
        view.close()


def drain_with_bar(
    steps: Generator[Any, None, _Result],
    place: Callable[[Any], tuple[str, int, int]] = lambda step: (step.case, step.done, step.total),
) -> _Result:
    """Return the result of ``steps``; ``place`` is the text, done and total of a step."""
    with progress_bar() as bar:
        return drain(steps, lambda step: bar.progress(*place(step)))


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
