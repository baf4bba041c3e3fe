"""Check that all results of a cohort come from one ensemble with the same settings."""

from __future__ import annotations

import glob
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from ...core.problems import Action
from ...io.ensemble.ensemble_folder import find_ensemble
from ...io.files.json_files import parse_json
from ...io.files.limits import read_small
from ...io.search.folder_walk import COHORT
from .. import AppError
from ..prediction.request import PredictionRequest
from ..report.output_folder import unwritable
from ..segmentation.member_checks import MemberChecks
from ..segmentation.recipe import Recipe
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
    requested = Recipe.of_request(folder, request.settings)
    for report in (file for study in staying for file in _reports_of(request.output, study)):
        try:
            made = Recipe.of_report(parse_json(read_small(report), dict[str, Any]))
        except (OSError, ValueError):
            continue  # a damaged report is made again
        if difference := replace(made, spacing=None).difference(requested, report):
            # Overwriting helps only if this run segments all studies in the table.
            helps = [Action.OVERWRITE] if set(staying) <= set(studies) else []
            raise AppError(
                MIXTURE,
                Action.OTHER_OUTPUT,
                *helps,
                folder=request.output,
                difference=difference,
            )


def _reports_of(output: Path, study: str) -> Iterator[Path]:
    """Yield the reports of a row; those of a DICOM study lie in a folder of its name."""
    place = output / study
    for folder in (place.parent, place):
        name = place.name
        if (report := folder / f"{name}.json").is_file():
            yield report
        yield from sorted(folder.glob(f"{glob.escape(name)}_frame*.json"))
