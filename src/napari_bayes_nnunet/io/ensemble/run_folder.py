"""Folder of one training: an nnU-Net model folder with members and a record of the training.

RUN/{plans.json, dataset.json, ensemble.json, progress.jsonl, train.log, stop,
fold_X/{checkpoint_latest.pth, members/epoch_0399.pth}}
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from ...core.choices import Augmentation
from ...core.ensemble.schedule import RestartSchedule
from ...core.ensemble.training_settings import TrainingSettings
from ...core.fields import given_values
from .. import DataError
from ..dataset.patients import DEFAULT_PATIENT
from ..files.atomic import remove_leftovers, write_json, write_text
from ..files.checksum import sha256
from ..files.json_files import Count, parse_json, reading_json
from .trajectory import epoch_files

RECORD = "ensemble.json"
_FORMAT = 1
_REPAIR = "Restore it from a backup."
FOLD_NAME = re.compile(r"all|[0-9]+")
"""Name of a fold, which is part of the name of its folder."""
NO_RECORD = "{file} does not exist. Choose the folder of a training."


class _FileOfRun:
    """Attribute that is the path of a file or folder in the run."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, run: RunFolder, _: object = None) -> Path:
        return run.path / self._name


@dataclass(frozen=True)
class RunFolder:
    """Paths inside the folder of a training.

    ``record`` is that of the training and of its members so far, ``progress`` has its messages, one
    JSON line each, and ``log`` the output of nnU-Net, and tracebacks. ``stop`` asks the training to
    end after the current epoch; its process locks ``lock``, and ``job`` records the last process
    and its arguments. ``plans`` are nnU-Net's, with the settings of the training, ``splits`` the
    cases of every fold in the format of nnU-Net's file of this name, and ``workspace`` has its raw
    and preprocessed folders.
    """

    path: Path

    record = _FileOfRun(RECORD)
    progress = _FileOfRun("progress.jsonl")
    log = _FileOfRun("train.log")
    stop = _FileOfRun("stop")
    lock = _FileOfRun("training.lock")
    job = _FileOfRun("job.json")
    plans = _FileOfRun("plans.json")
    splits = _FileOfRun("splits_final.json")
    workspace = _FileOfRun("nnunet_data")

    def fold(self, fold: str) -> Path:
        """Return the folder of one fold ("0" … "4", "all")."""
        return self.path / f"fold_{fold}"

    def members(self, fold: str) -> Path:
        """Return the folder of a fold's members."""
        return self.fold(fold) / "members"

    def trajectory(self, fold: str) -> Path:
        """Return the folder with some layers of every epoch, if they are kept."""
        return self.fold(fold) / "trajectory"

    def member(self, fold: str, epoch: int) -> Path:
        """Return the file with the weights at the end of ``epoch`` (from 0)."""
        return self.members(fold) / f"epoch_{epoch:04d}.pth"


@dataclass(frozen=True, kw_only=True)
class MemberRecord:
    """Entry of one member in ``ensemble.json``."""

    file: str
    epoch: Count
    cycle: Count
    learning_rate: float
    bytes: Count
    sha256: str


@dataclass(frozen=True, kw_only=True)
class TrainingRecord(TrainingSettings):
    """Content of ``ensemble.json``: settings, cases and members of a training.

    ``folds`` holds, per fold, its cases, its members, and what its added cycles were trained on:
    {"0": {"training_cases": [...], "validation_cases": [...], "members": [...],
    "added_cycles": [{"training_cases": [...], "dataset": {...}, "augmentation": "wide",
    "command": "..."}]}}.
    ``patient`` is the pattern of the patient's part of a case name. In some records of version
    0.2.0 ``sampler`` is "sghmc", or ``teacher`` an ensemble that the network learned from.
    ``named`` has the label values whose names were given for the training.

    ``validation`` holds, per fold, how the validation cases were segmented and their mean Dice:
    {"0": {"method": "multi", "members": 9, "mirroring": "full", "cases": 16,
    "dice": {"LV": mean, ...}}}.
    """

    name: str
    labels: dict[str, Count]
    channels: list[str]
    sampler: str = "sgd"
    command: str = ""
    patient: str = DEFAULT_PATIENT
    named: dict[str, str] = field(default_factory=dict)
    software: dict[str, str] = field(default_factory=dict)
    dataset: dict[str, Any] = field(default_factory=dict)
    folds: dict[str, dict[str, Any]] = field(default_factory=dict)
    validation: dict[str, dict[str, Any]] = field(default_factory=dict)
    teacher: dict[str, Any] | None = None

    def schedule_of(self, fold: str) -> RestartSchedule:
        """Return the schedule with the cycles that were added to the training of ``fold``."""
        return replace(self.schedule, added_cycles=len(self.added_cycles(fold)))

    def settings_of(self, fold: str) -> TrainingSettings:
        """Return the settings that ``fold`` was last trained with."""
        values = given_values(TrainingSettings, self)
        values |= {"schedule": self.schedule_of(fold), "augmentation": self.augmentation_of(fold)}
        return TrainingSettings(**values)

    def added_cycles(self, fold: str) -> list[dict[str, Any]]:
        """Return the dataset, cases and command of each added cycle."""
        return list(self.folds.get(fold, {}).get("added_cycles", []))

    def training_cases(self, fold: str) -> list[str]:
        """Return the cases that ``fold`` was last trained on."""
        entry = self.folds.get(fold, {})
        return list([entry, *self.added_cycles(fold)][-1].get("training_cases", []))

    def validation_cases(self, fold: str) -> list[str]:
        """Return the cases that ``fold`` is validated with."""
        return list(self.folds.get(fold, {}).get("validation_cases", []))

    def trained_on(self, fold: str) -> dict[str, Any]:
        """Return the name and case signatures of the dataset that ``fold`` was last trained on."""
        added = self.added_cycles(fold)
        return {"name": "", "cases": {}} | (added[-1]["dataset"] if added else self.dataset)

    def augmentation_of(self, fold: str) -> Augmentation:
        """Return the augmentation that ``fold`` was last trained with."""
        added = self.added_cycles(fold)
        return (added[-1].get("augmentation") if added else None) or self.augmentation

    def is_complete(self, fold: str) -> bool:
        """Return whether the last epoch of ``fold``, which always gives a member, is done."""
        members = self.members(fold)
        return bool(members) and members[-1].epoch == self.schedule_of(fold).all_epochs - 1

    def members(self, fold: str) -> list[MemberRecord]:
        """Return the members of ``fold`` in the order of their epochs."""
        rows = self.folds.get(fold, {}).get("members", [])
        names = [f.name for f in fields(MemberRecord)]
        members = (MemberRecord(**{name: row[name] for name in names}) for row in rows)
        return sorted(members, key=lambda member: member.epoch)


