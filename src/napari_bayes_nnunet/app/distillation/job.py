"""A request for a student, checked against the run of its ensemble and its own folder."""

from __future__ import annotations

import importlib.metadata
import os
import secrets
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from ...core.choices import Mirroring
from ...core.ensemble.schedule import MemberSelection, RestartSchedule
from ...core.ensemble.training_settings import StudentSettings
from ...core.fields import differences, given_values
from ...core.problems import Action
from ...io import DataError
from ...io.dataset.raw_dataset import RawDataset, read_dataset
from ...io.ensemble.ensemble_folder import EnsembleFolder, Member
from ...io.ensemble.run_folder import RunFolder, Teacher, TrainingRecord, read_record
from ...io.ensemble.student_folder import STUDENT
from ...io.files.atomic import removing_if_empty
from .. import AppError
from ..report.output_folder import refuse_foreign_settings
from ..segmentation.inspection import inspect_ensemble
from ..segmentation.methods import choose_members, refuse_regions
from ..training.job import RunJob, locked_run
from ..training.request import (
    check_not_trained,
    refuse_contradictions,
    settled_record,
    trained_fold,
)
from ..training.run_state import read_process_record

TARGETS_FOLDER: Final = "targets"
"""Folder of the targets inside that of the student."""
FEWEST_MEMBERS: Final = 2

NO_TEACHER = (
    "A student needs at least two members that can disagree, but {ensemble} has {count} usable in "
    "fold {fold}. Choose the run of an ensemble."
)
PART_OF_ENSEMBLE = "{folder} is part of the run of the ensemble that teaches."
CHANGED_MEMBERS = (
    "Members that the student in {folder} learns from are missing or have changed ({count})."
)
CHANGED_PLANS = "The plans of the ensemble that the student in {folder} learns from have changed."
NO_PREPROCESSED_IMAGES = (
    "{folder} lacks the preprocessed images of the training, or another installation or version "
    "made them. They cannot be made again, because the training data have moved or the run is "
    "read-only. Name the training data in a terminal with --dataset, or copy the run."
)


@dataclass(frozen=True, kw_only=True)
class DistillationRequest:
    """Settings of a student; ``run`` is the run of the ensemble that teaches it.

    The settings are those of `StudentSettings`. ``None`` stands for the value that the student was
    started with, else for the default, the folder "student" in the run and its only fold.
    ``dataset`` is needed if the images must be preprocessed again and the training data have moved.
    ``resume`` continues an interrupted training. ``command`` is recorded.
    """

    run: Path
    output: Path | None = None
    dataset: Path | None = None
    fold: str | None = None
    members: int | None = None
    mirroring: Mirroring | None = None
    epochs: int | None = None
    iterations_per_epoch: int | None = None
    initial_lr: float | None = None
    seed: int | None = None
    device: str = "auto"
    resume: bool = False
    command: str = ""


@dataclass(frozen=True, kw_only=True)
class DistillationJob(RunJob):
    """A checked request, with the folders of ensemble and student locked.

    ``folder`` is the ensemble, and ``members`` are those that teach. ``dataset`` is the dataset
    whose images must be preprocessed again, None if they need not be. ``run`` is the folder of the
    student.
    """

    request: DistillationRequest
    folder: EnsembleFolder
    members: tuple[Member, ...]
    dataset: RawDataset | None

    @property
    def teacher_run(self) -> RunFolder:
        """Run of the ensemble."""
        return RunFolder(self.folder.path)

    @property
    def teacher(self) -> Teacher:
        """Ensemble that teaches, as it is recorded."""
        assert self.record.teacher is not None
        return self.record.teacher

    @property
    def cases(self) -> list[str]:
        """Training cases of the ensemble, from which the student learns."""
        return self.record.training_cases(self.fold)

    @property
    def targets(self) -> Path:
        """Folder of the targets."""
        return self.run.path / TARGETS_FOLDER

    @property
    def images(self) -> Path:
        """Folder of the preprocessed images."""
        from ...nnunet.planning import image_folder

        plans = self.folder.plans
        made = self.teacher_run.workspace / "preprocessed" / str(plans["dataset_name"])
        return image_folder(made, plans, self.record.configuration)

    def continuation(self) -> str:
        """Return the command that continues this training."""
        flags = ["--output", str(self.run.path)]
        flags += [] if self.request.device == "auto" else ["--device", self.request.device]
        return shlex.join(["bayes-nnunet", "distill", str(self.folder.path), *flags, "--resume"])


