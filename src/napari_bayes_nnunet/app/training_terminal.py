"""A training in a terminal: a progress bar or JSON lines there, everything else in train.log."""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

from tqdm import tqdm

from ..io import DataError
from ..io.run_folder import RunFolder
from ..nnunet import ModelError
from . import AppError
from .messages import EpochDone, JobEnded, Message, StageStarted
from .training import TrainingRequest, train


def train_in_terminal(request: TrainingRequest, *, jsonl: bool, stream: TextIO) -> None:
    """Train, showing progress on ``stream``; raises what ``train`` raises, one sentence each.

    What nnU-Net prints and the traceback of a failure go to RUN/train.log, every message also to
    RUN/progress.jsonl.
    """
    run = RunFolder(request.output.absolute())
    with _output_into(run.log) as terminal:
        view = JsonLines(terminal) if jsonl else ProgressBar(terminal, request.schedule.epochs)
        with contextlib.closing(view):
            _train_and_report(request, run, view)


def _train_and_report(request: TrainingRequest, run: RunFolder, view: JsonLines | ProgressBar) -> None:
    def tell(message: Message) -> None:
        run.path.mkdir(parents=True, exist_ok=True)
        with run.progress.open("a", encoding="utf-8") as file:
            file.write(message.to_line() + "\n")
        view.show(message)

    try:
        finished = train(request, on_stage=lambda text: tell(StageStarted(text=text)), on_epoch=lambda report: tell(EpochDone(**asdict(report))))
    except (AppError, DataError, ModelError) as error:
        traceback.print_exc()
        tell(JobEnded(outcome="failed", text=str(error)))
        raise
    tell(JobEnded(outcome="finished" if finished else "stopped"))


@dataclass
class JsonLines:
    """One JSON line per epoch."""

    terminal: TextIO

    def show(self, message: Message) -> None:
        """Print an epoch."""
        if isinstance(message, EpochDone):
            print(message.to_line(), file=self.terminal, flush=True)

    def close(self) -> None:
        """Nothing to tidy up."""


class ProgressBar:
    """A bar with cycle, epoch and the remaining time."""

    def __init__(self, terminal: TextIO, epochs: int) -> None:
        self._terminal = terminal
        self._epochs = epochs
        self._bar: Any = None

    def show(self, message: Message) -> None:
        """Advance the bar."""
        if isinstance(message, StageStarted):
            print(message.text + " …", file=self._terminal, flush=True)
        elif isinstance(message, EpochDone):
            if self._bar is None:
                self._bar = tqdm(total=self._epochs, initial=message.epoch, file=self._terminal)
            self._bar.update()
            self._bar.set_description(f"cycle {message.cycle + 1}")
            self._bar.set_postfix(loss=f"{message.train_loss:.3f}", lr=f"{message.learning_rate:.2g}")

    def close(self) -> None:
        """Leave the bar as it stands."""
        if self._bar is not None:
            self._bar.close()


@contextlib.contextmanager
def _output_into(log: Path) -> Iterator[TextIO]:
    """Send what this process and its children print to ``log``; gives the real terminal."""
    log.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    saved = os.dup(1), os.dup(2)
    with log.open("ab") as file, os.fdopen(os.dup(1), "w", encoding="utf-8") as terminal:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        try:
            yield terminal
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for number, copy in zip((1, 2), saved, strict=True):
                os.dup2(copy, number)
                os.close(copy)
