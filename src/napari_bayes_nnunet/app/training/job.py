"""What a training is about to do: a request checked against its dataset and its run folder.

The first start of a run settles plans, split and settings; going on and adding a cycle keep them.
"""

from __future__ import annotations

import importlib.metadata
import os
import secrets
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from ...core.problems import Action
from ...io.dataset.raw_dataset import DEFAULT_PATIENT, RawDataset, Split, patient_of, read_dataset
from ...io.ensemble.run_folder import RunFolder, TrainingRecord
from .. import AppError
from .added_cycle import with_added_cycle
from .request import (
    PRESETS,
    TrainingRequest,
    check_agreement,
    choose_fold,
    choose_splits,
    dataset_difference,
    has_begun,
    pattern_warning,
    settled_record,
    shared_patients,
)


@dataclass(frozen=True, kw_only=True)
class TrainingJob:
    """A request that was checked, with the run folder locked for it.

    ``record`` is what ``ensemble.json`` says, or will say where the fold is new. ``settled``: the
    run was started before, so that its plans and its split stay.
    """

    request: TrainingRequest
    run: RunFolder
    dataset: RawDataset
    fold: str
    splits: list[Split] | None
    record: TrainingRecord
    settled: bool

    @property
    def is_trained(self) -> bool:
        """Whether all epochs are done, those of an added cycle too."""
        final = self.run.fold(self.fold) / "checkpoint_final.pth"
        return final.exists() and self.record.is_complete(self.fold)

    @property
    def lacks_validation(self) -> bool:
        """Whether the range of the case scores can be measured and is not."""
        has_cases = bool(self.record.validation_cases(self.fold))
        return has_cases and self.fold not in self.record.validation

    def continuation(self) -> str:
        """The command that goes on with this training."""
        where = ["--output", str(self.run.path), "--fold", self.fold]
        where += [] if self.request.device == "auto" else ["--device", self.request.device]
        return shlex.join(["bayes-nnunet", "train", str(self.dataset.path), *where, "--resume"])


@contextmanager
def prepared(request: TrainingRequest) -> Iterator[TrainingJob]:
    """Check a request against its dataset and its run folder, and lock the folder.

    Imports no torch. Raises AppError or DataError; nothing but the empty folder is written then.
    """
    if request.add_cycle:
        request = replace(request, resume=True)
    dataset = read_dataset(Path(os.path.abspath(request.dataset)))
    run = RunFolder(Path(os.path.abspath(request.output)))
    with _locked(run, dataset):
        settled = settled_record(run, resume=request.resume)
        fold = choose_fold(request, settled)
        _check_start(request, run, fold, settled)
        record = _record(request, run, dataset, fold, settled)
        # nnU-Net's plans, in every saved state too, name the dataset as the run began with it.
        dataset = replace(dataset, known_as=record.dataset.get("name", ""))
        pattern_warning(request.patient, [case.name for case in dataset.cases])
        frozen = run.splits if settled and run.splits.exists() else None
        splits = choose_splits(request, dataset, fold, frozen=frozen)
        if request.resume:
            _check_same_split(record, fold, splits)
            splits = _as_recorded(record, fold, splits)
        else:
            _check_patients(request, fold, splits)
            record = _with_fold(record, dataset, fold, splits)
        yield TrainingJob(
            request=request,
            run=run,
            dataset=dataset,
            fold=fold,
            splits=splits,
            record=record,
            settled=settled is not None,
        )


@contextmanager
def _locked(run: RunFolder, dataset: RawDataset) -> Iterator[None]:
    """Keep other trainings out of the run folder; the lock ends with the process."""
    from filelock import FileLock, Timeout

    if run.path.resolve() == dataset.path.resolve():
        raise AppError("The output must be another folder than the dataset.")
    try:
        run.path.mkdir(parents=True, exist_ok=True)
        lock = FileLock(run.lock, timeout=0)
        lock.acquire()
    except Timeout as error:
        raise AppError(
            "Another training is running in {run}.",
            run=run.path,
        ) from error
    except OSError as error:
        raise AppError(
            "{run} cannot be written to: {strerror}.",
            run=run.path,
            strerror=error.strerror,
        ) from error
    try:
        yield
    finally:
        lock.release()


def _check_start(
    request: TrainingRequest, run: RunFolder, fold: str, settled: TrainingRecord | None
) -> None:
    if settled is not None:
        if not request.resume and has_begun(run, fold):
            raise AppError(
                "{run} already holds a training of fold {fold}.",
                Action.RESUME,
                Action.OTHER_OUTPUT,
                run=run.path,
                fold=fold,
            )
        check_agreement(request, settled)
        if request.resume and settled.members(fold) and not _has_state(run, fold):
            raise AppError(
                "{folder} holds members but no checkpoint_final.pth or checkpoint_latest.pth.",
                Action.RESTORE,
                folder=run.fold(fold),
            )
    elif has_begun(run, fold) or (run.plans.exists() and not run.record.exists()):
        raise AppError(
            "{run} holds a model that this program did not train: {record} is missing.",
            Action.OTHER_OUTPUT,
            run=run.path,
            record=run.record.name,
        )
    if request.dropout is not None and not 0 <= request.dropout < 1:
        raise AppError(
            "Dropout is a probability from 0 to below 1, not {dropout}.",
            dropout=request.dropout,
        )
    if "cascade" in (request.configuration or ""):
        raise AppError("Cascades are not supported: train 2d, 3d_lowres or 3d_fullres.")