@contextmanager
def prepare_distillation(request: DistillationRequest) -> Iterator[DistillationJob]:
    """Check a request, and lock the folders of the ensemble and of the student.

    Raises AppError, DataError or ModelError; then nothing is written.
    """
    refuse_foreign_settings()
    teacher_run = RunFolder(Path(os.path.abspath(request.run)))
    taught = read_record(teacher_run.record)
    if not (request.dataset or teacher_run.workspace.is_dir() or teacher_run.job.exists()):
        raise AppError(NO_PREPROCESSED_IMAGES, folder=teacher_run.workspace)
    output = request.output or teacher_run.path / STUDENT
    run = RunFolder(Path(os.path.abspath(output)))
    inside = [*teacher_run.path.glob("fold_*"), teacher_run.workspace]
    if any(run.path.resolve().is_relative_to(folder.resolve()) for folder in inside):
        raise AppError(PART_OF_ENSEMBLE, Action.OTHER_OUTPUT, folder=run.path)
    # Without a lock, no training can write to the folder of the ensemble anyway.
    is_writable = os.access(teacher_run.path, os.W_OK)
    with (
        removing_if_empty(run.path, run.lock),
        locked_run(teacher_run, {}) if is_writable else nullcontext(),
        locked_run(run, {"ensemble": teacher_run.path}),
    ):
        settled = settled_record(run, resume=request.resume, student=True)
        fold = trained_fold(
            run.path if settled else teacher_run.path, settled or taught, request.fold
        )
        check_not_trained(run, fold, resume=request.resume)
        folder = inspect_ensemble(teacher_run.fold(fold))
        refuse_regions(folder, "student")
        if settled:
            present = request
            if request.members is not None and folder.usable:
                # A student of fewer members than asked for has recorded those that there were.
                count = len(choose_members(folder, count=request.members))
                present = replace(request, members=count)
            kept = _settings_of(settled)
            refuse_contradictions(run.path, differences(present, kept, StudentSettings))
            record, members = settled, _recorded_members(folder, run, settled)
        else:
            members = _choose(request, folder, fold)
            record = _new_record(request, run, folder, members, taught, fold)
        yield DistillationJob(
            request=request,
            folder=folder,
            members=members,
            dataset=_dataset_to_preprocess(folder, record, fold, given=request.dataset),
            run=run,
            record=record,
            fold=fold,
        )


def _choose(request: DistillationRequest, folder: EnsembleFolder, fold: str) -> tuple[Member, ...]:
    count = request.members or StudentSettings().members
    members = choose_members(folder, count=count) if folder.usable else ()
    if len(members) < FEWEST_MEMBERS:
        raise AppError(NO_TEACHER, ensemble=folder.name, count=len(members), fold=fold)
    return members


def _recorded_members(
    folder: EnsembleFolder, run: RunFolder, record: TrainingRecord
) -> tuple[Member, ...]:
    """Return the members that the student learns from. Raises AppError if one has changed."""
    assert record.teacher is not None
    wanted = record.teacher.members
    known = {_file(folder, member): member for member in folder.usable_members}
    members = tuple(
        # A member that was trained again has the same name, but other answers.
        known[file] for file, sha256 in wanted.items()
        if file in known and known[file].sha256 == sha256
    )  # fmt: skip
    if count := len(wanted) - len(members):
        raise AppError(CHANGED_MEMBERS, Action.RESTORE, count=count, folder=run.path)
    if folder.plans_sha256 != record.teacher.plans_sha256:
        raise AppError(CHANGED_PLANS, Action.RESTORE, folder=run.path)
    return members


