"""Student of an ensemble: one network that `distill` trained to answer like all of its members."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from .. import DataError
from .ensemble_folder import EnsembleFolder, Member, find_ensemble
from .run_folder import RunFolder, Teacher, read_record

STUDENT: Final = "student"
"""Folder of the student inside the run of its ensemble, unless another one is chosen."""


def find_student(folder: EnsembleFolder) -> Member | None:
    """Return the finished student inside an ensemble, None if it learned from other members."""
    run = RunFolder(folder.path / STUDENT)
    with suppress(DataError):
        record = read_record(run.record)
        fold = next(iter(record.folds), "")
        if record.teacher and record.is_complete(fold) and _is_taught_by(folder, record.teacher):
            return next(reversed(find_ensemble(run.path).usable_members), None)
    return None


def _is_taught_by(folder: EnsembleFolder, teacher: Teacher) -> bool:
    known = {
        member.path.relative_to(folder.path).as_posix(): member.sha256
        for member in folder.usable_members
        if member.path.is_relative_to(folder.path)
    }
    is_whole = len(known) == len(folder.usable_members)
    same_members = teacher.members.items() <= known.items()
    return is_whole and same_members and teacher.plans_sha256 == folder.plans_sha256
