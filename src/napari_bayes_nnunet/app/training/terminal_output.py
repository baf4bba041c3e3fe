"""Messages of a training in a terminal."""

from __future__ import annotations

from typing import TextIO

from ...core.durations import duration_text
from ..messages import EpochDone, Message, Notice, StageStarted, TrainingStarted
from ..terminal import JsonLines, MessageView, ProgressView, time_left_text


def choose_view(terminal: TextIO, *, jsonl: bool) -> MessageView:
    """Return the view for ``terminal``; with ``jsonl`` it shows one JSON line per epoch only."""
    return JsonLines(terminal, kinds=EpochDone) if jsonl else TrainingText(terminal)


class TrainingText:
    """Progress bars of cases and epochs; lines of text if there is no terminal."""

    def __init__(self, terminal: TextIO) -> None:
        self._view = ProgressView(terminal, leave=True)
        self._started: TrainingStarted | None = None

    def show(self, message: Message) -> None:
        """Show stages, notices and epochs."""
        if isinstance(message, StageStarted) and message.total:
            self._show_part(message)
        elif isinstance(message, StageStarted | Notice):
            self.close()
            self._view.line(message.text)
        elif isinstance(message, TrainingStarted):
            self._started = message
            cycle = min(message.epoch * message.cycles // message.epochs + 1, message.cycles)
            label = _position_text(message, message.epoch, cycle)
            self._view.progress(label, message.epoch, message.epochs, note="")
        elif isinstance(message, EpochDone) and self._started:
            self._show_epoch(self._started, message)

    def close(self) -> None:
        """Finish the line of the bar."""
        self._view.close()

    def _show_part(self, message: StageStarted) -> None:
        left = time_left_text(message.eta_seconds)
        line = ", ".join(filter(None, (message.text, left)))
        self._view.progress(message.text, message.done, message.total, note=left, line=line)

    def _show_epoch(self, started: TrainingStarted, message: EpochDone) -> None:
        label = _position_text(started, message.epoch + 1, message.cycle + 1)
        numbers = _numbers_text(started, message)
        member = ", member kept" if message.member else ""
        line = f"{label}: {numbers}, {message.seconds:.1f} s{member}"
        self._view.progress(label, message.epoch + 1, started.epochs, note=numbers, line=line)


def _position_text(started: TrainingStarted, epoch: int, cycle: int) -> str:
    """Return cycle and epoch, counted from 1."""
    return f"cycle {cycle} of {started.cycles}, epoch {epoch} of {started.epochs}"


def _numbers_text(started: TrainingStarted, message: EpochDone) -> str:
    plus = " + validation" if started.validation_cases else ""
    left = f"{duration_text(message.eta_seconds)}{plus} left"
    validation = "" if message.val_loss is None else f", validation {message.val_loss:.3f}"
    return f"{left}, loss {message.train_loss:.3f}{validation}"