def _file(folder: EnsembleFolder, member: Member) -> str:
    return member.path.relative_to(folder.path).as_posix()


def _settings_of(record: TrainingRecord) -> StudentSettings:
    """Return the settings that a student was started with."""
    assert record.teacher is not None
    return StudentSettings(
        members=len(record.teacher.members),
        mirroring=record.teacher.mirroring,
        epochs=record.schedule.epochs,
        iterations_per_epoch=record.iterations_per_epoch,
        initial_lr=record.schedule.initial_lr,
        seed=record.seed,
    )


def _new_record(
    request: DistillationRequest,
    run: RunFolder,
    folder: EnsembleFolder,
    members: Sequence[Member],
    taught: TrainingRecord,
    fold: str,
) -> TrainingRecord:
    """Return the record of a new student: that of its ensemble, with its own training."""
    settings = StudentSettings(**given_values(StudentSettings, request))
    # nnU-Net's own schedule: a student is one network, so nothing restarts.
    schedule = RestartSchedule(
        epochs=settings.epochs, cycles=1, initial_lr=settings.initial_lr, shape="poly"
    )
    teacher = Teacher(
        ensemble=folder.name,
        plans_sha256=folder.plans_sha256,
        mirroring=settings.mirroring,
        members={_file(folder, member): member.sha256 for member in members},
    )
    cases = {
        "training_cases": taught.training_cases(fold),
        "validation_cases": taught.validation_cases(fold),
        "members": [],
    }
    return replace(
        taught,
        name=f"{folder.name} {run.path.name}",
        schedule=schedule,
        selection=MemberSelection(per_cycle=1, step=1),
        iterations_per_epoch=settings.iterations_per_epoch,
        augmentation=taught.augmentation_of(fold),
        sampler="sgd",
        keep_trajectory=False,
        # Drawn here, so that it is recorded and a continuation has the same.
        seed=secrets.randbelow(2**31) if settings.seed is None else settings.seed,
        command=request.command,
        software={name: importlib.metadata.version(name) for name in ("torch", "nnunetv2")},
        dataset=taught.trained_on(fold),
        folds={fold: cases},
        # The scores of the ensemble on its validation cases are not the student's.
        validation={},
        teacher=teacher,
    )


def _dataset_to_preprocess(
    folder: EnsembleFolder, record: TrainingRecord, fold: str, *, given: Path | None
) -> RawDataset | None:
    """Return the dataset whose images must be preprocessed again, None if they need not be.

    They must be if they are missing, or if another installation or version made them. The dataset
    is the ``given`` one, or lies where the training found it. Raises AppError if that has moved or
    changed, or if the folder of the run cannot be written, and DataError if the given one cannot
    be read.
    """
    from ...nnunet.planning import read_preprocessed_plans

    teacher_run, signature = RunFolder(folder.path), record.trained_on(fold)["cases"]
    images = teacher_run.workspace / "preprocessed" / str(folder.plans["dataset_name"])
    if read_preprocessed_plans(images, signature, record.configuration, record, plans=folder.plans):
        return None
    dataset = read_dataset(given) if given else None
    # A dataset that has moved or changed is told below, in one sentence for all reasons.
    with suppress(DataError, OSError):
        if dataset is None and (process := read_process_record(teacher_run)):
            dataset = read_dataset(Path(process.dataset))
        if dataset and os.access(folder.path, os.W_OK) and dataset.signature() == signature:
            names = {int(value): name for value, name in record.named.items()}
            return replace(dataset.with_names(names), known_as=str(folder.plans["dataset_name"]))
    raise AppError(NO_PREPROCESSED_IMAGES, folder=teacher_run.workspace)
