"""Made runs with a trajectory: three cycles, each around its own mode."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from napari_bayes_nnunet.app.messages import EpochDone, TrainingStarted
from napari_bayes_nnunet.app.training.progress import append_message
from napari_bayes_nnunet.core.ensemble.schedule import MemberSelection, RestartSchedule
from napari_bayes_nnunet.io.ensemble.run_folder import RunFolder, TrainingRecord, write_record
from napari_bayes_nnunet.io.ensemble.trajectory import write_epoch

LAYERS = {
    "encoder.stages.0.conv.weight": (4, 1, 3, 3),
    "decoder.stages.0.convs.0.conv.weight": (8, 8, 3, 3),
    "decoder.stages.1.convs.0.conv.weight": (4, 4, 3, 3),
    "decoder.seg_layers.1.weight": (4, 4, 1, 1),
}
CYCLES = 10
"""Number of epochs in a cycle."""
PLATEAU = np.arange(6, 10)
"""Epochs of the first cycle that are members."""


def make_run(folder: Path, *, cycles: int = 3, epochs: int | None = None) -> RunFolder:
    """Write a run of ``cycles`` cycles, stopped after ``epochs``, with all weights kept.

    The modes are 10 apart along one weight, which changes by 0.1 per epoch within a cycle.
    """
    run = RunFolder(folder)
    schedule = RestartSchedule(epochs=cycles * CYCLES, cycles=cycles, gamma=0.6)
    done = range(schedule.epochs if epochs is None else epochs)
    selection = MemberSelection(step=1)
    kept = [epoch for epoch in done if selection.keeps(schedule, epoch)]
    write_record(run.record, _record(schedule, selection, kept))
    journal = partial(append_message, run.progress)
    journal(TrainingStarted(fold="0", epoch=0, epochs=schedule.epochs, cycles=cycles))
    for epoch in done:
        write_epoch(run.trajectory("0"), epoch, _layers(epoch))
        journal(_report(schedule, epoch, member=epoch in kept))
    return run


def _layers(epoch: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(5)
    made = {name: rng.normal(0, 1, shape).astype(np.float32) for name, shape in LAYERS.items()}
    for weights in made.values():
        weights.flat[0] = 10 * (epoch // CYCLES) + 0.1 * (epoch % CYCLES)
    return made


def _record(
    schedule: RestartSchedule, selection: MemberSelection, kept: list[int]
) -> TrainingRecord:
    members = [
        {
            "file": f"fold_0/members/epoch_{epoch:04d}.pth",
            "epoch": epoch,
            "cycle": schedule.cycle(epoch),
            "learning_rate": schedule.learning_rate(epoch),
            "bytes": 1,
            "sha256": "",
        }
        for epoch in kept
    ]
    return TrainingRecord(
        name="made run",
        schedule=schedule,
        selection=selection,
        labels={"background": 0, "RV": 1, "LV": 2},
        channels=["cine"],
        keep_trajectory=True,
        folds={"0": {"training_cases": ["a"], "validation_cases": ["b"], "members": members}},
    )


def _report(schedule: RestartSchedule, epoch: int, *, member: bool) -> EpochDone:
    return EpochDone(
        fold="0",
        epoch=epoch,
        cycle=schedule.cycle(epoch),
        learning_rate=schedule.learning_rate(epoch),
        train_loss=0.5,
        val_loss=0.4,
        pseudo_dice={"RV": 0.5 + epoch / 100, "LV": None if epoch < 3 else 0.75},
        seconds=1.0,
        eta_seconds=1.0,
        member=member,
    )
