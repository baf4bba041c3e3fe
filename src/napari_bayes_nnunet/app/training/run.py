"""Training of a checkpoint ensemble: plan, preprocess, train, measure the validation range.

The process must serve this training only, because nnU-Net reads its folders from the environment.
The terminal, the window and a cluster all start it through the command.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import asdict
from time import monotonic
from typing import Any

from ...core.counts import format_count
from ...core.durations import TimeLeft
from ...core.ensemble.training_settings import PRESETS
from ...core.problems import Statement
from ...io.dataset.check import check_labels
from ...io.dataset.patients import patient_of
from ...io.dataset.raw_dataset import splits_to_json
from ...io.ensemble.run_folder import (
    RunFolder,
    forget_from,
    write_record,
)
from ...io.files.atomic import write_json
from ...nnunet import Stopped
from ..messages import EpochDone, Message, Notice, StageStarted, TrainingStarted, text_fields
from ..signals import StopRequest
from .job import TrainingJob, prepare_job
from .request import TrainingRequest, pattern_warning, schedule_notes
from .validation import measure_validation

CHECKING_LABELS = "Checking the labels"
PLANNING = "Planning and preprocessing"
CASES_DONE = {
    "read": "Planning: {done} of {total} cases read",
    "preprocessed": "Preprocessing: {done} of {total} cases done",
}
REPORTS_EVERY_S = 0.5
"""Shortest time between two reports on cases, which are lines of progress.jsonl."""
Send = Callable[[Message], None]


def train(request: TrainingRequest, send: Send) -> bool:
    """Train as requested; return True if all epochs are done, False if RUN/stop ended it.

    ``send`` receives TrainingStarted, an EpochDone per epoch, and a StageStarted for each other
    step that takes a while.

    Raises
    ------
    AppError, DataError or ModelError
        Worded for the user.

    Examples
    --------
    A training of three epochs with one batch each, on a dataset of made hearts:

    >>> from contextlib import redirect_stdout
    >>> from io import StringIO
    >>> from pathlib import Path
    >>> from napari_bayes_nnunet import RestartSchedule, TrainingRequest, find_ensemble, train
    >>> request = TrainingRequest(
    ...     dataset=Path("Dataset001_Hearts"),
    ...     output=Path("run"),
    ...     preset="demo",
    ...     schedule=RestartSchedule(epochs=3, cycles=3, gamma=0),
    ...     iterations_per_epoch=1,
    ...     batch_size=2,
    ...     device="cpu",
    ... )
    >>> with redirect_stdout(StringIO()):  # nnU-Net prints its log
    ...     is_done = train(request, lambda message: None)
    >>> is_done, len(find_ensemble(Path("run")).members)
    (True, 3)
    """
    with prepare_job(request) as job:
        return run_job(job, send, StopRequest(job.run.stop))


def run_job(job: TrainingJob, send: Send, stop: StopRequest) -> bool:
    """Run a prepared job, see ``train``.

    The members are measured even if the training was stopped, unless it is stopped once more.
    """

    def stage(message: Message) -> None:
        stop.check()
        send(message)

    finished = True
    try:
        try:
            if not job.is_trained:
                _train(job, send, lambda text: stage(StageStarted(text=text)), stop)
        except Stopped:
            finished = False
            stop = StopRequest(job.run.stop)  # another one stops the measuring
        if job.lacks_validation:
            measure_validation(
                job.run, job.fold, job.dataset, device=job.request.device, send=stage, stop=stop
            )
    except Stopped:
        return False
    finally:
        job.run.stop.unlink(missing_ok=True)
    return finished


def _train(job: TrainingJob, send: Send, stage: Callable[[str], None], stop: StopRequest) -> None:
    """Plan, preprocess and train. Raises Stopped if a stop is requested."""
    from ...nnunet.device import choose_device
    from ...nnunet.trainer import make_trainer

    choose_device(job.request.device)  # a missing one is told before hours of planning
    if job.request.add_cycle or not job.settled:
        stage(CHECKING_LABELS)
        for text in _warnings(job):
            send(Notice(**text_fields(text)))
    stage(PLANNING)
    trainer = make_trainer(
        _write_plans(job, CaseReports(send)),
        job.dataset.json,
        job.record.configuration,
        job.fold,
        device=choose_device(job.request.device),
        resume=job.request.resume,
        on_epoch=lambda report: send(EpochDone(**asdict(report))),
        stop_requested=lambda: bool(stop),
    )
    if job.request.add_cycle:
        _begin_cycle(job)
    stage(_training_text(job))
    forget_from(job.run, job.fold, trainer.current_epoch)
    schedule = job.record.schedule_of(job.fold)
    send(
        TrainingStarted(
            fold=job.fold,
            epoch=trainer.current_epoch,
            epochs=schedule.all_epochs,
            cycles=schedule.all_cycles,
            validation_cases=len(job.record.validation_cases(job.fold)),
        )
    )
    with stop.in_epochs():
        trainer.run_training()


class CaseReports:
    """Reports on the cases that are planned and preprocessed, with the time left."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._time_left = TimeLeft()
        self._last = -REPORTS_EVERY_S

    def __call__(self, step: str, done: int, total: int) -> None:
        """Report that so many cases have taken a step, unless the last report is too recent."""
        if done:
            self._time_left.step()
        else:
            self._time_left = TimeLeft()
        # The first and the last report always come, as they begin and end the bar.
        if 0 < done < total and monotonic() - self._last < REPORTS_EVERY_S:
            return
        self._last = monotonic()
        text = CASES_DONE[step].format(done=done, total=total)
        left = self._time_left.seconds(total - done)
        self._send(StageStarted(text=text, done=done, total=total, eta_seconds=left))


