"""A training request, checked against its dataset and its run folder.

The first start of a run settles plans, split and settings. A resume and an added cycle keep them.
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
from typing import Any

from ...core.choices import Augmentation
from ...core.ensemble.training_settings import TrainingSettings
from ...core.fields import given_values
from ...core.problems import Action, change
from ...io.dataset.patients import DEFAULT_PATIENT, patient_of
from ...io.dataset.raw_dataset import RawDataset, Split, read_dataset
from ...io.ensemble.run_folder import RunFolder, TrainingRecord, read_record
from ...io.files.atomic import removing_if_empty
from .. import AppError
from ..report.output_folder import refuse_folder_of_inputs, refuse_foreign_settings
from .request import (
    TrainingRequest,
    check_start,
    choose_fold,
    choose_splits,
    dataset_difference,
    pattern_warning,
    settings_for,
    settled_record,
    shared_patients,
    with_given_names,
)

LINKED_FILE = "{file} is a link, so a training would write to another file. Remove the link."
RUN_IS_DATASET = "{run} is a dataset."
RUN_IS_BUSY = "Another training is running in {run}. Wait until it ends, or stop it."


@dataclass(frozen=True, kw_only=True)
class TrainingJob:
    """A checked request, whose run folder is locked.

    ``record`` is the content of ``ensemble.json``, for a new fold its future content. ``settled``:
    the run was started before, so it keeps its plans and its split.
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
        """Whether all epochs are done, including those of an added cycle."""
        final = self.run.fold(self.fold) / "checkpoint_final.pth"
        return final.exists() and self.record.is_complete(self.fold)

    @property
    def lacks_validation(self) -> bool:
        """Whether there are members and validation cases, but the members are not measured yet."""
        record = read_record(self.run.record) if self.run.record.exists() else self.record
        has_cases = record.members(self.fold) and record.validation_cases(self.fold)
        return bool(has_cases) and self.fold not in record.validation

    def continuation(self) -> str:
        """Return the command that resumes this training."""
        flags = ["--output", str(self.run.path), "--fold", self.fold]
        flags += [] if self.request.device == "auto" else ["--device", self.request.device]
        return shlex.join(["bayes-nnunet", "train", str(self.dataset.path), *flags, "--resume"])


@contextmanager
def prepare_job(request: TrainingRequest) -> Iterator[TrainingJob]:
    """Check a request against its dataset and its run folder, and lock the folder.

    Imports no torch. Raises AppError or DataError; then nothing is written.
    """
    if request.add_cycle:
        request = replace(request, resume=True)
    refuse_foreign_settings()
    dataset = read_dataset(Path(os.path.abspath(request.dataset)))
    run = RunFolder(Path(os.path.abspath(request.output)))
    # A request that is refused leaves no folder that it has made.
    with removing_if_empty(run.path, run.lock), _locked(run, dataset.path):
        settled = settled_record(run, resume=request.resume)
        fold = choose_fold(request, settled)
        check_start(request, run, fold, settled)
        dataset = with_given_names(dataset, request, settled)
        record = _record(request, run, dataset, fold, settled)
        # nnU-Net's plans, even in saved states, contain the name that the dataset had first.
        dataset = replace(dataset, known_as=record.dataset.get("name", ""))
        # For its error: a pattern that fits no case.
        pattern_warning(request.patient, [case.name for case in dataset.cases])
        frozen = run.splits if settled and run.splits.exists() else None
        pattern = request.patient or record.patient
        splits = choose_splits(request, dataset, fold, frozen=frozen, pattern=pattern)
        if request.resume:
            _check_same_split(record, fold, splits, frozen=frozen)
            splits = _as_recorded(record, fold, splits)
        else:
            _check_patients(pattern, fold, splits)
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


def _links(run: RunFolder) -> Iterator[Path]:
    """Yield the links through which a training, or nnU-Net, would write to other files.

    nnU-Net puts text of plans.json and dataset.json into debug.json, which could link to a file
    that the shell runs. A link to a folder is only refused where the training writes into it.
    """
    for path in run.path.iterdir():
        is_ours = path == run.workspace or path.name.startswith("fold_")
        if path.is_symlink():
            if is_ours or not path.is_dir():
                yield path
        elif is_ours:
            yield from (inside for inside in path.rglob("*") if inside.is_symlink())


@contextmanager
def _locked(run: RunFolder, dataset: Path) -> Iterator[None]:
    """Keep other trainings out of a run folder; the lock ends with the process.

    A drive without locks does not keep them out. Raises AppError if the folder is the ``dataset``
    or another one, has links, or cannot be locked.
    """
    from filelock import FileLock, Timeout

    refuse_folder_of_inputs(run.path, {"dataset": dataset})
    if (run.path / "imagesTr").is_dir():  # whose dataset.json would be replaced
        raise AppError(RUN_IS_DATASET, Action.OTHER_OUTPUT, run=run.path)
    try:
        run.path.mkdir(parents=True, exist_ok=True)
        for link in _links(run):
            raise AppError(LINKED_FILE, file=link)
        lock = FileLock(run.lock, timeout=0)
        lock.acquire()
    except Timeout as error:
        raise AppError(RUN_IS_BUSY, run=run.path) from error
    except OSError as error:
        raise AppError(
            "{run} cannot be written ({reason}).",
            Action.OTHER_OUTPUT,
            run=run.path,
            reason=error.strerror,
        ) from error
    try:
        yield
    finally:
        lock.release()


