"""What a training is told, and what of it a run folder has already settled.

The first start of a run fixes its settings in ``ensemble.json``; a training that goes on and
further folds take them from there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from ...core.ensemble.schedule import MemberSelection, RestartSchedule
from ...core.problems import Action, Remedy, Setting
from ...io.dataset.raw_dataset import (
    DEFAULT_PATIENT,
    RawDataset,
    Split,
    named,
    patient_splits,
    read_splits,
    without_patient,
)
from ...io.ensemble.run_folder import RunFolder, TrainingRecord, read_record
from .. import AppError

Preset = Literal["paper", "demo", "quick", "tiny"]
NetworkSize = Literal["full", "small", "tiny"]


@dataclass(frozen=True, kw_only=True)
class TrainingRequest:
    """Everything a training is told.

    ``None`` takes what the run was started with, else the preset's value; of ``configuration``
    "2d", of ``fold`` "0", of ``preset`` "paper". ``dropout`` is the chance of a channel to be
    dropped in every block (for mc-dropout), ``keep_trajectory`` stores some layers of every epoch.
    ``resume`` goes on with a training that was ended, ``add_cycle`` trains a finished one for one
    more cycle. ``command`` is recorded.
    """

    dataset: Path
    output: Path
    configuration: str | None = None
    fold: str | None = None
    preset: Preset | None = None
    schedule: RestartSchedule | None = None
    selection: MemberSelection | None = None
    batch_size: int | None = None
    iterations_per_epoch: int | None = None
    dropout: float | None = None
    split: Path | None = None
    patient: str | None = None
    device: str = "auto"
    seed: int | None = None
    resume: bool = False
    add_cycle: bool = False
    num_gpus: int = 1
    keep_trajectory: bool = False
    licence: str | None = None
    command: str = ""


@dataclass(frozen=True)
class PresetValues:
    """The settings a preset stands for."""

    schedule: RestartSchedule
    selection: MemberSelection
    batch_size: int = field(
        metadata={
            "label": "Batch size",
            "help": "Images looked at together in one iteration. A smaller number needs less "
            "memory of the device.",
        }
    )
    iterations_per_epoch: int = field(
        metadata={
            "label": "Iterations",
            "unit": "an epoch",
            "help": "Steps of the training in one epoch, each with one batch. The training takes "
            "proportionally longer.",
        }
    )
    network: NetworkSize
    dropout: float = 0.0


PRESETS: dict[str, PresetValues] = {
    "paper": PresetValues(RestartSchedule(), MemberSelection(), 20, 250, network="full"),
    "demo": PresetValues(
        RestartSchedule(epochs=150, restart_first_cycle=False),
        MemberSelection(per_cycle=30, step=1),
        20,
        12,
        network="small",
    ),
    "quick": PresetValues(
        RestartSchedule(epochs=60, restart_first_cycle=False),
        MemberSelection(per_cycle=30, step=1),
        10,
        12,
        network="small",
    ),
    "tiny": PresetValues(
        RestartSchedule(epochs=150, restart_first_cycle=False),
        MemberSelection(per_cycle=30, step=1),
        10,
        12,
        network="tiny",
    ),
}


def settled_record(run: RunFolder, *, resume: bool) -> TrainingRecord | None:
    """What the run was started with, None where a start may still choose.

    A run without any saved state has nothing to lose: a plain start begins it anew. Raises
    AppError when there is nothing to resume.
    """
    if not run.record.exists():
        if resume:
            raise AppError(
                "{run} holds no training to continue.",
                Action.START_NEW,
                run=run.path,
            )
        return None
    record = read_record(run.record)
    return record if resume or any(has_begun(run, fold) for fold in record.folds) else None


def has_begun(run: RunFolder, fold: str) -> bool:
    """Whether a training of ``fold`` has saved anything."""
    return any(run.fold(fold).glob("checkpoint_*.pth")) or any(run.members(fold).glob("*.pth"))


def starting_values(
    output: Path, *, preset: str | None, resume: bool
) -> tuple[RestartSchedule, MemberSelection]:
    """The schedule and the selection that single flags are laid over."""
    record = settled_record(RunFolder(output.absolute()), resume=resume)
    values = record or PRESETS[preset or "paper"]
    return values.schedule, values.selection


def choose_fold(request: TrainingRequest, settled: TrainingRecord | None) -> str:
    """The fold to train: the one asked for, on ``--resume`` the run's only one, else "0"."""
    if not (request.resume and settled):
        return request.fold or "0"
    folds = list(settled.folds)
    if request.fold is None and len(folds) == 1:
        return folds[0]
    if request.fold is None:
        raise AppError(
            "{run} holds trainings of the folds {folds}.",
            Action.CHOOSE_FOLD,
            run=request.output,
            folds=", ".join(folds),
        )
    if request.fold not in folds:
        raise AppError(
            "{run} holds no training of fold {fold} to continue, only of {folds}.",
            Action.START_NEW,
            run=request.output,
            fold=request.fold,
            folds=", ".join(folds),
        )
    return request.fold


def check_agreement(request: TrainingRequest, settled: TrainingRecord) -> None:
    """Raise AppError when the request contradicts what the run was started with."""
    for setting, given, settled_value in _given(request, settled):
        if given != settled_value:
            raise AppError(
                "{run} was started with {setting} {started_with}, not {given}.",
                Remedy(Action.LEAVE_OUT, {"setting": setting}),
                Action.OTHER_OUTPUT,
                run=request.output,
                setting=setting,
                started_with=settled_value,
                given=given,
            )


