"""Progress of a training, computed from its messages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import reduce

from ...core.problems import Statement
from ..messages import EpochDone, JobEnded, Message, Notice, StageStarted, TrainingStarted

NO_STAGE = StageStarted(text="")


@dataclass(frozen=True, kw_only=True)
class TrainingProgress:
    """Progress of the last training in a run folder, as its messages report it.

    ``fold`` is "", ``epochs`` and ``cycles`` are 0 until they are known; they include added
    cycles. ``stage`` is the current activity, without text after the end. ``validation_cases`` are
    measured after the epochs. ``eta_seconds`` and ``memory_bytes`` are the last reported values,
    None if they are outdated. ``ended`` is None while the training runs. ``reports_of`` has the
    finished epochs of every fold.
    """

    fold: str = ""
    epochs: int = 0
    cycles: int = 0
    stage: StageStarted = NO_STAGE
    validation_cases: int = 0
    eta_seconds: float | None = None
    memory_bytes: int | None = None
    ended: JobEnded | None = None
    notices: tuple[Statement | str, ...] = ()
    reports_of: Mapping[str, tuple[EpochDone, ...]] = field(default_factory=dict)

    @property
    def reports(self) -> tuple[EpochDone, ...]:
        """Finished epochs of the current fold in order, from 0 even after a resume."""
        return self.reports_of.get(self.fold, ())

    @property
    def members(self) -> int:
        """Number of finished epochs that became members."""
        return sum(report.member for report in self.reports)


NOTHING_YET = TrainingProgress()


def progress_of(
    messages: Iterable[Message], before: TrainingProgress = NOTHING_YET
) -> TrainingProgress:
    """Return the progress after further messages."""
    return reduce(_after, messages, before)


def _after(progress: TrainingProgress, message: Message) -> TrainingProgress:
    if isinstance(message, JobEnded):
        return replace(progress, ended=message, stage=NO_STAGE, eta_seconds=None, memory_bytes=None)
    if progress.ended:  # another training has started
        progress = replace(progress, ended=None, notices=())
    if isinstance(message, StageStarted):
        return replace(progress, stage=message, eta_seconds=message.eta_seconds)
    if isinstance(message, Notice):
        return replace(progress, notices=(*progress.notices, message.sentence))
    if isinstance(message, TrainingStarted):
        return replace(
            progress,
            fold=message.fold,
            epochs=message.epochs,
            cycles=message.cycles,
            validation_cases=message.validation_cases,
            reports_of=_up_to(progress, message.fold, message.epoch),
        )
    if isinstance(message, EpochDone):
        return replace(
            progress,
            fold=message.fold,
            reports_of=_up_to(progress, message.fold, message.epoch, message),
            eta_seconds=message.eta_seconds,
            memory_bytes=message.memory_bytes,
        )
    return progress


def _up_to(
    progress: TrainingProgress, fold: str, epoch: int, *new: EpochDone
) -> dict[str, tuple[EpochDone, ...]]:
    """Return the reports, those of ``fold`` only before ``epoch`` and with the ``new`` ones."""
    reports = progress.reports_of.get(fold, ())
    if reports and reports[-1].epoch >= epoch:  # not after every epoch, of which there are 1200
        reports = tuple(report for report in reports if report.epoch < epoch)
    return {**progress.reports_of, fold: (*reports, *new)}
