"""Usage log of a review, STUDY/use_log.csv: time and changed voxels of each slice.

It shows if the guidance helps, by the seconds per slice and the share of the changed voxels that
the ensemble is uncertain about.
"""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from ..files.access import reading, writing
from ..files.csv_text import csv_rows, csv_text
from ..files.limits import read_small

USE_LOG: Final = "use_log.csv"
UNCERTAIN_ABOVE: Final = 0.2
"""Entropy, bit. At 0.19 bit the probability of one of two structures is 97 %."""

_COLUMNS: Final = (
    "time", "phase", "slice", "seconds", "tool", "voxels_changed_inside", "voxels_changed_outside",
    "uncertain_above_bit", "state",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class UseRow:
    """Work on the slice ``z`` (from 0; from 1 in the file) with one tool.

    ``phase`` counts from 1 and is None for a 3D image. ``tool`` is "" if the slice was only viewed.
    Changed voxels are counted ``inside`` and ``outside`` the region whose entropy is above
    ``threshold`` bit. ``state`` is the state of the slice at the end.
    """

    time: datetime
    phase: int | None
    z: int
    seconds: float
    tool: str = ""
    inside: int = 0
    outside: int = 0
    threshold: float = UNCERTAIN_ABOVE
    state: str = ""


@dataclass(frozen=True, kw_only=True)
class UseSummary:
    """Totals of a log: ``slices`` that were viewed in ``seconds`` altogether.

    The log also has edits that were undone, so it does not say what was changed in the end.
    ``seconds_per_slice`` is NaN without slices.
    """

    slices: int
    seconds: float
    seconds_per_slice: float


def changed_voxels(
    before: NDArray[np.integer],
    after: NDArray[np.integer],
    entropy: NDArray[np.floating],
) -> tuple[int, int]:
    """Return how many labels differ inside and outside the region above UNCERTAIN_ABOVE bit.

    All three arrays have the same shape, such as (Y, X).
    """
    changed = before != after
    inside = int(np.count_nonzero(changed & (entropy > UNCERTAIN_ABOVE)))
    return inside, int(np.count_nonzero(changed)) - inside


def append_use(file: Path, row: UseRow) -> None:
    """Write ``row`` at the end of the log, and create the log if it is missing.

    A kill loses at most this row: an incomplete line is cut off before the next row is written.
    Raises DataError if the file cannot be written.
    """
    with writing(file):
        if file.is_symlink():  # a stranger's study could append to any file
            raise OSError("it is a symbolic link")
        with file.open("a+b", buffering=0) as stream:
            line = _line(row) if _cut_to_whole_lines(stream) else _csv(_COLUMNS) + _line(row)
            # Without a buffer, a full disk may write a part and raise nothing.
            if stream.write(line) != len(line):
                raise OSError("the disk is full")
            # Until then a row is only in the memory of the system.
            os.fsync(stream.fileno())


def read_use(file: Path) -> list[UseRow]:
    """Return the rows of the log, [] without it, except damaged and incomplete lines.

    Raises DataError if the file cannot be read.
    """
    with reading(file):
        # The last part is empty, or a line that a kill cut short.
        lines = read_small(file).split(b"\n")[:-1] if file.exists() else []
    rows = (_row(line.decode("utf-8", errors="replace")) for line in lines)
    return [row for row in rows if row is not None]


def summarise_use(rows: Iterable[UseRow]) -> UseSummary:
    """Return the totals of the rows; a slice that was visited twice counts once."""
    rows = list(rows)
    slices = {(row.phase, row.z) for row in rows}
    seconds = math.fsum(row.seconds for row in rows)
    return UseSummary(
        slices=len(slices),
        seconds=seconds,
        seconds_per_slice=seconds / len(slices) if slices else math.nan,
    )


def _cut_to_whole_lines(stream: BinaryIO) -> int:
    """Cut off an incomplete last line, and return the number of bytes that remain."""
    stream.seek(0)
    complete = stream.read().rfind(b"\n") + 1
    stream.truncate(complete)
    return complete


def _line(row: UseRow) -> bytes:
    return _csv(
        (
            row.time.isoformat(timespec="seconds"),
            "" if row.phase is None else row.phase,
            row.z + 1,
            f"{row.seconds:.1f}",
            _one_line(row.tool),
            row.inside,
            row.outside,
            f"{row.threshold:g}",
            _one_line(row.state),
        )
    )


def _csv(fields: Iterable[object]) -> bytes:
    return csv_text([fields]).encode()


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _row(line: str) -> UseRow | None:
    try:
        (fields,) = csv_rows([line])
        time, phase, z, seconds, tool, inside, outside, threshold, state = fields
        return UseRow(
            time=datetime.fromisoformat(time),
            phase=int(phase) if phase else None,
            z=int(z) - 1,
            seconds=float(seconds),
            tool=tool,
            inside=int(inside),
            outside=int(outside),
            threshold=float(threshold),
            state=state,
        )
    except (ValueError, csv.Error):  # the header line, or a damaged line
        return None