def _given(request: TrainingRequest, settled: TrainingRecord) -> Iterator[tuple[Setting, Any, Any]]:
    """Yield each setting of the request with its value there and in the run."""
    for name in (
        *("configuration", "preset", "batch_size", "iterations_per_epoch"),
        *("dropout", "seed", "licence"),
    ):  # fmt: skip
        given, kept = getattr(request, name), getattr(settled, name)
        if given is not None and not (name == "preset" and not kept):
            yield Setting(name), given, kept
    if request.keep_trajectory:
        yield Setting("keep_trajectory"), "on", "on" if settled.keep_trajectory else "off"
    for part, names in (
        ("schedule", {"shape": "schedule"}),
        ("selection", {"per_cycle": "members_per_cycle", "step": "member_step"}),
    ):
        given, kept = getattr(request, part), asdict(getattr(settled, part))
        for name, value in (asdict(given) if given else {}).items():
            yield Setting(names.get(name, name)), value, kept[name]


def choose_splits(
    request: TrainingRequest, dataset: RawDataset, fold: str, *, frozen: Path | None
) -> list[Split] | None:
    """The folds: the ``frozen`` ones of the run, a given file, the dataset's own, or by patient.

    None for the fold "all". Raises AppError when the fold is not among them, or when others were
    asked for than the run has.
    """
    if fold == "all":
        return None
    names = [case.name for case in dataset.cases]
    splits = None if frozen is None else read_splits(frozen, names)
    if splits is None or request.split or request.patient:
        asked = _new_splits(request, dataset, names)
        if splits not in (None, asked):
            setting = Setting("split" if request.split else "patient")
            raise AppError(
                "{run} was started with other folds.",
                Remedy(Action.LEAVE_OUT, {"setting": setting}),
                Action.OTHER_OUTPUT,
                run=request.output,
            )
        splits = asked
    if int(fold) >= len(splits):
        raise AppError(
            "Fold {fold} does not exist. The split has the folds 0 to {last}.",
            fold=fold,
            last=len(splits) - 1,
        )
    return splits


def _new_splits(request: TrainingRequest, dataset: RawDataset, names: list[str]) -> list[Split]:
    own = dataset.path / "splits_final.json"
    file = request.split or (own if own.is_file() else None)
    if file is None:
        return patient_splits(
            names,
            pattern=request.patient or DEFAULT_PATIENT,
            training_only=dataset.corrections,
        )
    return read_splits(file, names)


def pattern_warning(pattern: str | None, cases: Sequence[str]) -> str:
    """What is wrong with a pattern that was asked for, "" where it matches every case's name.

    Raises AppError where it matches none.
    """
    if pattern in (None, DEFAULT_PATIENT):
        return ""
    left = without_patient(cases, pattern)
    if len(left) == len(cases):
        raise AppError(
            "The pattern {pattern} for the patient's name does not match the case {case}. Correct "
            "the pattern.",
            pattern=pattern,
            case=left[0],
        )
    if not left:
        return ""
    return (
        f"The pattern {pattern} for the patient's name does not match {named(left)} ({len(left)} "
        "in all): each of them counts as a patient of its own, so that cases of one patient may be "
        "trained on and validated with."
    )


def shared_patients(
    training: Iterable[str], validation: Iterable[str], patients: Mapping[str, str], where: str
) -> Iterator[str]:
    """A sentence for every patient who would be validated with hearts that were trained on.

    ``patients`` gives the patient of every case, ``where`` names the fold.
    """
    sides: list[dict[str, list[str]]] = [{}, {}]
    for side, cases in zip(sides, (training, validation), strict=True):
        for case in cases:
            side.setdefault(patients[case], []).append(case)
    for patient in sorted(sides[0].keys() & sides[1].keys()):
        yield (
            f"The patient {patient} is in the training ({named(sides[0][patient])}) and in the "
            f"validation ({named(sides[1][patient])}) of {where}: put all cases of a patient on "
            "the same side."
        )


def dataset_difference(recorded: dict[str, Any], now: dict[str, Any]) -> str:
    """How the cases differ from those a training began with, in words; "" when they do not."""
    added, gone = sorted(now.keys() - recorded.keys()), sorted(recorded.keys() - now.keys())
    changed = sorted(name for name in recorded.keys() & now.keys() if recorded[name] != now[name])
    parts = [
        f"{len(names)} {what} ({named(names)})"
        for what, names in (("added", added), ("gone", gone), ("changed", changed))
        if names
    ]
    return ", ".join(parts)


HIGH_RATE = 1.0
"""Ten times the paper's restart rate; the loss is then hardly ever a number for long."""


def schedule_notes(schedule: RestartSchedule, selection: MemberSelection) -> dict[str, str]:
    """Name of a number → a sentence about it; nothing of it keeps a training from starting."""
    notes = {}
    kept = sum(selection.keeps(schedule, epoch) for epoch in range(schedule.cycle_length))
    if kept < selection.per_cycle:
        plateau = schedule.cycle_length - schedule.plateau_start
        notes["per_cycle"] = (
            f"The plateau of a cycle has {_count(plateau, 'epoch')}, so that "
            f"{_count(kept, 'member')} of each cycle will be kept, not {selection.per_cycle}."
        )
    for name in ("initial_lr", "restart_lr"):
        rate = getattr(schedule, name)
        if rate > HIGH_RATE:
            notes[name] = (
                f"With a learning rate as high as {rate:g} a training mostly fails; the paper's "
                "rates are 0.01 and, at a restart, 0.1."
            )
    return notes


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
