"""Rows of the tables: trainings, method and number of members."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from napari_bayes_nnunet.core.ensemble.schedule import MemberSelection, RestartSchedule

from .shifts import UNSHIFTED
from .trainings import (
    DEEP,
    POSTERIOR_TEMPERATURES,
    Preset,
    Training,
    is_finished,
    trainings,
)

MOST = 30
"""Members of a row at most, as in the paper."""
PER_CYCLE = (1, 3, 10, 30)
STEPS = (1, 2, 5)
"""Epochs between the members that are compared."""
SPREAD = 6
"""Members of each cycle in the rows that differ in their steps."""
CYCLES = 3
"""Cycles of the trainings with restarts, as in the paper."""
SHOWN = range(MOST // CYCLES)
"""Epochs before the end of a cycle whose single members show whether it has converged.

They are the members of *multi*.
"""

SUNNYBROOK, MNMS = OTHER_DATASETS = ("sunnybrook", "mnms")
"""Conditions of the images of other scanners."""
ONLY_LAST = "Last cycle, "
"""Beginning of the titles of single with other members."""
LATE = "late"
"""Part of the name of multi without its first cycle."""
VENDOR = "vendor"
"""Group of the cases of M&Ms by which the results are listed too."""

Group = Literal["compared", "seeds", "cycles", "members", "ablations"]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row; ``folder`` lies in ``trainings/``, ``cost`` is in trainings of T epochs.

    The rows of the ``group`` "compared" are compared with each other and judged under all shifts;
    "seeds" are some of them with other seeds, without shifts. "cycles" are single members,
    "members" ensembles of other members, and "ablations" those of other trainings, all judged on
    ACDC alone. ``epochs`` replace the members that the method chooses. The temperature is fitted on
    other patients if ``is_fitted``.
    """

    name: str
    title: str
    folder: str
    method: str
    members: int
    cost: float
    seeds: str = "1"
    group: Group = "compared"
    epochs: tuple[int, ...] = ()
    is_fitted: bool = False

    @property
    def is_late(self) -> bool:
        """Whether this is multi without its first cycle."""
        return f"-{LATE}-" in self.name

    @property
    def cycles_needed(self) -> int:
        """Number of last cycles whose members are averaged as if they were alike."""
        if self.method != "multi" or self.group == "cycles":
            return 0
        return CYCLES - 1 if self.is_late else CYCLES

    @property
    def is_twin(self) -> bool:
        """Whether the row only differs from another one by its fitted temperature."""
        return self.is_fitted and self.method != "temperature"

    def is_trained(self, output: Path, preset: Preset) -> bool:
        """Return whether all trainings of the row are finished."""
        of_row = [training for training in trainings(preset) if self.uses(training)]
        return all(is_finished(training, output) for training in of_row)

    def uses(self, training: Training) -> bool:
        """Return whether members of the row come from the training."""
        return self.folder in (training.kind, folder_of(training))

    def is_judged_under(self, condition: str) -> bool:
        """Return whether the row is evaluated under a shift, or on another dataset."""
        if self.group == "compared":
            return True
        return condition == UNSHIFTED or (self.group == "seeds" and condition in OTHER_DATASETS)


def folder_of(training: Training) -> str:
    """Return the folder of a training in ``trainings/``."""
    return f"{training.kind}/seed{training.seed}"


def rows(preset: Preset) -> list[Row]:
    """Return all rows; the compared ones and further seeds also with a fitted temperature.

    Single has at most the members of one plateau, multi those of all cycles.
    """
    single = min(MOST, len(_plateau(preset)))
    multi = min(MOST, CYCLES * single)
    made = [*_compared(preset, single, multi), *_seeds(preset, single, multi)]
    twins = [_with_fitted_temperature(row) for row in made[1:] if _has_twin(row)]
    ablations = _ablations(preset, single, multi)
    return [*made, *ablations, *_cycles(preset), *_members(preset), *twins]