def _has_state(run: RunFolder, fold: str) -> bool:
    """Whether nnU-Net finds what a training goes on from; else it would begin at epoch 0."""
    names = ("checkpoint_final.pth", "checkpoint_latest.pth")
    return any((run.fold(fold) / name).is_file() for name in names)


def _record(
    request: TrainingRequest,
    run: RunFolder,
    dataset: RawDataset,
    fold: str,
    settled: TrainingRecord | None,
) -> TrainingRecord:
    """The run's record if it has one that fits the dataset, else a new one."""
    if settled is None:
        return _new_record(request, run, dataset)
    _check_same_structures(settled, dataset)
    if request.add_cycle:
        return with_added_cycle(settled, fold, dataset, command=request.command)
    _check_same_data(settled, dataset, fold)
    return settled


def _check_same_structures(settled: TrainingRecord, dataset: RawDataset) -> None:
    labels = [
        ", ".join(f"{value} {name}" for name, value in source.labels.items())
        for source in (settled, dataset)
    ]
    channels = [", ".join(source.channels) for source in (settled, dataset)]
    for subject, (began, now) in (("labels", labels), ("channels", channels)):
        if began != now:
            raise AppError(
                "The training was started with the {subject} {began}, but dataset.json now lists "
                "{now}.",
                Action.RESTORE,
                subject=subject,
                began=began,
                now=now,
            )


def _check_same_data(settled: TrainingRecord, dataset: RawDataset, fold: str) -> None:
    difference = dataset_difference(settled.trained_on(fold)["cases"], dataset.signature())
    if difference:
        raise AppError(
            "The dataset has changed since the training was started: {difference}.",
            Action.RESTORE,
            difference=difference,
        )


def _check_same_split(record: TrainingRecord, fold: str, splits: list[Split] | None) -> None:
    began = record.folds[fold]["training_cases"]
    if splits and list(splits[int(fold)].train) != began:
        raise AppError(
            "The training was started with other cases than this split contains.",
            Action.NAME_SPLIT,
        )


def _check_patients(request: TrainingRequest, fold: str, splits: list[Split] | None) -> None:
    """Refuse a given split that validates with patients it trains on."""
    if splits is None:
        return
    split = splits[int(fold)]
    pattern = request.patient or DEFAULT_PATIENT
    patients = {case: patient_of(case, pattern) for case in (*split.train, *split.validation)}
    for text in shared_patients(split.train, split.validation, patients, f"fold {fold}"):
        raise AppError(text)


def _as_recorded(
    record: TrainingRecord, fold: str, splits: list[Split] | None
) -> list[Split] | None:
    """The splits with the cases that ``fold`` is trained on since cycles were added to it."""
    if splits is None:
        return None
    now = Split(tuple(record.training_cases(fold)), splits[int(fold)].validation)
    return [now if number == int(fold) else split for number, split in enumerate(splits)]


def _new_record(request: TrainingRequest, run: RunFolder, dataset: RawDataset) -> TrainingRecord:
    preset = PRESETS[request.preset or "paper"]
    licence = dataset.json.get("licence") or dataset.json.get("license") or "unknown"
    return TrainingRecord(
        name=run.path.name,
        configuration=request.configuration or "2d",
        schedule=request.schedule or preset.schedule,
        selection=request.selection or preset.selection,
        batch_size=request.batch_size or preset.batch_size,
        iterations_per_epoch=request.iterations_per_epoch or preset.iterations_per_epoch,
        dropout=preset.dropout if request.dropout is None else request.dropout,
        keep_trajectory=request.keep_trajectory,
        labels=dataset.labels,
        channels=dataset.channels,
        preset=request.preset or "paper",
        seed=secrets.randbelow(2**31) if request.seed is None else request.seed,
        licence=request.licence or str(licence),
        command=request.command,
        patient=request.patient or "",
        software={name: importlib.metadata.version(name) for name in ("torch", "nnunetv2")},
        dataset={"name": dataset.path.name, "cases": dataset.signature()},
    )


def _with_fold(
    record: TrainingRecord, dataset: RawDataset, fold: str, splits: list[Split] | None
) -> TrainingRecord:
    names = tuple(case.name for case in dataset.cases)
    split = splits[int(fold)] if splits else Split(names, ())
    entry = {
        "training_cases": list(split.train),
        "validation_cases": list(split.validation),
        "members": [],
    }
    return replace(record, folds={**record.folds, fold: entry})
