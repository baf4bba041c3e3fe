"""Rows of the tables: trainings, method and number of members."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from napari_bayes_nnunet.core.ensemble.schedule import MemberSelection, RestartSchedule

from .shifts import UNSHIFTED
from .trainings import DEEP, Preset, is_finished, trainings

FIRST = ("1", f"1 to {DEEP}")
"""Seeds of the rows that are compared with each other."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row; ``folder`` lies in ``trainings/``, ``cost`` is in trainings of T epochs.

    The temperature is fitted on other patients if ``is_fitted``.
    """

    name: str
    title: str
    folder: str
    method: str
    members: int
    cost: float
    seeds: str = "1"
    is_fitted: bool = False

    @property
    def is_twin(self) -> bool:
        """Whether the row only differs from another one by its fitted temperature."""
        return self.is_fitted and self.method != "temperature"

    def is_trained(self, output: Path, preset: Preset) -> bool:
        """Return whether all trainings of the row are finished."""
        of_row = [t for t in trainings(preset) if self.folder in (t.kind, f"{t.kind}/seed{t.seed}")]
        return all(is_finished(training, output) for training in of_row)

    def is_judged_under(self, condition: str) -> bool:
        """Return whether the row is evaluated; rows with further seeds only on unshifted images."""
        return self.seeds in FIRST or condition == UNSHIFTED


def rows(preset: Preset) -> list[Row]:
    """Return all rows, then each with its temperature fitted on other patients.

    Single has at most the members of one plateau, multi those of all cycles.
    """
    schedule = RestartSchedule(epochs=preset.epochs)
    step = 2 if preset.name == "paper" else 1
    selection = MemberSelection(step=step)
    plateau = sum(selection.keeps(schedule, epoch) for epoch in range(schedule.cycle_length))
    single, multi = min(30, plateau), min(30, 3 * plateau)
    first, deep = "restarts/seed1", f"1 to {DEEP}"
    made = [
        _row("Vanilla (last epoch with restarts)", first, "vanilla", 1),
        _row("Vanilla (nnU-Net's own schedule)", "poly/seed1", "vanilla", 1),
        _row("Temp. scaling, τ 1.5", first, "temperature", 1),
        _row("Temp. scaling, τ fitted", first, "temperature", 1, is_fitted=True),
        _row(f"SWA, n {single}", first, "swa", single),
        _row("MC-Dropout, n 5", "dropout/seed1", "mc-dropout", 5),
        _row("MC-Dropout, n 30", "dropout/seed1", "mc-dropout", 30),
        _row(f"Deep Ens., n {DEEP}", "poly", "deep-ensemble", DEEP, cost=DEEP, seeds=deep),
        _row(f"Deep Ens., T/{DEEP} each, n {DEEP}", "short", "deep-ensemble", DEEP, seeds=deep),
        _row("Snapshot Ens. (cosine), n 3", "cosine/seed1", "snapshot", 3),
        _row("Ckpt. Ens. (Single), n 5", first, "single", 5),
        _row(f"Ckpt. Ens. (Single), n {single}", first, "single", single),
        _row("Ckpt. Ens. (Multi), n 5", first, "multi", 5),
        _row(f"Ckpt. Ens. (Multi), n {multi}", first, "multi", multi),
    ]
    for seed in range(2, preset.seeds + 1):
        suffix, folder = f"seed {seed}", f"restarts/seed{seed}"
        made += [
            _row(f"{title}, {suffix}", folder, method, members, seeds=str(seed))
            for title, method, members in (
                ("Vanilla (last epoch with restarts)", "vanilla", 1),
                (f"Ckpt. Ens. (Single), n {single}", "single", single),
                (f"Ckpt. Ens. (Multi), n {multi}", "multi", multi),
            )
        ]
    return [*made, *(_with_fitted_temperature(row) for row in made[1:] if _has_twin(row))]


def _has_twin(row: Row) -> bool:
    """Return whether a row gets a twin; "Temp. scaling, τ fitted" is that of the first row."""
    return row.method != "temperature"


def _with_fitted_temperature(row: Row) -> Row:
    return replace(row, name=f"{row.name}-fitted", title=f"{row.title}, τ fitted", is_fitted=True)


def _row(
    title: str, folder: str, method: str, members: int, *, cost: float = 1, **options: Any
) -> Row:
    name = f"{folder.replace('/', '-')}-{method}-{members}"
    return Row(
        name=f"{name}-fitted" if options.get("is_fitted") else name,
        title=title,
        folder=folder,
        method=method,
        members=members,
        cost=cost,
        **options,
    )
