"""Drop and recovery of the pseudo Dice after restarts of the learning rate."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_bayes_nnunet.io.ensemble.run_folder import RunFolder, read_record

from .trainings import finished_epochs

DROP_EPOCHS = 10
"""Epochs after a restart in which the drop is searched."""


@dataclass(frozen=True, kw_only=True)
class Restart:
    """One restart: mean pseudo Dice before it, and the lowest in the ten epochs after it.

    ``recovered_after`` counts the epochs from the restart until 95 % of the Dice before it is
    reached again, None if never. ``highest_loss`` is that of the cycle.
    """

    cycle: int
    before: float
    lowest: float
    recovered_after: int | None
    highest_loss: float


def read_restarts(run: Path) -> list[Restart]:
    """Return every restart after the first cycle of a training, none if epochs are unknown."""
    record = read_record(RunFolder(run).record)
    epochs = finished_epochs(run)
    if len(epochs) < record.schedule.epochs:
        return []
    dice = np.array([mean_of_known(epoch.pseudo_dice.values()) for epoch in epochs])
    losses = np.array([epoch.train_loss for epoch in epochs])
    length = record.schedule.cycle_length
    restarts = []
    for cycle in range(1, record.schedule.cycles):
        start = cycle * length
        before = float(np.nanmean(dice[max(0, start - 5) : start]))
        after = dice[start : start + length]
        deepest = int(np.nanargmin(after[:DROP_EPOCHS]))
        back = np.flatnonzero(after[deepest:] >= 0.95 * before)
        restarts.append(
            Restart(
                cycle=cycle,
                before=before,
                lowest=float(after[deepest]),
                recovered_after=deepest + int(back[0]) if len(back) else None,
                highest_loss=float(losses[start : start + length].max()),
            )
        )
    return restarts


def mean_of_known(values: Iterable[float | None]) -> float:
    """Return the mean of the values that are not None, NaN if there is none."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else float("nan")
