"""Train a checkpoint ensemble: plan, preprocess, train, and measure the validation range.

Runs in the process it is called in, which must be the training's own: nnU-Net reads its folders
from the environment. The terminal, the window and a cluster all start it through the command.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import secrets
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..io.atomic import write_json
from ..io.dataset_check import check_labels
from ..io.nnunet_dataset import (
    DEFAULT_PATIENT,
    RawDataset,
    Split,
    patient_of,
    read_dataset,
    splits_to_json,
)
from ..io.run_folder import RunFolder, TrainingRecord, forget_from, write_record
from . import AppError
from .messages import EpochDone, Message, StageStarted, TrainingStarted
from .stop_request import Stopped, StopRequest
from .training_request import (
    PRESETS,
    TrainingRequest,
    check_agreement,
    choose_fold,
    choose_splits,
    dataset_difference,
    has_begun,
    settled_record,
)
from .validation import measure_validation_range

if TYPE_CHECKING:
    import torch

    from ..nnunet.trainer import CheckpointEnsembleTrainer, TrainerSettings

Tell = Callable[[Message], None]


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
        """Whether all epochs are done."""
        return (self.run.fold(self.fold) / "checkpoint_final.pth").exists()

    @property
    def lacks_validation(self) -> bool:
        """Whether the range of the case scores can be measured and is not."""
        has_cases = bool(self.record.folds[self.fold]["validation_cases"])
        return has_cases and self.fold not in self.record.validation

    def continuation(self) -> str:
        """The command that goes on with this training."""
        where = ["--output", str(self.run.path), "--fold", self.fold]
        where += [] if self.request.device == "auto" else ["--device", self.request.device]
        return shlex.join(["bayes-nnunet", "train", str(self.dataset.path), *where, "--resume"])


def train(request: TrainingRequest, tell: Tell) -> bool:
    """Train as requested; True when all epochs are done, False when the file RUN/stop ended it.

    ``tell`` receives TrainingStarted, an EpochDone per epoch, and StageStarted for all else that
    takes a while. Raises AppError, DataError or ModelError with one sentence for the user.
    """
    with prepared(request) as job:
        return run_job(job, tell, StopRequest(job.run.stop))


@contextmanager
def prepared(request: TrainingRequest) -> Iterator[TrainingJob]:
    """Check a request against its dataset and its run folder, and lock the folder.

    Imports no torch. Raises AppError or DataError; nothing but the empty folder is written then.
    """
    dataset = read_dataset(Path(os.path.abspath(request.dataset)))
    run = RunFolder(Path(os.path.abspath(request.output)))
    with _locked(run, dataset):
        settled = settled_record(run, resume=request.resume)
        fold = choose_fold(request, settled)
        _check_start(request, run, fold, settled)
        if settled is not None:
            _check_same_data(settled, dataset)
        frozen = run.splits if settled and run.splits.exists() else None
        splits = choose_splits(request, dataset, fold, frozen=frozen)
        record = settled or _new_record(request, run, dataset)
        if request.resume:
            _check_same_split(record, fold, splits)
        else:
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


def run_job(job: TrainingJob, tell: Tell, stop: StopRequest) -> bool:
    """Do what ``train`` does for a job that is prepared."""

    def stage(text: str) -> None:
        stop.act()
        tell(StageStarted(text=text))

    try:
        if not job.is_trained:
            _train(job, tell, stage, stop)
        if job.lacks_validation:
            measure_validation_range(
                job.run, job.fold, job.dataset, device=job.request.device, on_stage=stage
            )
    except Stopped:
        return False
    finally:
        job.run.stop.unlink(missing_ok=True)
    return True


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
        raise AppError(f"Another training is running in {run.path}.") from error
    except OSError as error:
        raise AppError(f"{run.path} cannot be written to: {error.strerror}.") from error
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
                f"{run.path} already holds a training of fold {fold}. Continue it with "
                "--resume, or choose another --output."
            )
        check_agreement(request, settled)
    elif has_begun(run, fold) or (run.plans.exists() and not run.record.exists()):
        raise AppError(
            f"{run.path} holds a model that was not trained by this program (it lacks "
            f"{run.record.name}). Choose another --output."
        )
    if "cascade" in (request.configuration or ""):
        raise AppError("Cascades are not supported: train 2d, 3d_lowres or 3d_fullres.")


def _check_same_data(settled: TrainingRecord, dataset: RawDataset) -> None:
    difference = dataset_difference(settled.dataset["cases"], dataset.signature())
    if difference:
        raise AppError(
            f"The dataset is no longer the one the training began with: {difference}. Restore it, "
            "or train with another --output."
        )


def _check_same_split(record: TrainingRecord, fold: str, splits: list[Split] | None) -> None:
    began = record.folds[fold]["training_cases"]
    if splits and list(splits[int(fold)].train) != began:
        raise AppError(
            "The training began with other cases than this split gives it: say with --split which "
            "file it was."
        )


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
        labels=dataset.labels,
        channels=dataset.channels,
        preset=request.preset or "paper",
        seed=secrets.randbelow(2**31) if request.seed is None else request.seed,
        licence=request.licence or str(licence),
        command=request.command,
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


def _train(job: TrainingJob, tell: Tell, stage: Callable[[str], None], stop: StopRequest) -> None:
    """Plan, preprocess and train. Raises Stopped when asked to."""
    from ..nnunet.device import choose_device
    from ..nnunet.trainer import TrainingStopped

    device = choose_device(job.request.device)
    if not job.settled:
        stage("Checking the labels")
        check_labels(job.dataset)
    stage("Planning and preprocessing")
    trainer = _make_trainer(job, _write_plans(job), device)
    forget_from(job.run, job.fold, trainer.current_epoch)
    trainer.on_epoch = lambda report: tell(EpochDone(**asdict(report)))
    trainer.stop_requested = lambda: bool(stop)
    stage(_training_text(job))
    tell(
        TrainingStarted(
            fold=job.fold,
            epoch=trainer.current_epoch,
            epochs=job.record.schedule.epochs,
            cycles=job.record.schedule.cycles,
        )
    )
    with stop.in_epochs():
        try:
            trainer.run_training()
        except TrainingStopped as error:
            raise Stopped from error


def _write_plans(job: TrainingJob) -> str:
    """Put plans, split and record where the trainer and a later resume find them.

    Returns the name of the plans. ``ensemble.json`` is written last: without it a start begins
    anew, with it everything that going on needs is there.
    """
    from ..nnunet.planning import plan_and_preprocess, training_plans, write_plans

    workspace, record = job.run.workspace, job.record
    kept = _read_json(job.run.plans) if job.settled and job.run.plans.exists() else None
    _set_environment(job.run)
    plans = plan_and_preprocess(
        job.dataset, workspace, configuration=record.configuration, plans=kept
    )
    if kept is None:
        plans = training_plans(
            plans,
            configuration=record.configuration,
            batch_size=record.batch_size,
            small=PRESETS[record.preset or "paper"].small_network,
            settings=_trainer_settings(record),
        )
    write_plans(job.dataset, workspace, plans, job.splits)
    if not job.request.resume:
        if kept is None:
            job.run.plans.unlink(missing_ok=True)  # of an earlier start that saved nothing
        if job.splits:
            write_json(job.run.splits, splits_to_json(job.splits))
        write_record(job.run.record, record)
    return str(plans["plans_name"])


def _trainer_settings(record: TrainingRecord) -> TrainerSettings:
    from ..nnunet.trainer import TrainerSettings

    return TrainerSettings(
        schedule=record.schedule,
        selection=record.selection,
        iterations_per_epoch=record.iterations_per_epoch,
        validation_iterations=max(1, record.iterations_per_epoch // 5),
        seed=record.seed,
    )


def _set_environment(run: RunFolder) -> None:
    from ..nnunet.planning import workspace_environment
    from ..nnunet.trainer import trainer_environment

    os.environ.update(workspace_environment(run.workspace))
    os.environ.update(trainer_environment(run.path))


def _make_trainer(job: TrainingJob, plans: str, device: torch.device) -> CheckpointEnsembleTrainer:
    """The trainer, found by nnU-Net itself, with the state it last saved where it goes on."""
    from nnunetv2.run.run_training import get_trainer_from_args, maybe_load_checkpoint

    from ..nnunet.device import training_environment
    from ..nnunet.orphans import end_forks_with_this_process
    from ..nnunet.trainer import CheckpointEnsembleTrainer

    os.environ.update(training_environment(device))
    if device.type == "cuda":
        end_forks_with_this_process()
    fold: Any = job.fold if job.fold == "all" else int(job.fold)
    resume = job.request.resume
    trainer = get_trainer_from_args(
        job.dataset.nnunet_name,
        job.record.configuration,
        fold,
        CheckpointEnsembleTrainer.__name__,
        plans,
        continue_training=resume,
        device=device,
    )
    maybe_load_checkpoint(trainer, resume, validation_only=False)
    return trainer  # type: ignore[no-any-return]


def _training_text(job: TrainingJob) -> str:
    """What is trained on, in numbers: shows at once where patients are told apart wrongly."""
    cases, pattern = job.record.folds[job.fold], job.request.patient or DEFAULT_PATIENT
    parts = []
    for use, names in (("training", "training_cases"), ("validation", "validation_cases")):
        patients = {patient_of(case, pattern) for case in cases[names]}
        if patients:
            parts.append(f"{len(cases[names])} cases ({len(patients)} patients) for {use}")
    return f"Fold {job.fold}: {', '.join(parts)}"


def _read_json(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8")))
