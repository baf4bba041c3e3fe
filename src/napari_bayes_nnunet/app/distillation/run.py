"""Distillation: targets of all training cases, the training of the student, and its terminal."""

from __future__ import annotations

import shlex
import shutil
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Final

from ...core.durations import TimeLeft
from ...core.ensemble.posterior import RunningPosterior
from ...core.problems import Action, Remedy, Statement, statement
from ...io.dataset.raw_dataset import RawDataset
from ...io.ensemble.ensemble_folder import find_ensemble
from ...io.ensemble.run_folder import Teacher, write_record
from ...io.files.atomic import remove_leftovers, write_json
from ...io.files.json_files import parse_json
from ...nnunet import Stopped
from .. import AppError
from ..messages import EpochDone, Notice, StageStarted, text_fields
from ..segmentation.calibration import keeps_largest, write_calibration
from ..segmentation.member_predictions import InputImage, MemberPredictor
from ..segmentation.methods import make_passes
from ..segmentation.result import MemberSums
from ..segmentation.settings import SegmentationSettings
from ..signals import StopRequest
from ..training.disk_space import size_text
from ..training.run import PLANNING, CaseReports, Send, run_epochs, set_environment
from ..training.run_state import write_process_record
from ..training.terminal import STOPPED_TRAINING, show_in_terminal
from .job import DistillationJob, DistillationRequest, prepare_distillation

TARGETS_RECORD: Final = "targets.json"
"""Ensemble by which the targets in a folder were computed."""
NEEDED_SPACE = "The targets of {cases} training cases take at most {size} in {folder}."
TARGETS_NEED_SPACE = (
    "The targets of {cases} training cases take up to {size}, but {folder} has only {free} free. "
    "Free some disk space."
)
FOREIGN_TARGETS = "{folder} contains files that are not targets of a student."
COMPUTING_TARGETS = "Asking {members} members: {done} of {total} cases done"
LEARNING = "Fold {fold}: {cases} cases for training"


def distill(job: DistillationJob, send: Send, stop: StopRequest) -> bool:
    """Train the student; return True if all epochs are done, False if STUDENT/stop ended it.

    ``send`` receives a StageStarted for each case whose targets are computed, TrainingStarted, and
    an EpochDone for each epoch. Raises AppError, DataError or ModelError, worded for the user.
    """
    try:
        # A student that was stopped behind its last epoch only lacks its calibration.
        if not job.is_trained:
            set_environment(job.run, job.teacher_run.workspace)
            if job.dataset is not None:
                _preprocess(job, job.dataset, send)
            _compute_targets(job, send, stop)
            _train(job, send, stop)
        # A student answers like its ensemble, so it also keeps what that keeps.
        kept = keeps_largest(job.folder, SegmentationSettings())
        write_calibration(find_ensemble(job.run.path), one_component=kept)
    except Stopped:
        return False
    finally:
        # A request that came too late would stop the next start at once.
        job.run.stop.unlink(missing_ok=True)
    return True


def _preprocess(job: DistillationJob, dataset: RawDataset, send: Send) -> None:
    from ...nnunet.planning import plan_and_preprocess

    send(StageStarted(text=PLANNING))
    plan_and_preprocess(
        dataset,
        job.teacher_run.workspace,
        configuration=job.record.configuration,
        plans=job.folder.plans,
        on_cases=CaseReports(send),
    )


def _compute_targets(job: DistillationJob, send: Send, stop: StopRequest) -> None:
    """Write the targets of every case that lacks them. Raises Stopped."""
    from ...nnunet.device import choose_device
    from ...nnunet.distillation.targets import has_targets, read_image_array, write_targets
    from ...nnunet.inference import Predictor

    _keep_targets_of(job.teacher, job.targets)
    # Targets of another ensemble are gone by now, so a kill leaves none of them to this record.
    if not job.request.resume:
        write_record(job.run.record, job.record)
    images = {case: job.images / f"{case}.b2nd" for case in job.cases}
    files = {case: job.targets / f"{case}.b2nd" for case in job.cases}
    missing = [case for case in job.cases if not has_targets(files[case], images[case])]
    if not missing:
        return
    _check_space(job, [images[case] for case in missing], send)
    folder, mirroring = job.folder, job.teacher.mirroring
    predictor = Predictor(
        folder.plans,
        folder.dataset_json,
        folder.configuration,
        device=choose_device(job.request.device),
    )
    members = MemberPredictor(predictor, folder, None)
    passes = make_passes(job.members, "probabilities", mirroring=mirroring)
    time_left = TimeLeft()
    for done, case in enumerate(missing, start=len(images) - len(missing)):
        stop.check()
        send(_stage(job, done, time_left.seconds(len(images) - done)))
        predictor.start_over()  # without the steps down of the last case
        data = read_image_array(images[case])
        # Whole images, of any spacing, because they are already on the grid of the network.
        seen = [InputImage(data, (1.0, 1.0, 1.0), prepared=predictor.on_network_grid(data))]
        sums = MemberSums(step_down=predictor.step_down)
        for forward_pass in passes:
            (probabilities,) = members.predict(
                forward_pass, seen, mirroring=mirroring, should_stop=lambda: bool(stop)
            )
            sums.add_to_sums(probabilities)
        write_targets(
            files[case],
            sums.measure(RunningPosterior.mean),
            sums.measure(RunningPosterior.mutual_information),
        )
        time_left.step()
    send(_stage(job, len(images), 0.0))


