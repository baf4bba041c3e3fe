"""Check that all results of a cohort come from one ensemble with the same settings."""

from __future__ import annotations

import glob
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, Final

from ...core.problems import Action, statement
from ...io.ensemble.ensemble_folder import find_ensemble
from ...io.files.json_files import parse_json
from ...io.files.limits import read_small
from ...io.search.folder_walk import COHORT
from .. import AppError
from ..prediction.request import PredictionRequest
from ..prediction.resume_check import check_same_ensemble
from ..report.output_folder import unwritable
from ..segmentation.member_checks import MemberChecks
from .table import listed_studies

MIXTURE: Final = (
    "This run would mix results of different ensembles or settings in the cohort {folder}. "
    "{difference}"
)


def refuse_mixture(ensemble: Path, request: PredictionRequest, studies: Collection[str]) -> None:
    """Raise AppError if a row that stays in the table has another ensemble or other settings.

    Also raises AppError for a table that cannot be read, because its rows would be lost.
    ``studies`` are those of this run; with ``overwrite`` their results and rows are replaced.
    """
    try:
        listed = listed_studies(request.output / COHORT)
    except OSError as error:
        raise unwritable(request.output, error) from error
    staying = [study for study in listed if not (request.overwrite and study in studies)]
    if not staying:
        return
    folder = MemberChecks(find_ensemble(ensemble)).folder
    for report in (file for study in staying for file in _reports_of(request.output, study)):
        try:
            content = parse_json(read_small(report), dict[str, Any])
            check_same_ensemble(report, content, folder, request.settings)
        except AppError as error:
            difference = statement(error.statement.template, **error.values)
            # Overwriting helps only if this run segments all studies in the table.
            helps = [Action.OVERWRITE] if set(staying) <= set(studies) else []
            raise AppError(
                MIXTURE,
                Action.OTHER_OUTPUT,
                *helps,
                folder=request.output,
                difference=difference,
            ) from error
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue  # a damaged report is made again


def _reports_of(output: Path, study: str) -> Iterator[Path]:
    """Yield the reports of a row; those of a DICOM study lie in a folder of its name."""
    place = output / study
    for folder in (place.parent, place):
        name = place.name
        if (report := folder / f"{name}.json").is_file():
            yield report
        yield from sorted(folder.glob(f"{glob.escape(name)}_frame*.json"))
