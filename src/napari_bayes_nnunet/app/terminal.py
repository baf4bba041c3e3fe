"""Progress of a command in a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from contextlib import closing
from typing import Any, TextIO, TypeVar

from tqdm import tqdm

from ..core.counts import format_count
from ..core.durations import duration_text
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


class JobText:
    """Readable messages of a job: a bar for its steps, epochs or studies, lines for the rest.

    ``stage_end`` follows the text of a stage without steps. Without a terminal, each step is a line
    instead. A view that ``is_brief`` shows nothing but bars, and removes them at their end.
    """

    def __init__(self, stream: TextIO, *, stage_end: str = "", is_brief: bool = False) -> None:
        self._stream, self._stage_end, self._is_brief = stream, stage_end, is_brief
        self._bar: tqdm[None] | None = None
        self._started: TrainingStarted | None = None

    def show(self, message: Message) -> None:
        """Show a message; the command itself says how the job ended."""
        if isinstance(message, StageStarted) and (message.total or self._is_brief):
            self._step(message.text, message)
        elif isinstance(message, StageStarted):
            self.close()
            self._write(f"{message.text}{self._stage_end}")
        elif isinstance(message, Notice):
            self._write(message.text)
        elif isinstance(message, StudyDone):
            if message.outcome == "failed":
                self._write(f"{message.case}: {message.text}")
            self._step(
                f"{message.done} of {format_count(message.total, 'study', 'studies')}", message
            )
        elif isinstance(message, TrainingStarted):
            self._started = message
            cycle = min(message.epoch * message.cycles // message.epochs + 1, message.cycles)
            label = _position_text(message, message.epoch, cycle)
            self._move(label, message.epoch, message.epochs)
        elif isinstance(message, EpochDone) and self._started:
            self._show_epoch(self._started, message)

    def close(self) -> None:
        """End the bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _step(self, text: str, message: StageStarted | StudyDone) -> None:
        eta = message.eta_seconds
        left = "" if eta is None else f"{duration_text(eta)} left"
        line = ", ".join(filter(None, (text, left)))
        self._move(text, message.done, message.total, note=left, line=line)

    def _move(self, text: str, done: int, total: int, *, note: str = "", line: str = "") -> None:
        """Move the bar between ``text`` and ``note``; a smaller ``done`` starts a new bar.

        Without a terminal, write the ``line`` instead.
        """
        if not self._stream.isatty():
            if line and not self._is_brief:
                self._write(line)
            return
        if self._bar is None or done < self._bar.n:
            self.close()
            left = "<{remaining}" if self._is_brief and not note else ""
            self._bar = tqdm(
                total=total,
                initial=done,
                desc=text,
                bar_format=f"{{desc}} |{{bar}}| {{elapsed}}{left}{{postfix}}",
                file=self._stream,
                dynamic_ncols=True,
                leave=not self._is_brief,
            )
        self._bar.n, self._bar.total = done, total
        self._bar.set_description_str(text, refresh=False)
        self._bar.set_postfix_str(note)

    def _write(self, text: str) -> None:
        """Write a line of text, above the bar."""
        with tqdm.external_write_mode(file=self._stream):
            print(text, file=self._stream, flush=True)

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
        self._move(label, message.epoch + 1, started.epochs, note=numbers, line=line)


def _position_text(started: TrainingStarted, epoch: int, cycle: int) -> str:
    """Return cycle and epoch, counted from 1."""
    return f"cycle {cycle} of {started.cycles}, epoch {epoch} of {started.epochs}"


def drain_with_bar(
    steps: Generator[Any, None, _Result],
    place: Callable[[Any], tuple[str, int, int]] = lambda step: (step.case, step.done, step.total),
) -> _Result:
    """Return the result of ``steps``; ``place`` is the text, done and total of a step."""
    with closing(JobText(sys.stderr, is_brief=True)) as view:

        def show(step: Any) -> None:
            text, done, total = place(step)
            view.show(StageStarted(text=text, done=done, total=total))

        return drain(steps, show)


def show_member(view: JobText, image: str, snapshot: Snapshot) -> None:
    """Show the member of a snapshot of an image, or of images segmented together."""
    done, total = snapshot.done, snapshot.total
    text = f"{image}, member {done} of {total}"
    view.show(StageStarted(text=text, done=done, total=total, eta_seconds=snapshot.eta_seconds))