def _record(
    request: TrainingRequest,
    run: RunFolder,
    dataset: RawDataset,
    fold: str,
    settled: TrainingRecord | None,
) -> TrainingRecord:
    """Return the record of the run, checked against the dataset, or a new one."""
    if settled is None:
        return _new_record(request, run, dataset)
    _check_same_structures(settled, dataset)
    if request.add_cycle:
        return with_added_cycle(
            settled,
            fold,
            dataset,
            augmentation=request.augmentation or settled.augmentation_of(fold),
            command=request.command,
        )
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
                "The training was started with the {subject} {began}, but dataset.json has {now}.",
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


DIFFERENT_SPLIT = "The training was started with the split of another file."


def _check_same_split(
    record: TrainingRecord, fold: str, splits: list[Split] | None, *, frozen: Path | None
) -> None:
    """Raise AppError if the split, by default that in the run's file ``frozen``, has changed."""
    began = record.folds[fold].get("training_cases", [])
    if splits is None or list(splits[int(fold)].train) == began:
        return
    if frozen is None:
        raise AppError(DIFFERENT_SPLIT, change("split", "that file"))
    raise AppError(
        "The split in {file} has changed since the training was started.",
        Action.RESTORE,
        file=frozen,
    )


def _check_patients(pattern: str, fold: str, splits: list[Split] | None) -> None:
    """Raise AppError if a patient is in the training and in the validation of the split."""
    if splits is None:
        return
    split = splits[int(fold)]
    patients = {case: patient_of(case, pattern) for case in (*split.train, *split.validation)}
    for shared in shared_patients(split.train, split.validation, patients, f"fold {fold}"):
        raise AppError.from_statement(shared)


def _as_recorded(
    record: TrainingRecord, fold: str, splits: list[Split] | None
) -> list[Split] | None:
    """Return the splits with the training cases that ``fold`` has since cycles were added."""
    if splits is None:
        return None
    recorded = Split(tuple(record.training_cases(fold)), splits[int(fold)].validation)
    return [recorded if number == int(fold) else split for number, split in enumerate(splits)]


def _new_record(request: TrainingRequest, run: RunFolder, dataset: RawDataset) -> TrainingRecord:
    licence = dataset.json.get("licence") or dataset.json.get("license") or "unknown"
    # Drawn now and recorded, so that a resumed training continues with the same numbers.
    if request.seed is None:
        request = replace(request, seed=secrets.randbelow(2**31))
    request = replace(request, licence=request.licence or str(licence))
    return TrainingRecord(
        **given_values(TrainingSettings, settings_for(request, None, "")),
        name=run.path.name,
        labels=dataset.labels,
        channels=dataset.channels,
        command=request.command,
        patient=request.patient or DEFAULT_PATIENT,
        named={str(value): name for value, name in (request.labels or {}).items()},
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


NOT_FINISHED = "A cycle cannot be added before the training of fold {fold} is finished."


def with_added_cycle(
    record: TrainingRecord,
    fold: str,
    dataset: RawDataset,
    *,
    augmentation: Augmentation,
    command: str,
) -> TrainingRecord:
    """Return the record of ``fold`` with one more cycle, to be trained on ``dataset``.

    T and T_c of Eq. 4 stay those of the original training, so the cycle has the same rates as the
    last one, including the restart. New cases are only trained on, so that results on the
    validation cases stay comparable. Labels of training cases may have been corrected. Raises
    AppError if the training is not finished, a case is missing or a validation case has changed.
    """
    if not record.is_complete(fold):
        raise AppError(
            NOT_FINISHED,
            Action.RESUME,
            fold=fold,
        )
    now = dataset.signature()
    _check_kept(record, fold, now)
    cycle = {
        "training_cases": [*record.training_cases(fold), *_new_cases(record, fold, now)],
        "dataset": {"name": dataset.path.name, "cases": now},
        "augmentation": augmentation,
        "command": command,
    }
    entry = {**record.folds[fold], "added_cycles": [*record.added_cycles(fold), cycle]}
    # Members of the new cycle change the scores of the validation cases.
    validation = {name: value for name, value in record.validation.items() if name != fold}
    return replace(record, folds={**record.folds, fold: entry}, validation=validation)


def _check_kept(record: TrainingRecord, fold: str, now: dict[str, Any]) -> None:
    began = record.trained_on(fold)["cases"]
    held_back = set(record.validation_cases(fold))
    to_stay = {name: value for name, value in began.items() if name in held_back or name not in now}
    difference = dataset_difference(
        to_stay, {name: value for name, value in now.items() if name in to_stay}
    )
    if difference:
        raise AppError(
            "Cases of the dataset were removed or validation cases were changed ({difference}). "
            "Restore them before you add a cycle.",
            difference=difference,
        )


def _new_cases(record: TrainingRecord, fold: str, now: dict[str, Any]) -> list[str]:
    """Return cases that are new, except those of patients held out for validation."""
    began = record.trained_on(fold)["cases"]
    pattern = record.patient
    held_back = {patient_of(case, pattern) for case in record.validation_cases(fold)}
    return [
        case for case in now if case not in began and patient_of(case, pattern) not in held_back
    ]
