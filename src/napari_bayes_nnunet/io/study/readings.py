"""Readings of a study: those kept in STUDY/readings/, and the one that is open.

The reader's files in the folder of the study are the open reading. A reading is copied to
readings/1, readings/2, … when it is finished, and before another reader or a change replaces it.
What was copied there is never written again, except that a reader can be renamed. While another
reading takes the place of the open one, readings/opening names its reader, and the folder of the
study has no review.json; a kill there is made good when the study is opened again.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from ..files.access import writing
from ..files.atomic import replacing, write_text
from ..files.limits import read_small_text
from .arrays import EDITED, PREDICTION
from .info import read_study_info
from .review_state import REVIEW, ReviewState, read_review, write_review
from .study import READINGS, has_work, new_review, work_checksums
from .usage_log import USE_LOG

_FILES: Final = (EDITED, USE_LOG, REVIEW)
"""Files of a reading; the last one makes it whole."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A reading in the folder ``path``.

    ``version`` counts the finished readings of its reader from 1; it is 0 if it is not finished.
    """

    path: Path
    review: ReviewState
    version: int = 0

    @property
    def name(self) -> str:
        """Name of the reader."""
        return self.review.reader or NO_NAME

    @property
    def versioned_name(self) -> str:
        """Reader and version, such as "Anna, version 2"."""
        return f"{self.name}, version {self.version}"

    @property
    def title(self) -> str:
        """Reader, version and date, such as "Anna, version 2, 2026-12-01 17:05"."""
        when = self.review.finished_on[:16].replace("T", " ")
        return ", ".join(filter(None, (self.versioned_name, when)))


NO_NAME: Final = "reader without a name"
READING_OPENED: Final = "opening"


def list_readings(study: Path) -> list[Reading]:
    """Return the kept readings, oldest first. Raises DataError for a damaged one."""
    readings: list[Reading] = []
    for path in _numbered(study):
        review = read_review(path)
        if review is not None:
            before = [r.version for r in readings if r.review.reader == review.reader]
            version = max(before, default=0) + 1 if review.finished else 0
            readings.append(Reading(path=path, review=review, version=version))
    return readings


def is_blind(reader: str, readings: Sequence[Reading]) -> bool:
    """Return whether a reader has not finished a reading, so that those of others are hidden."""
    return not any(r.review.finished and r.review.reader == reader for r in readings)


def unfinished_readers(study: Path, readings: Sequence[Reading]) -> list[str]:
    """Return the names of readers who have begun and never finished a reading of the study."""
    begun = [read_review(study) or ReviewState()] if has_work(study) else []
    names = dict.fromkeys(r.reader for r in (*begun, *(reading.review for reading in readings)))
    return [name or NO_NAME for name in names if is_blind(name, readings)]


def own_review(study: Path, reader: str) -> ReviewState | None:
    """Return the review that `open_reading` would open, None if it is that in the study's folder.

    Nothing is changed. Raises DataError for a damaged review.
    """
    open_one = (read_review(study) or ReviewState()).reader
    own = next((r.review for r in _latest_first(study, reader)), None)
    if open_one == reader or not (open_one or own):
        return None
    return own or ReviewState(reader=reader)


def keep_reading(study: Path) -> None:
    """Copy the open reading to a new folder, unless the latest one of its reader is the same.

    Raises DataError if it cannot be read or copied.
    """
    review = read_review(study) or ReviewState()
    for latest in _latest_first(study, review.reader)[:1]:
        # Times and what is on screen do not make another reading.
        is_same = work_checksums(latest.path)[EDITED] == work_checksums(study)[EDITED]
        if is_same and latest.review.work == review.work:
            return
    # One more than the highest, so that the numbers show the order even if a folder was deleted.
    number = max((int(path.name) for path in _numbered(study)), default=0) + 1
    _copy(study, study / READINGS / str(number))


def keep_finished(study: Path) -> None:
    """Keep the open reading if it is finished, see `keep_reading`."""
    if (read_review(study) or ReviewState()).finished:
        keep_reading(study)


def open_reading(study: Path, reader: str, *, named: bool = False) -> None:
    """Make the reading of ``reader`` the open one, from the prediction if there is none yet.

    The study must be locked. The reading that was open is kept. If its reader is only ``named``
    anew, all readings of this reader get the name, unless somebody else has it. A reading without a
    name stays open; it gets this one if nothing is done yet. Raises DataError if a file cannot be
    read or written.
    """
    if (study / READINGS / READING_OPENED).exists():
        _take(study, read_small_text(study / READINGS / READING_OPENED))
    review = read_review(study) or new_review(study, read_study_info(study))
    if review.reader == reader:
        return
    own = _latest_first(study, reader)
    if own or (review.reader and not named):
        if has_work(study):
            keep_reading(study)
        with writing(study):
            (study / READINGS).mkdir(exist_ok=True)
            write_text(study / READINGS / READING_OPENED, reader)
        _take(study, reader)
    elif named or not has_work(study):
        write_review(study, replace(review, reader=reader))
        for kept in _latest_first(study, review.reader):
            write_review(kept.path, replace(kept.review, reader=reader))


def _latest_first(study: Path, reader: str) -> list[Reading]:
    """Return the kept readings of a reader, the latest first."""
    return [r for r in list_readings(study) if r.review.reader == reader][::-1]


def _take(study: Path, reader: str) -> None:
    """Put the latest reading of a reader, or a new one, in the place of the open one."""
    own = _latest_first(study, reader)
    with writing(study):
        # Without a review, labels that a kill leaves behind are nobody's.
        (study / REVIEW).unlink(missing_ok=True)
        _copy(own[0].path, study) if own else _start(study, reader)
        (study / READINGS / READING_OPENED).unlink()


def _numbered(study: Path) -> list[Path]:
    # Other entries of the folder are no readings, such as the name of the reader who is opening
    # one.
    found = [path for path in (study / READINGS).glob("*") if path.name.isdecimal()]
    return sorted(found, key=lambda path: int(path.name))


def _start(study: Path, reader: str) -> None:
    with replacing(study / EDITED) as temporary:
        shutil.copyfile(study / PREDICTION, temporary)
    (study / USE_LOG).unlink(missing_ok=True)
    write_review(study, replace(new_review(study, read_study_info(study)), reader=reader))


def _copy(source: Path, target: Path) -> None:
    """Copy the files of a reading; a kill leaves what is not yet a reading in ``target``."""
    with writing(target):
        for name in _FILES:
            if (source / name).exists():
                with replacing(target / name) as temporary:
                    shutil.copyfile(source / name, temporary)
            else:
                (target / name).unlink(missing_ok=True)
