"""Log of use of a review, STUDY/use_log.csv: how long each slice took and what was changed where.

It answers whether the guidance helps: seconds per slice, and the share of the changed voxels that
the models had called uncertain.
"""

from __future__ import annotations

import csv
import io
import math
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from .. import DataError

USE_LOG: Final = "use_log.csv"
UNCERTAIN_ABOVE: Final = 0.2
"""Entropy, bit. At 0.19 bit a voxel between two structures is 97 % sure."""

_COLUMNS: Final = (
    "time", "phase", "slice", "seconds", "tool", "voxels_changed_inside", "voxels_changed_outside",
    "uncertain_above_bit", "state",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class UseRow:
    """One stretch of work on the slice ``z`` (from 0; from 1 in the file), with one tool.

    ``phase`` counts from 1 and is None for a 3D image. ``tool`` is "" where the slice was only
    looked at. Changed voxels are counted ``inside`` and ``outside`` the region whose entropy is
    above ``threshold`` bit. ``state`` is that of the slice when it was left.
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
    """What a log says. Shares are 0 … 1; what cannot be divided is NaN.

    ``slices`` were visited and ``corrected`` of them changed, in ``seconds`` in all;
    ``inside_share`` of the ``changed`` voxels were in the uncertain region, whose entropy is above
    one of ``thresholds``, bit. ``tools``: changed voxels by tool, the most first.
    """

    slices: int
    corrected: int
    seconds: float
    seconds_per_slice: float
    changed: int
    inside_share: float
    thresholds: tuple[float, ...]
    tools: Mapping[str, int]


def changed_voxels(
    before: NDArray[np.integer],
    after: NDArray[np.integer],
    entropy: NDArray[np.floating],
    *,
    threshold: float = UNCERTAIN_ABOVE,
) -> tuple[int, int]:
    """How many labels differ inside and outside the region of entropy above ``threshold`` bit.

    All three arrays have one shape, such as (Y, X).
    """
    changed = before != after
    inside = int(np.count_nonzero(changed & (entropy > threshold)))
    return inside, int(np.count_nonzero(changed)) - inside


def append_use(file: Path, row: UseRow) -> None:
    """Write ``row`` at the end of the log, which is begun where there is none.

    A kill meanwhile loses this row at most: what a kill left of a line is cut off before the
    next. Raises DataError where the file cannot be written.
    """
    try:
        with file.open("a+b", buffering=0) as stream:
            line = _line(row) if _cut_to_whole_lines(stream) else _csv(_COLUMNS) + _line(row)
            if stream.write(line) != len(line):
                raise OSError("the disk is full")
            os.fsync(stream.fileno())
    except OSError as error:
        raise DataError(f"{file} cannot be written: {error.strerror or error}.") from error


def read_use(file: Path) -> list[UseRow]:
    """The rows of the log, [] without it. Damaged lines and a last one cut short are left out.

    Raises DataError where the file cannot be read.
    """
    try:
        lines = file.read_bytes().split(b"\n")[:-1]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}.") from error
    rows = (_row(line.decode("utf-8", errors="replace")) for line in lines)
    return [row for row in rows if row is not None]


def usage_summary(rows: Iterable[UseRow]) -> UseSummary:
    """What the rows say together; a slice that was visited again counts once."""
    rows = list(rows)
    slices = {(row.phase, row.z) for row in rows}
    seconds = math.fsum(row.seconds for row in rows)
    tools: Counter[str] = Counter()
    for row in rows:
        tools[row.tool] += row.inside + row.outside
    changed = tools.total()
    inside = sum(row.inside for row in rows)
    return UseSummary(
        slices=len(slices),
        corrected=len({(row.phase, row.z) for row in rows if row.inside + row.outside}),
        seconds=seconds,
        seconds_per_slice=seconds / len(slices) if slices else math.nan,
        changed=changed,
        inside_share=inside / changed if changed else math.nan,
        thresholds=tuple(sorted({row.threshold for row in rows})),
        tools={tool: count for tool, count in tools.most_common() if count},
    )


def _cut_to_whole_lines(stream: BinaryIO) -> int:
    """Cut off what follows the last end of a line; returns the bytes that are left."""
    stream.seek(0)
    whole = stream.read().rfind(b"\n") + 1
    stream.truncate(whole)
    return whole


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
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(fields)
    return text.getvalue().encode()


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _row(line: str) -> UseRow | None:
    try:
        time, phase, z, seconds, tool, inside, outside, threshold, state = next(csv.reader([line]))
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
    except (ValueError, csv.Error, StopIteration):  # the line of titles, or a damaged one
        return None
