"""What restarts do to a training: how deep the pseudo Dice falls, and how soon it is back."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_bayes_nnunet.io.run_folder import RunFolder, read_record


@dataclass(frozen=True, kw_only=True)
class Restart:
    """One restart: mean pseudo Dice before it, the lowest after it, and epochs until 95 % are back.

    ``highest_loss`` of the epochs after it; ``recovered_after`` is None where it never was.
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
    dice = np.array([np.mean(list(epoch["pseudo_dice"].values())) for epoch in epochs])
    losses = np.array([epoch["train_loss"] for epoch in epochs])
    length = record.schedule.cycle_length
    found = []
    for cycle in range(1, record.schedule.cycles):
        start = cycle * length
        before = float(dice[start - 5 : start].mean())
        after = dice[start : start + length]
        back = np.flatnonzero(after >= 0.95 * before)
        found.append(
            Restart(
                cycle=cycle,
                before=before,
                lowest=float(after.min()),
                recovered_after=int(back[0]) if len(back) else None,
                highest_loss=float(losses[start : start + length].max()),
            )
        )
    return found
