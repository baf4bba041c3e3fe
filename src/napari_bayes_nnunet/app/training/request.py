"""A training request, and the settings that a run folder has already settled.

The first start of a run fixes its settings in ``ensemble.json``. A resumed training and further
folds take them from there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...core.choices import Augmentation, DropoutPlacement
from ...core.counts import format_count
from ...core.ensemble.schedule import MemberSelection, RestartSchedule
from ...core.ensemble.training_settings import PRESETS, Preset, TrainingSettings
from ...core.fields import differences, given_values
from ...core.problems import Action, Remedy, Setting, Statement, change, statement
from ...io.dataset.patients import (
    DEFAULT_PATIENT,
    no_patient_is_shared,
    patient_of,
    without_patient,
)
from ...io.dataset.raw_dataset import (
    SPLITS,
    RawDataset,
    Split,
    format_label_names,
    join_names,
    patient_splits,
    read_splits,
)
from ...io.ensemble.run_folder import RunFolder, TrainingRecord, read_record
from .. import AppError

EVERY_CASE = (
    "Each of the {count} cases counts as a separate patient, because no two names share a patient."
)
OTHER_PROGRAM = "{run} has a model from another program, because {record} is missing."
NO_CASCADES = "Cascades are not supported. Use the configuration 2d, 3d_lowres or 3d_fullres."
NO_LONGER_TRAINED = "{run} was trained in a way that this version no longer has."
STARTED_WITH = "{run} was started with {setting} {started_with}, not {given}."


@dataclass(frozen=True, kw_only=True)
class TrainingRequest:
    """Settings of a training, its data and its device.

    ``bayes-nnunet train --help`` describes the settings, which are those of `TrainingSettings`.
    ``None`` stands for the value that the run was started with, else for the preset's, and for the
    ``fold`` "0". A ``schedule`` replaces all of the preset's, also its ``restart_first_cycle``,
    which only "paper" has True. An added cycle may have another ``augmentation``. ``resume``
    continues an interrupted training, ``add_cycle`` trains a finished one for one more cycle.
    ``labels`` are names of label values that replace those of the dataset. ``command`` is recorded.

    Examples
    --------
    >>> from pathlib import Path
    >>> from napari_bayes_nnunet import RestartSchedule, TrainingRequest
    >>> schedule = RestartSchedule(epochs=600, cycles=3)
    >>> request = TrainingRequest(
    ...     dataset=Path("Dataset001_Hearts"), output=Path("run"), schedule=schedule, seed=1
    ... )
    >>> request.schedule.cycle_length, request.preset is None
    (200, True)
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
    dropout_placement: DropoutPlacement | None = None
    augmentation: Augmentation | None = None
    split: Path | None = None
    patient: str | None = None
    seed: int | None = None
    resume: bool = False
    add_cycle: bool = False
    device: str = "auto"
    keep_trajectory: bool = False
    licence: str | None = None
    labels: Mapping[int, str] | None = None
    command: str = ""

    @property
    def without_option(self) -> tuple[str, ...]:
        """Fields that no option sets."""
        return "dataset", "labels", "command"


def settled_record(run: RunFolder, *, resume: bool) -> TrainingRecord | None:
    """Return the record that the run was started with, None if nothing is settled yet.

    A run without a saved state has nothing to lose, so a start without ``resume`` replaces it.
    Raises AppError if there is nothing to resume, or if the run is from another program, or was
    trained in a way that no longer exists.
    """
    if not run.record.exists():
        if resume:
            raise AppError(
                "{run} has no training to continue.",
                Action.START_NEW,
                run=run.path,
            )
        if run.plans.exists() or any(run.path.glob("fold_*/**/*.pth")):
            name = run.record.name
            raise AppError(OTHER_PROGRAM, Action.OTHER_OUTPUT, run=run.path, record=name)
        return None
    record = read_record(run.record)
    if record.sampler != "sgd" or record.teacher is not None:
        raise AppError(NO_LONGER_TRAINED, Action.OTHER_OUTPUT, run=run.path)
    return record if resume or any(has_begun(run, fold) for fold in record.folds) else None


def has_begun(run: RunFolder, fold: str) -> bool:
    """Return whether a training of ``fold`` has saved a state or a member."""
    return any(run.fold(fold).glob("checkpoint_*.pth")) or any(run.members(fold).glob("*.pth"))


