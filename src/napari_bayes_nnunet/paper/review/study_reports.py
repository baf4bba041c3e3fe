"""Reports of evaluations of studies: CSV tables, a figure, and estimates as text."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

from ...app.report.output_folder import check_report_files, report_files, write_or_refuse
from ...core.metrics.bootstrap import Estimate
from ...core.problems import Action
from ...io.files.access import writing
from ...io.files.atomic import replacing

_PICTURE: Final = ".png"


def check_report(report: Path, tables: Mapping[str, str]) -> None:
    """Raise AppError, before long work, if the report cannot be written or replaces other files.

    ``tables``: end of the name of a table, such as "_tools.csv" → the text that it begins with.
    """
    *files, picture = report_files(report, *tables, _PICTURE)
    begins = {file.name: text for file, text in zip(files, tables.values(), strict=True)}
    check_report_files(picture.parent, begins, [picture.name])


def write_report(
    report: Path, tables: Mapping[str, str], draw: Callable[[Path], None]
) -> tuple[Path, ...]:
    """Write the tables, end of the name → text, and then the figure; return the files.

    ``report`` may end in .csv or .png. Raises DataError if a file cannot be written.
    """
    *files, picture = report_files(report, *tables, _PICTURE)
    for file, text in zip(files, tables.values(), strict=True):
        write_or_refuse(file, text)
    # A figure that cannot be drawn leaves the earlier one.
    with writing(picture, Action.OTHER_OUTPUT), replacing(picture) as temporary:
        draw(temporary)
    return *files, picture


def bounded(names: Iterable[str]) -> list[str]:
    """Return the columns of estimates: their value and the ends of their 95 % interval."""
    return [f"{name}{end}" for name in names for end in ("", "_low", "_high")]


def bounded_values(estimates: Iterable[Estimate]) -> list[str]:
    """Return the fields of the columns `bounded`."""
    return [f"{v:.4f}" for estimate in estimates for v in (estimate.value, *estimate.interval)]


def share_text(share: Estimate) -> str:
    """Return a share in percent, with its interval if there are enough patients for one."""
    low, high = share.interval
    if math.isnan(low):
        return percent_text(share.value)
    ends = f"{percent_text(low)} to {percent_text(high)}"
    return f"{percent_text(share.value)} (95 % interval over patients {ends})"


def percent_text(share: float) -> str:
    """Return a share as a whole percentage."""
    return f"{100 * share:.0f} %"
