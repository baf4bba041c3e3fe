"""How a training shows its messages: as a progress bar, as lines of text, or as JSON lines."""

from __future__ import annotations

from datetime import timedelta
from typing import Protocol, TextIO

from tqdm import tqdm

from .messages import EpochDone, Message, StageStarted, TrainingStarted


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
            self._print(message.text)
        elif isinstance(message, EpochDone) and self._started:
            place = _place(self._started, message.epoch + 1, message.cycle + 1)
            member = ", member kept" if message.member else ""
            self._print(f"{place}: {_numbers(message)}, {message.seconds:.1f} s{member}")

    def close(self) -> None:
        """Nothing to tidy up."""

    def _print(self, text: str) -> None:
        print(text, file=self._terminal, flush=True)


class ProgressBar:
    """A bar with cycle, epoch and remaining time, from before the first epoch on."""

    def __init__(self, terminal: TextIO) -> None:
        self._terminal = terminal
        self._started: TrainingStarted | None = None
        self._bar: tqdm[None] | None = None

    def show(self, message: Message) -> None:
        if isinstance(message, StageStarted):
            self.close()
            print(message.text, file=self._terminal, flush=True)
        elif isinstance(message, TrainingStarted):
            self._start(message)
        elif isinstance(message, EpochDone) and self._started and self._bar is not None:
            place = _place(self._started, message.epoch + 1, message.cycle + 1)
            self._bar.set_description_str(place, refresh=False)
            self._bar.set_postfix_str(_numbers(message), refresh=False)
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
        self._bar = tqdm(
            total=message.epochs,
            initial=message.epoch,
            desc=_place(message, message.epoch, cycle),
            bar_format="{desc} |{bar}| {elapsed}{postfix}",
            file=self._terminal,
            dynamic_ncols=True,
        )


def _place(started: TrainingStarted, epoch: int, cycle: int) -> str:
    """Counted from 1, as people do."""
    return f"cycle {cycle} of {started.cycles}, epoch {epoch} of {started.epochs}"


def _numbers(message: EpochDone) -> str:
    left = timedelta(seconds=round(message.eta_seconds))
    validation = "" if message.val_loss is None else f", validation {message.val_loss:.3f}"
    return f"{left} left, loss {message.train_loss:.3f}{validation}"