def check_start(
    request: TrainingRequest, run: RunFolder, fold: str, settled: TrainingRecord | None
) -> None:
    """Raise AppError if the request contradicts the state or the settings of the run."""
    if not request.resume and has_begun(run, fold):
        raise AppError(
            "{run} already has a training of fold {fold}.",
            Action.RESUME,
            Action.OTHER_OUTPUT,
            run=run.path,
            fold=fold,
        )
    if settled is not None:
        for setting, given, started_with in _changed_settings(request, settled, fold):
            raise AppError(
                STARTED_WITH,
                Remedy(Action.LEAVE_OUT, {"setting": setting}),
                Action.OTHER_OUTPUT,
                run=request.output,
                setting=setting,
                started_with=started_with,
                given=given,
            )
        if request.resume and settled.members(fold) and not _has_state(run, fold):
            raise AppError(
                "{folder} has members but neither checkpoint_final.pth nor checkpoint_latest.pth.",
                Action.RESTORE,
                folder=run.fold(fold),
            )
    if "cascade" in (request.configuration or ""):
        raise AppError(NO_CASCADES)


def _has_state(run: RunFolder, fold: str) -> bool:
    """Return whether nnU-Net finds a state to resume; without one it would begin at epoch 0."""
    names = ("checkpoint_final.pth", "checkpoint_latest.pth")
    return any((run.fold(fold) / name).is_file() for name in names)


def starting_values(output: Path, *, preset: Preset | None, resume: bool) -> TrainingSettings:
    """Return the settings that single options change: those of the run or of the preset."""
    record = settled_record(RunFolder(output.absolute()), resume=resume)
    return record or PRESETS[preset or "paper"]


def settings_for(
    request: TrainingRequest, settled: TrainingRecord | None, fold: str
) -> TrainingSettings:
    """Return the settings of the run, for a new one those of the request and of its preset."""
    if settled is not None:
        return settled.settings_of(fold)
    preset = PRESETS[request.preset or "paper"]
    return replace(preset, **given_values(TrainingSettings, request))


def with_given_names(
    dataset: RawDataset, request: TrainingRequest, settled: TrainingRecord | None
) -> RawDataset:
    """Return the dataset with the names recorded in the run, and those in the request.

    Raises DataError if they do not fit the dataset.
    """
    recorded = settled.named if settled is not None else {}
    named = {int(value): name for value, name in recorded.items()}
    return dataset.with_names(named | dict(request.labels or {}))


def choose_fold(request: TrainingRequest, settled: TrainingRecord | None) -> str:
    """Return the fold to train: that of the request, else a resumed run's only fold, else "0".

    Raises AppError if a resumed run does not have it.
    """
    if not (request.resume and settled):
        return request.fold or "0"
    folds = list(settled.folds)
    if request.fold is None and len(folds) == 1:
        return folds[0]
    if request.fold not in folds:
        raise AppError(
            "{run} has trainings of the folds {folds}.",
            change("fold"),
            run=request.output,
            folds=", ".join(folds),
        )
    return request.fold


def _changed_settings(
    request: TrainingRequest, settled: TrainingRecord, fold: str
) -> Iterator[tuple[Setting, Any, Any]]:
    """Yield each setting of the request that differs from the run, with both values."""
    if request.add_cycle:  # which may have another augmentation
        request = replace(request, augmentation=None)
    yield from differences(request, settled.settings_of(fold), TrainingSettings)
    if request.labels is not None:
        every = {value: name for name, value in settled.labels.items() if value}
        known = request.labels.keys() <= every.keys()
        kept = {value: every[value] for value in request.labels} if known else every
        # Sorted, because the order in which they are given does not matter.
        given_names, kept_names = (
            format_label_names(dict(sorted(names.items()))) for names in (request.labels, kept)
        )
        if given_names != kept_names:
            yield Setting("labels"), given_names, kept_names


def choose_splits(
    request: TrainingRequest,
    dataset: RawDataset,
    fold: str,
    *,
    frozen: Path | None,
    pattern: str = DEFAULT_PATIENT,
) -> list[Split] | None:
    """Return the folds: ``frozen`` ones of the run, those of a file or the dataset, or by patient.

    ``pattern`` is that of the run for the patient, if the request has none. None for the fold
    "all". Raises AppError if the fold does not exist, or if the request asks for folds that differ
    from those of the run.
    """
    if fold == "all":
        return None
    names = [case.name for case in dataset.cases]
    splits = None if frozen is None else read_splits(frozen, names)
    if splits is None or request.split or request.patient:
        requested = _new_splits(request, dataset, names, request.patient or pattern)
        if splits not in (None, requested):
            setting = Setting("split" if request.split else "patient")
            raise AppError(
                "{run} was started with other folds.",
                Remedy(Action.LEAVE_OUT, {"setting": setting}),
                Action.OTHER_OUTPUT,
                run=request.output,
            )
        splits = requested
    if int(fold) >= len(splits):
        raise AppError(
            "The split has no fold {fold}. Choose a fold from 0 to {last}.",
            fold=fold,
            last=len(splits) - 1,
        )
    return splits