def _compared(preset: Preset, single: int, multi: int) -> list[Row]:
    first, deep = "restarts/seed1", f"1 to {DEEP}"
    return [
        _row("Vanilla (last epoch with restarts)", first, "vanilla", 1),
        _row("Vanilla (nnU-Net's own schedule)", "poly/seed1", "vanilla", 1),
        _row("Temp. scaling, τ 1.5", first, "temperature", 1),
        _row("Temp. scaling, τ fitted", first, "temperature", 1, is_fitted=True),
        _row(f"SWA, n {single}", first, "swa", single),
        _row("MC-Dropout, n 5", "dropout/seed1", "mc-dropout", 5),
        _row("MC-Dropout, n 30", "dropout/seed1", "mc-dropout", 30),
        _row("MC-Dropout in the encoder, n 30", "dropout-encoder/seed1", "mc-dropout", 30),
        _row(f"Deep Ens., n {DEEP}", "poly", "deep-ensemble", DEEP, cost=DEEP, seeds=deep),
        _row(f"Deep Ens., T/{DEEP} each, n {DEEP}", "short", "deep-ensemble", DEEP, seeds=deep),
        _row("Snapshot Ens. (cosine), n 3", "cosine/seed1", "snapshot", 3),
        _row("Ckpt. Ens. (Single), n 5", first, "single", 5),
        _row(f"Ckpt. Ens. (Single), n {single}", first, "single", single),
        _row("Ckpt. Ens. (Multi), n 5", first, "multi", 5),
        _late(preset, multi, seed=1),
        _row(f"Ckpt. Ens. (Multi), n {multi}", first, "multi", multi),
    ]


def _late(preset: Preset, multi: int, *, seed: int, **options: Any) -> Row:
    """Return multi without its first cycle, which may end before the network has converged."""
    length, last = preset.epochs // CYCLES, _plateau(preset)[-(multi // CYCLES) :]
    epochs = tuple(cycle * length + epoch for cycle in (1, 2) for epoch in last)
    title = f"Ckpt. Ens. (Multi), cycles 2 and 3, n {len(epochs)}"
    title = title if seed == 1 else f"{title}, seed {seed}"
    row = _row(title, f"restarts/seed{seed}", "multi", len(epochs), **options)
    return replace(row, name=f"restarts-seed{seed}-{LATE}-{len(epochs)}", epochs=epochs)


def _seeds(preset: Preset, single: int, multi: int) -> Iterator[Row]:
    """Yield the rows of further seeds: those with restarts, and nnU-Net's own schedule."""
    for seed in range(2, preset.seeds + 1):
        options: dict[str, Any] = {"seeds": str(seed), "group": "seeds"}
        for title, kind, method, members in (
            ("Vanilla (last epoch with restarts)", "restarts", "vanilla", 1),
            ("Vanilla (nnU-Net's own schedule)", "poly", "vanilla", 1),
            (f"Ckpt. Ens. (Single), n {single}", "restarts", "single", single),
            (f"Ckpt. Ens. (Multi), n {multi}", "restarts", "multi", multi),
        ):
            named = f"{title}, seed {seed}"
            yield _row(named, f"{kind}/seed{seed}", method, members, **options)
        yield _late(preset, multi, seed=seed, **options)


def _ablations(preset: Preset, single: int, multi: int) -> Iterator[Row]:
    """Yield single and multi of the trainings that differ from the paper's in one value."""
    for training in trainings(preset):
        title = ABLATIONS.get(training.kind)
        if title is None:
            continue
        cycles = training.schedule.cycles
        for name, most in (("Single", single), ("Multi", multi)):
            if cycles == 1 and name == "Multi":
                continue  # the same members
            members = min(most, _count(training, name))
            yield _row(
                f"{title}: {name}, n {members}, seed {training.seed}",
                folder_of(training),
                name.lower(),
                members,
                seeds=str(training.seed),
                group="ablations",
            )


