"""Student of an ensemble: one network that `distill` trained to answer like all of its members."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from .. import DataError
from .ensemble_folder import EnsembleFolder, Member
from .run_folder import RunFolder, TrainingRecord, read_record

STUDENT: Final = "student"
"""Folder of the student inside the run of its ensemble, unless another one is chosen."""


def find_student(folder: EnsembleFolder) -> Member | None:
    """Return the finished student inside an ensemble, None if it learned from other members.

    Its checksum is known, but not compared with its file.
    """
    run = RunFolder(folder.path / STUDENT)
    with suppress(DataError):
        record = read_record(run.record)
        if len(record.folds) == 1 and _is_taught_by(folder, record):
            return _last_member(run, record)
    return None


def _is_taught_by(folder: EnsembleFolder, record: TrainingRecord) -> bool:
    teacher, own = record.teacher, folder.record
    if teacher is None or not teacher.members or own is None or record.labels != own.labels:
        return False
    known = {
        member.path.relative_to(folder.path).as_posix(): member.sha256
        for member in folder.usable_members
        if member.path.is_relative_to(folder.path)
    }
    is_whole = len(known) == len(folder.usable_members)
    same_members = teacher.members.items() <= known.items()
    return is_whole and same_members and teacher.plans_sha256 == folder.plans_sha256


def _last_member(run: RunFolder, record: TrainingRecord) -> Member | None:
    (fold,) = record.folds
    if not record.is_complete(fold):
        return None
    last = record.members(fold)[-1]
    path = run.member(fold, last.epoch)
    # The record may come from anywhere, so its path is compared and never followed.
    is_recorded = last.sha256 and last.file == path.relative_to(run.path).as_posix()
    if not is_recorded or not path.is_file():
        return None
    return Member(
        path=path,
        training=run.path.name,
        fold=fold,
        epoch=last.epoch,
        cycle=last.cycle,
        learning_rate=last.learning_rate,
        bytes=last.bytes,
        sha256=last.sha256,
    )
