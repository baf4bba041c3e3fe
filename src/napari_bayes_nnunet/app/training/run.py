"""Train a checkpoint ensemble: plan, preprocess, train, and measure the validation range.

Runs in the process it is called in, which must be the training's own: nnU-Net reads its folders
from the environment. The terminal, the window and a cluster all start it through the command.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

from ...core.problems import Statement
from ...io.dataset.check import check_labels
from ...io.dataset.raw_dataset import DEFAULT_PATIENT, patient_of, splits_to_json
from ...io.ensemble.run_folder import (
    EpochReport,
    RunFolder,
    TrainingRecord,
    forget_from,
    write_record,
)
from ...io.files.atomic import write_json
from ...nnunet import Stopped
from ..messages import EpochDone, Message, Notice, StageStarted, TrainingStarted, speech
from ..signals import StopRequest
from .job import TrainingJob, prepared
from .request import PRESETS, TrainingRequest, pattern_warning, schedule_notes
from .validation import measure_validation_range

if TYPE_CHECKING:
    import torch

    from ...nnunet.trainer import CheckpointEnsembleTrainer, TrainerSettings

Tell = Callable[[Message], None]
OnEpoch = Callable[[EpochReport], None]


def train(request: TrainingRequest, tell: Tell) -> bool:
    """Train as requested; True when all epochs are done, False when the file RUN/stop ended it.

    ``tell`` receives TrainingStarted, an EpochDone per epoch, and StageStarted for all else that
    takes a while. Raises AppError, DataError or ModelError with one sentence for the user.
    """
    with prepared(request) as job:
        return run_job(job, tell, StopRequest(job.run.stop))


def run_job(job: TrainingJob, tell: Tell, stop: StopRequest) -> bool:
    """Do what ``train`` does for a job that is prepared."""

    def stage(message: StageStarted) -> None:
        stop.act()
        tell(message)

    try:
        if not job.is_trained:
            _train(job, tell, lambda text: stage(StageStarted(text=text)), stop)
        if job.lacks_validation:
            measure_validation_range(
                *(job.run, job.fold, job.dataset),
                device=job.request.device,
                tell=stage,
                stop=stop,
            )
    except Stopped:
        return False
    finally:
        job.run.stop.unlink(missing_ok=True)
    return True


def _train(job: TrainingJob, tell: Tell, stage: Callable[[str], None], stop: StopRequest) -> None:
    """Plan, preprocess and train. Raises Stopped when asked to."""
    from ...nnunet.trainer import TrainingStopped

    _check_device(job)
    if job.request.add_cycle or not job.settled:
        stage("Checking the labels")
        for text in _warnings(job):
            tell(Notice(**speech(text)))
    stage("Planning and preprocessing")
    begin = _on_several_cards if job.request.num_gpus > 1 else _on_one_device
    epoch, run_training = begin(
        job, _write_plans(job), lambda report: tell(EpochDone(**asdict(report))), stop
    )
    if job.request.add_cycle:
        _begin_cycle(job)
    forget_from(job.run, job.fold, epoch)
    _tell_leftovers(job, epoch, tell)
    stage(_training_text(job))
    schedule = job.record.schedule_of(job.fold)
    tell(
        TrainingStarted(
            fold=job.fold,
            epoch=epoch,
            epochs=schedule.all_epochs,
            cycles=schedule.all_cycles,
            validation_cases=len(job.record.validation_cases(job.fold)),
        )
    )
    with stop.in_epochs():
        try:
            run_training()
        except TrainingStopped as error:
            raise Stopped from error


def _warnings(job: TrainingJob) -> Iterator[Statement | str]:
    """What is worth a look. Raises DataError for what keeps the training from running."""
    names = [case.name for case in job.dataset.cases]
    yield from filter(None, [pattern_warning(job.request.patient, names)])
    if not job.settled:
        record, preset = job.record, PRESETS[job.record.preset or "paper"]
        usual = schedule_notes(preset.schedule, preset.selection).values()
        notes = schedule_notes(record.schedule, record.selection).values()
        yield from (note for note in notes if note not in usual)
    yield from (problem.text for problem in check_labels(job.dataset))


def _tell_leftovers(job: TrainingJob, epoch: int, tell: Tell) -> None:
    """Pass on what a killed training on several cards had no time to, up to the saved state."""
    from ...nnunet.ranks import Mailbox

    mailbox = Mailbox(job.run, job.fold)
    progress = job.run.progress
    told = progress.read_text(encoding="utf-8", errors="replace") if progress.exists() else ""
    for report in mailbox.new_reports():
        message = EpochDone(**asdict(report))
        if report.epoch < epoch and message.to_line() not in told:
            tell(message)
    mailbox.empty()


def _write_plans(job: TrainingJob) -> str:
    """Put plans, split and record where the trainer and a later resume find them.

    Returns the name of the plans. ``ensemble.json`` is written last: without it a start begins
    anew, with it everything that going on needs is there. It does not name an added cycle yet.
    """
    from ...nnunet.planning import (
        plan_and_preprocess,
        read_plans,
        training_plans,
        with_settings,
        write_plans,
    )

    workspace, record = job.run.workspace, job.record
    kept = None
    if job.settled and job.run.plans.exists():
        kept = read_plans(job.run.plans, job.dataset, configuration=record.configuration)
    _set_environment(job.run)
    plans = plan_and_preprocess(
        job.dataset, workspace, configuration=record.configuration, plans=kept
    )
    settings = _trainer_settings(record, job.fold)
    if kept is None:
        plans = training_plans(
            plans,
            configuration=record.configuration,
            batch_size=record.batch_size,
            dropout=record.dropout,
            network=PRESETS[record.preset or "paper"].network,
            settings=settings,
        )
    else:
        plans = with_settings(plans, settings)
    write_plans(job.dataset, workspace, plans, job.splits)
    if not job.request.resume:
        if kept is None:
            job.run.plans.unlink(missing_ok=True)  # of an earlier start that saved nothing
        if job.splits:
            write_json(job.run.splits, splits_to_json(job.splits))
        write_record(job.run.record, record)
    return str(plans["plans_name"])


def _begin_cycle(job: TrainingJob) -> None:
    """Enter the new cycle once all is ready for it: until then the training is a finished one.

    The final state becomes one to go on from; nnU-Net prefers the final to the latest. Killed
    before the record names the new cycle, the training is a finished one that lacks its last step,
    which a resume makes up for.
    """
    final = job.run.fold(job.fold) / "checkpoint_final.pth"
    if final.exists():
        final.replace(final.with_name("checkpoint_latest.pth"))
    write_record(job.run.record, job.record)


def _trainer_settings(record: TrainingRecord, fold: str) -> TrainerSettings:
    from ...nnunet.trainer import TrainerSettings

    return TrainerSettings(
        schedule=record.schedule_of(fold),
        selection=record.selection,
        iterations_per_epoch=record.iterations_per_epoch,
        validation_iterations=max(1, record.iterations_per_epoch // 5),
        seed=record.seed,
        keep_trajectory=record.keep_trajectory,
    )


def _set_environment(run: RunFolder) -> None:
    from ...nnunet.planning import workspace_environment
    from ...nnunet.trainer import trainer_environment

    os.environ.update(workspace_environment(run.workspace))
    os.environ.update(trainer_environment(run.path))


def _check_device(job: TrainingJob) -> None:
    """Raise ModelError where what the training asks for is not there, before hours of planning."""
    from ...nnunet.ddp import check_cards
    from ...nnunet.device import choose_device

    request = job.request
    if request.num_gpus > 1:
        check_cards(request.num_gpus, device=request.device, batch_size=job.record.batch_size)
    choose_device(request.device)


def _on_one_device(
    job: TrainingJob, plans: str, on_epoch: OnEpoch, stop: StopRequest
) -> tuple[int, Callable[[], None]]:
    """The epoch the training begins with, and what runs it in this process."""
    from ...nnunet.device import choose_device

    trainer = _make_trainer(job, plans, choose_device(job.request.device))
    trainer.on_epoch = on_epoch
    trainer.stop_requested = lambda: bool(stop)
    return trainer.current_epoch, trainer.run_training


def _on_several_cards(
    job: TrainingJob, plans: str, on_epoch: OnEpoch, stop: StopRequest
) -> tuple[int, Callable[[], None]]:
    """The epoch the training begins with, and what runs it in one process a card."""
    from ...nnunet import ddp

    resume = job.request.resume
    command = ddp.ddp_command(
        *(job.dataset.nnunet_name, job.record.configuration, job.fold),
        plans=plans,
        gpus=job.request.num_gpus,
        resume=resume,
    )
    run_training = partial(
        ddp.train_on_cards,
        command,
        ddp.ddp_environment(job.run.path, job.run.workspace),
        run=job.run,
        fold=job.fold,
        on_epoch=on_epoch,
        stop_requested=lambda: bool(stop),
    )
    return ddp.saved_epoch(job.run, job.fold) if resume else 0, run_training


def _make_trainer(job: TrainingJob, plans: str, device: torch.device) -> CheckpointEnsembleTrainer:
    """The trainer, found by nnU-Net itself, with the state it last saved where it goes on."""
    from nnunetv2.run.run_training import get_trainer_from_args, maybe_load_checkpoint

    from ...nnunet.device import training_environment
    from ...nnunet.fork_guard import end_forks_with_this_process
    from ...nnunet.trainer import CheckpointEnsembleTrainer

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
    pattern = job.request.patient or job.record.patient or DEFAULT_PATIENT
    parts = []
    for use, cases in (
        ("training", job.record.training_cases(job.fold)),
        ("validation", job.record.validation_cases(job.fold)),
    ):
        patients = {patient_of(case, pattern) for case in cases}
        if patients:
            parts.append(f"{len(cases)} cases ({len(patients)} patients) for {use}")
    return f"Fold {job.fold}: {', '.join(parts)}"