ABLATIONS = {
    **{f"sghmc-{t:g}": f"SGHMC, posterior temperature {t:g}" for t in POSTERIOR_TEMPERATURES},
    "gamma-0.5": "γ 0.5",
    "restart-0.01": "α_r 0.01",
    "cycles-1": "M 1",
    "cycles-5": "M 5",
    "over-tc": "decay over T_c",
}
"""Title of each kind of training that is an ablation."""


def with_unchanged(listed: Sequence[Row]) -> list[Row]:
    """Return the ablations, after the rows of the same methods in trainings without a change."""
    ablations = [row for row in listed if row.group == "ablations"]
    unchanged = [
        row
        for row in listed
        if row.group in ("compared", "seeds")
        and row.method in ("single", "multi")
        and row.members != 5
        and not row.epochs
        and not row.is_fitted
    ]
    return [*unchanged, *ablations] if ablations else []


def _count(training: Training, name: str) -> int:
    """Return how many members a row of a training has at most."""
    schedule = training.schedule
    plateau = sum(MemberSelection(step=1).keeps(schedule, e) for e in range(schedule.cycle_length))
    return plateau * (schedule.cycles if name == "Multi" else 1)


def _cycles(preset: Preset) -> Iterator[Row]:
    """Yield single members of each cycle, of every seed: do the cycles converge?"""
    length = preset.epochs // CYCLES
    kept = set(_plateau(preset))
    for seed in range(1, preset.seeds + 1):
        for cycle in range(CYCLES):
            for before in SHOWN:
                if (within := length - 1 - before) in kept:
                    yield _chosen(f"Cycle {cycle + 1}", seed, "cycles", (cycle * length + within,))


def _members(preset: Preset) -> Iterator[Row]:
    """Yield multi and single with other numbers of members, and other steps between them."""
    plateau, length = _plateau(preset), preset.epochs // CYCLES
    if plateau[-1] - plateau[0] + 1 != len(plateau):
        return  # the training keeps too few epochs
    for start, cycles, method in (("", CYCLES, "multi"), (ONLY_LAST, 1, "single")):
        for title, within in _choices(plateau):
            last = range(CYCLES - cycles, CYCLES)
            epochs = tuple(cycle * length + epoch for cycle in last for epoch in within)
            row = _chosen(f"{start}{title}", 1, "members", epochs)
            yield replace(row, method=method)


def _choices(plateau: Sequence[int]) -> Iterator[tuple[str, Sequence[int]]]:
    """Yield the titles of choices of members of a cycle, and their epochs within it."""
    for count in (count for count in PER_CYCLE if count <= len(plateau)):
        yield f"{count} per cycle", plateau[-count:]
    for step in (step for step in STEPS if step * (SPREAD - 1) < len(plateau)):
        yield f"{SPREAD} per cycle, step {step}", plateau[-1 - step * (SPREAD - 1) :: step]


def _plateau(preset: Preset) -> list[int]:
    """Return the epochs of the first cycle whose weights are kept."""
    schedule = RestartSchedule(epochs=preset.epochs)
    selection = MemberSelection(step=2 if preset.name == "paper" else 1)
    return [epoch for epoch in range(schedule.cycle_length) if selection.keeps(schedule, epoch)]


def _chosen(title: str, seed: int, group: Group, epochs: tuple[int, ...]) -> Row:
    """Return the row of the members of some epochs of a training with restarts."""
    named = f"{title}, epoch {epochs[0]}" if group == "cycles" else title
    row = _row(named, f"restarts/seed{seed}", "multi", len(epochs), seeds=str(seed))
    name = f"{group}-{title}-seed{seed}".replace(" ", "-").replace(",", "")
    name = f"{name}-{epochs[0]}" if group == "cycles" else name
    return replace(row, name=name, group=group, epochs=epochs)


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