@dataclass(frozen=True, kw_only=True)
class EpochReport:
    """One finished epoch. Times are in seconds; ``member`` is True if its weights were kept.

    ``memory_bytes`` is the device memory that the training holds, None if unknown.
    """

    fold: str
    epoch: int
    cycle: int
    learning_rate: float
    train_loss: float
    val_loss: float | None
    pseudo_dice: dict[str, float | None]
    seconds: float
    eta_seconds: float
    member: bool
    memory_bytes: int | None = None


@dataclass(frozen=True, kw_only=True)
class _Dataset:
    name: str = ""
    cases: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class _Cycle:
    training_cases: list[str]
    dataset: _Dataset
    augmentation: Augmentation | None = None
    command: str = ""


@dataclass(frozen=True, kw_only=True)
class _Fold:
    training_cases: list[str] = field(default_factory=list)
    validation_cases: list[str] = field(default_factory=list)
    members: list[MemberRecord] = field(default_factory=list)
    added_cycles: list[_Cycle] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class _Validation:
    structures: dict[str, dict[str, tuple[float, float] | None]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class _Folds:
    """The inner types of a `TrainingRecord`."""

    dataset: _Dataset = field(default_factory=_Dataset)
    folds: dict[str, _Fold] = field(default_factory=dict)
    validation: dict[str, _Validation] = field(default_factory=dict)


def read_record(path: Path) -> TrainingRecord:
    """Return the content of ``ensemble.json``. Raises DataError if it is missing or damaged."""
    try:
        with reading_json(path, newest=_FORMAT, repair=_REPAIR) as text:
            folds = parse_json(text, _Folds)
            if not all(map(FOLD_NAME.fullmatch, (*folds.folds, *folds.validation))):
                raise ValueError  # such as "./../..", which would lead out of the run
            return parse_json(text, TrainingRecord)
    except FileNotFoundError as error:
        raise DataError(NO_RECORD, file=path) from error


def write_record(path: Path, record: TrainingRecord) -> None:
    """Write ``ensemble.json`` atomically."""
    write_json(path, {"format": _FORMAT, **asdict(record)})


def add_member(run: RunFolder, fold: str, epoch: int) -> MemberRecord:
    """Add the member file of ``epoch`` to ``ensemble.json``."""
    record = read_record(run.record)
    file = run.member(fold, epoch)
    member = MemberRecord(
        file=file.relative_to(run.path).as_posix(),
        epoch=epoch,
        cycle=record.schedule.cycle(epoch),
        learning_rate=record.schedule.learning_rate(epoch),
        bytes=file.stat().st_size,
        sha256=sha256(file),
    )
    # A resumed training makes some members again.
    others = [m for m in record.members(fold) if m.epoch != epoch]
    _write_members(run, record, fold, [*others, member])
    return member


def forget_from(run: RunFolder, fold: str, epoch: int) -> None:
    """Delete members and progress from ``epoch`` on: a resumed training makes them again."""
    record = read_record(run.record)
    # The record first, so that it never lists a missing file if this process is killed.
    _write_members(run, record, fold, [m for m in record.members(fold) if m.epoch < epoch])
    for file in run.members(fold).glob("epoch_*.pth"):
        number = file.stem.removeprefix("epoch_")
        if number.isdigit() and int(number) >= epoch:
            file.unlink()
    for kept_epoch, file in epoch_files(run.trajectory(fold)):
        if kept_epoch >= epoch:
            file.unlink()
    # A killed write leaves its temporary file.
    for folder in (run.path, run.fold(fold), run.members(fold), run.trajectory(fold)):
        remove_leftovers(folder)
    if run.progress.exists():
        text = run.progress.read_text(encoding="utf-8", errors="replace")
        lines = text.splitlines(keepends=True)
        write_text(run.progress, "".join(line for line in lines if _is_before(line, fold, epoch)))


def _write_members(
    run: RunFolder, record: TrainingRecord, fold: str, members: list[MemberRecord]
) -> None:
    rows = [asdict(m) for m in sorted(members, key=lambda member: member.epoch)]
    if members != record.members(fold):  # a stopped training has measured the members before
        record.validation.pop(fold, None)
    record.folds.setdefault(fold, {})["members"] = rows
    write_record(run.record, record)


def _is_before(line: str, fold: str, epoch: int) -> bool:
    """Return whether a line of progress.jsonl stays; a line damaged by a kill does not."""
    try:
        message = parse_json(line, dict[str, Any])
        if message.get("kind") != "epoch" or message.get("fold") != fold:
            return True
        return bool(message["epoch"] < epoch)
    except (ValueError, KeyError, TypeError):
        return False
