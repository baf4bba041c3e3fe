"""What restarts do to a training: how deep the pseudo Dice falls, and how soon it is back."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_bayes_nnunet.io.ensemble.run_folder import RunFolder, read_record

SOON = 10
"""Epochs after a restart in which its fall is looked for."""


@dataclass(frozen=True, kw_only=True)
class Restart:
    """One restart: mean pseudo Dice before it, the lowest in the ten epochs after it.

    ``recovered_after`` so many epochs 95 % of it are back for the first time after the lowest, None
    where they never are; ``highest_loss`` of the cycle.
    """

    cycle: int
    before: float
    lowest: float
    recovered_after: int | None
    highest_loss: float


def restarts_of(run: Path) -> list[Restart]:
    """Every restart after the first cycle of a training."""
    record = read_record(RunFolder(run).record)
    lines = (run / "progress.jsonl").read_text(encoding="utf-8").splitlines()
    epochs = [message for message in map(json.loads, lines) if message["kind"] == "epoch"]
    dice = np.array([_mean(epoch["pseudo_dice"].values()) for epoch in epochs])
    losses = np.array([epoch["train_loss"] for epoch in epochs])
    length = record.schedule.cycle_length
    found = []
    for cycle in range(1, record.schedule.cycles):
        start = cycle * length
        before = float(np.nanmean(dice[max(0, start - 5) : start]))
        after = dice[start : start + length]
        deepest = int(np.nanargmin(after[:SOON]))
        back = np.flatnonzero(after[deepest:] >= 0.95 * before)
        found.append(
            Restart(
                cycle=cycle,
                before=before,
                lowest=float(after[deepest]),
                recovered_after=deepest + int(back[0]) if len(back) else None,
                highest_loss=float(losses[start : start + length].max()),
            )
        )
    return found


def _mean(values: Iterable[float | None]) -> float:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else float("nan")
