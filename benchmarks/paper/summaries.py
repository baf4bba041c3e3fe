"""Course of the finished trainings, short enough to be kept when their weights are not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..results import write_csv
from .stability import mean_of_known
from .trainings import Preset, Training, finished_epochs, has_ended, trainings

PARTS = 60
"""Lines of a training."""


def write_summaries(output: Path, file: Path, preset: Preset) -> None:
    """Write a line for every sixtieth of each finished training."""
    finished = [training for training in trainings(preset) if has_ended(training, output)]
    lines = [line for training in finished for line in _lines(training, output)]
    if lines:
        write_csv(file, lines)


def _lines(training: Training, output: Path) -> Iterator[dict[str, object]]:
    """Yield the means over some epochs.

    ``pseudo_dice`` is the mean over the structures, on patches of the four cases of its curve.
    """
    epochs = finished_epochs(training.folder(output))
    length = max(1, training.epochs // PARTS)
    for start in range(0, len(epochs), length):
        part = epochs[start : start + length]
        yield {
            "training": training.kind,
            "seed": training.seed,
            "first_epoch": part[0].epoch,
            "last_epoch": part[-1].epoch,
            "learning_rate": round(part[-1].learning_rate, 6),
            "train_loss": _mean([epoch.train_loss for epoch in part]),
            "val_loss": _mean([epoch.val_loss for epoch in part]),
            "pseudo_dice": _mean([d for epoch in part for d in epoch.pseudo_dice.values()]),
            "minutes": round(sum(epoch.seconds for epoch in part) / 60, 2),
        }


def _mean(values: list[Any]) -> float:
    return round(mean_of_known(values), 4)