def split_file_of(request: TrainingRequest, dataset: RawDataset) -> Path | None:
    """Return the file with the folds of a new run; None if they are drawn."""
    own = dataset.path / SPLITS
    return request.split or (own if own.is_file() else None)


def _new_splits(
    request: TrainingRequest, dataset: RawDataset, names: list[str], pattern: str
) -> list[Split]:
    file = split_file_of(request, dataset)
    if file is None:
        return patient_splits(names, pattern=pattern, training_only=dataset.corrections)
    return read_splits(file, names)


def pattern_warning(pattern: str | None, cases: Sequence[str]) -> Statement | None:
    """Return a warning if a requested pattern does not match some case names.

    Without a pattern, return a warning if the names do not show which cases share a patient. Raises
    AppError if a requested pattern matches none.
    """
    if pattern is None or pattern == DEFAULT_PATIENT:
        if no_patient_is_shared({case: patient_of(case) for case in cases}):
            return statement(EVERY_CASE, change("patient"), count=len(cases))
        return None
    unmatched = without_patient(cases, pattern)
    if len(unmatched) == len(cases):
        raise AppError(
            "The pattern {pattern} for the patient's name does not match the case {case}. Correct "
            "the pattern.",
            pattern=pattern,
            case=unmatched[0],
        )
    if not unmatched:
        return None
    return statement(
        "The pattern {pattern} for the patient's name does not match {cases} ({count} in all). "
        "Each of these cases counts as a separate patient, so a patient may be in both training "
        "and validation.",
        pattern=pattern,
        count=len(unmatched),
        cases=join_names(unmatched),
    )


def shared_patients(
    training: Iterable[str], validation: Iterable[str], patients: Mapping[str, str], split: str
) -> Iterator[Statement]:
    """Yield a statement for every patient with cases in both training and validation.

    ``patients`` gives the patient of every case, ``split`` is the name of the fold.
    """
    sides: list[dict[str, list[str]]] = [{}, {}]
    for side, cases in zip(sides, (training, validation), strict=True):
        for case in cases:
            side.setdefault(patients[case], []).append(case)
    for patient in sorted(sides[0].keys() & sides[1].keys()):
        yield statement(
            "The patient {patient} is in the training ({training}) and in the validation "
            "({validation}) of {split}. Put all cases of a patient on the same side.",
            patient=patient,
            training=join_names(sides[0][patient]),
            validation=join_names(sides[1][patient]),
            split=split,
        )


def dataset_difference(recorded: dict[str, Any], now: dict[str, Any]) -> str:
    """Return how the cases differ from the recorded ones, in words; "" if they do not."""
    added, removed = sorted(now.keys() - recorded.keys()), sorted(recorded.keys() - now.keys())
    changed = sorted(name for name in recorded.keys() & now.keys() if recorded[name] != now[name])
    parts = [
        f"{len(names)} {change} ({join_names(names)})"
        for change, names in (("added", added), ("removed", removed), ("changed", changed))
        if names
    ]
    return ", ".join(parts)


HIGH_RATE = 1.0
"""Ten times the paper's restart rate; above it the loss soon becomes NaN."""


def schedule_notes(schedule: RestartSchedule, selection: MemberSelection) -> dict[str, str]:
    """Return warnings by the name of the setting; none of them blocks a training."""
    notes = {}
    kept = sum(selection.keeps(schedule, epoch) for epoch in range(schedule.cycle_length))
    if kept < selection.per_cycle:
        plateau = schedule.cycle_length - schedule.plateau_start
        notes["per_cycle"] = (
            f"The plateau of a cycle has {format_count(plateau, 'epoch')}, so "
            f"{format_count(kept, 'member')} of each cycle will be kept, not {selection.per_cycle}."
        )
    for name in ("initial_lr", "restart_lr"):
        rate = getattr(schedule, name)
        if rate > HIGH_RATE:
            notes[name] = (
                f"A training usually fails with a learning rate of {rate:g}. The paper uses 0.01, "
                "and 0.1 at a restart."
            )
    return notes