def _stage(job: DistillationJob, done: int, seconds: float | None) -> StageStarted:
    total = len(job.cases)
    text = COMPUTING_TARGETS.format(members=len(job.members), done=done, total=total)
    return StageStarted(text=text, done=done, total=total, eta_seconds=seconds)


def _keep_targets_of(teacher: Teacher, folder: Path) -> None:
    """Delete the targets in the folder unless they are those of the ensemble.

    Raises AppError if the folder has files of others, OSError if a target cannot be deleted.
    """
    file, content = folder / TARGETS_RECORD, asdict(teacher)
    # The folder may be that of other files, which must not be deleted.
    if not file.exists() and any(folder.glob("[!.]*")):
        raise AppError(FOREIGN_TARGETS, Action.OTHER_OUTPUT, folder=folder)
    remove_leftovers(folder)
    # A damaged record counts as that of another ensemble.
    with suppress(OSError, ValueError):
        if parse_json(file.read_bytes(), dict[str, Any]) == content:
            return
    for target in folder.glob("*.b2nd"):
        target.unlink()
    # Last, so that after a kill in between the rest is deleted as well.
    write_json(file, content)


def _check_space(job: DistillationJob, images: list[Path], send: Send) -> None:
    """Report how much disk space the targets need. Raises AppError if there is not enough."""
    from ...nnunet.distillation.targets import largest_size

    size = largest_size(images, classes=len(job.folder.labels))
    free = shutil.disk_usage(job.targets).free
    values = {"cases": len(images), "size": size_text(size), "folder": job.targets}
    if size > free:
        raise AppError(TARGETS_NEED_SPACE, Action.START_AGAIN, free=size_text(free), **values)
    send(Notice(**text_fields(statement(NEEDED_SPACE, **values))))


def _train(job: DistillationJob, send: Send, stop: StopRequest) -> None:
    """Train the student. Raises Stopped if a stop is requested."""
    from ...nnunet.device import choose_device
    from ...nnunet.distillation.trainer import StudentTrainer, Teaching
    from ...nnunet.planning import with_settings
    from ...nnunet.trainer import make_trainer
    from ...nnunet.weights import read_checkpoint

    stop.check()
    trainer = make_trainer(
        StudentTrainer,
        with_settings(job.folder.plans, job.record.settings_of(job.fold)),
        job.folder.dataset_json,
        job.record.configuration,
        job.fold,
        device=choose_device(job.request.device),
        resume=job.request.resume,
        teaching=Teaching(
            targets=job.targets,
            cases=tuple(job.cases),
            start=read_checkpoint(job.members[-1].path)["network_weights"],
        ),
        on_epoch=lambda report: send(EpochDone(**asdict(report))),
        stop_requested=lambda: bool(stop),
    )
    send(StageStarted(text=LEARNING.format(fold=job.fold, cases=len(job.cases))))
    run_epochs(job, trainer.run_training, trainer.current_epoch, send, stop)


FINISHED_STUDENT = "The student is finished. It is in {folder}."


def distill_in_terminal(request: DistillationRequest, *, jsonl: bool) -> str:
    """Train a student with progress on the standard output; return how it ended, in words.

    The output of nnU-Net and the traceback of a failure go to STUDENT/train.log, every message
    goes to STUDENT/progress.jsonl, and STUDENT/job.json describes the process. Raises AppError,
    DataError or ModelError for any failure.
    """
    with prepare_distillation(request) as job:

        def perform(send: Send, stop: StopRequest) -> bool:
            write_process_record(
                job.run,
                dataset=str(job.folder.path),
                fold=job.fold,
                arguments=tuple(shlex.split(job.request.command)[2:]),
                device=job.request.device,
                resumed_by=job.continuation(),
            )
            return distill(job, send, stop)

        return show_in_terminal(job.run, perform, partial(_ending, job), jsonl=jsonl)


def _ending(job: DistillationJob, *, finished: bool) -> Statement:
    if finished:
        return statement(FINISHED_STUDENT, folder=job.run.path)
    resumed = Remedy(Action.RUN, {"command": job.continuation()})
    return statement(STOPPED_TRAINING, resumed)