def _warnings(job: TrainingJob) -> Iterator[Statement | str]:
    """Yield warnings for the user. Raises DataError if the training cannot run."""
    names = [case.name for case in job.dataset.cases]
    asks = job.request.patient or not job.settled
    if asks and (warning := pattern_warning(job.request.patient, names)):
        yield warning
    if not job.settled:
        record, preset = job.record, PRESETS[job.record.preset]
        usual = schedule_notes(preset.schedule, preset.selection).values()
        notes = schedule_notes(record.schedule, record.selection).values()
        # A preset itself is not warned about.
        yield from (note for note in notes if note not in usual)
    yield from (problem.text for problem in check_labels(job.dataset))


def _write_plans(job: TrainingJob, on_cases: CaseReports) -> dict[str, Any]:
    """Write plans, split and record for the trainer and for a later resume.

    Returns the plans. ``ensemble.json`` is written last: if it is there, all files that
    a resume needs are there too. It does not contain an added cycle yet.
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
        job.dataset,
        workspace,
        configuration=record.configuration,
        plans=kept,
        on_cases=on_cases,
    )
    settings = record.settings_of(job.fold)
    plans = training_plans(plans, settings) if kept is None else with_settings(plans, settings)
    write_plans(job.dataset, workspace, plans, job.splits)
    if not job.request.resume:
        if kept is None:
            job.run.plans.unlink(missing_ok=True)  # left by an earlier start that saved nothing
        if job.splits:
            write_json(job.run.splits, splits_to_json(job.splits))
        write_record(job.run.record, record)
    return plans


def _begin_cycle(job: TrainingJob) -> None:
    """Record the new cycle after all preparations; until then the training counts as finished.

    The final state becomes the latest, because nnU-Net prefers a final state to the latest. If the
    process is killed before the record is written, a resume restores the final state.
    """
    final = job.run.fold(job.fold) / "checkpoint_final.pth"
    if final.exists():
        final.replace(final.with_name("checkpoint_latest.pth"))
    write_record(job.run.record, job.record)


def _set_environment(run: RunFolder) -> None:
    """Set the variables with which nnU-Net finds its folders, our trainer and the run."""
    from ...nnunet.planning import workspace_environment
    from ...nnunet.trainer import trainer_environment

    os.environ.update(workspace_environment(run.workspace))
    os.environ.update(trainer_environment(run.path))


def _training_text(job: TrainingJob) -> str:
    """Return the numbers of cases and patients, which show if the patient pattern is wrong."""
    pattern = job.request.patient or job.record.patient
    parts = []
    for use, cases in (
        ("training", job.record.training_cases(job.fold)),
        ("validation", job.record.validation_cases(job.fold)),
    ):
        patients = {patient_of(case, pattern) for case in cases}
        if patients:
            count = format_count(len(cases), "case")
            parts.append(f"{count} ({format_count(len(patients), 'patient')}) for {use}")
    return f"Fold {job.fold}: {', '.join(parts)}"
