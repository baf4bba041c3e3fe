"""How a training shows its messages: as a progress bar, as lines of text, or as JSON lines."""

from __future__ import annotations

from typing import Protocol, TextIO

from tqdm import tqdm

from ...core.durations import duration_text
from ..messages import EpochDone, Message, Notice, StageStarted, TrainingStarted


class TrainingView(Protocol):
    """Shows messages of a training."""

    def show(self, message: Message) -> None:
        """Show a message; those of no interest are left out."""

    def close(self) -> None:
        """Leave the terminal tidy."""


def choose_view(terminal: TextIO, *, jsonl: bool) -> TrainingView:
    """JSON lines if asked for, a bar on a terminal, else plain lines, for a log file or a pipe."""
    if jsonl:
        return JsonLines(terminal)
    return ProgressBar(terminal) if terminal.isatty() else PlainLines(terminal)


class JsonLines:
    """One JSON line per epoch, and nothing else."""

    def __init__(self, terminal: TextIO) -> None:
        self._terminal = terminal

    def show(self, message: Message) -> None:
        if isinstance(message, EpochDone):
            print(message.to_line(), file=self._terminal, flush=True)

    def close(self) -> None:
        """Nothing to tidy up."""


class PlainLines:
    """One line of text per epoch and stage."""

    def __init__(self, terminal: TextIO) -> None:
        self._terminal = terminal
        self._started: TrainingStarted | None = None

    def show(self, message: Message) -> None:
        if isinstance(message, TrainingStarted):
            self._started = message
        elif isinstance(message, StageStarted):
            seconds = message.eta_seconds
            left = "" if seconds is None else f", {duration_text(seconds)} left"
            self._print(f"{message.text}{left}")
        elif isinstance(message, Notice):
            self._print(message.text)
        elif isinstance(message, EpochDone) and self._started:
            place = _place(self._started, message.epoch + 1, message.cycle + 1)
            numbers = _numbers(self._started, message)
            member = ", member kept" if message.member else ""
            self._print(f"{place}: {numbers}, {message.seconds:.1f} s{member}")

    def close(self) -> None:
        """Nothing to tidy up."""

    def _print(self, text: str) -> None:
        print(text, file=self._terminal, flush=True)


class ProgressBar:
    """A bar with cycle, epoch and remaining time, then one of the validation cases."""

    def __init__(self, terminal: TextIO) -> None:
        self._terminal = terminal
        self._started: TrainingStarted | None = None
        self._bar: tqdm[None] | None = None

    def show(self, message: Message) -> None:
        if isinstance(message, StageStarted) and message.total:
            self._show_parts(message)
        elif isinstance(message, StageStarted | Notice):
            self.close()
            print(message.text, file=self._terminal, flush=True)
        elif isinstance(message, TrainingStarted):
            self._start(message)
        elif isinstance(message, EpochDone) and self._started and self._bar is not None:
            place = _place(self._started, message.epoch + 1, message.cycle + 1)
            self._bar.set_description_str(place, refresh=False)
            self._bar.set_postfix_str(_numbers(self._started, message), refresh=False)
            self._bar.n = message.epoch + 1
            self._bar.refresh()

    def close(self) -> None:
        """End the line of the bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _start(self, message: TrainingStarted) -> None:
        self._started = message
        cycle = min(message.epoch * message.cycles // message.epochs + 1, message.cycles)
        place = _place(message, message.epoch, cycle)
        self._bar = self._new_bar(place, message.epoch, message.epochs)

    def _show_parts(self, message: StageStarted) -> None:
        if self._bar is None or self._bar.total != message.total or not message.done:
            self.close()
            self._bar = self._new_bar(message.text, message.done, message.total)
        self._bar.set_description_str(message.text, refresh=False)
        if message.eta_seconds is not None:
            self._bar.set_postfix_str(f"{duration_text(message.eta_seconds)} left", refresh=False)
        self._bar.n = message.done
        self._bar.refresh()

    def _new_bar(self, text: str, done: int, total: int) -> tqdm[None]:
        return tqdm(
            total=total,
            initial=done,
            desc=text,
            bar_format="{desc} |{bar}| {elapsed}{postfix}",
            file=self._terminal,
            dynamic_ncols=True,
        )


def _place(started: TrainingStarted, epoch: int, cycle: int) -> str:
    """Counted from 1, as people do."""
    return f"cycle {cycle} of {started.cycles}, epoch {epoch} of {started.epochs}"


def _numbers(started: TrainingStarted, message: EpochDone) -> str:
    also = " + validation" if started.validation_cases else ""
    left = f"{duration_text(message.eta_seconds)}{also}"
    validation = "" if message.val_loss is None else f", validation {message.val_loss:.3f}"
    return f"{left} left, loss {message.train_loss:.3f}{validation}"
