"""Check of cases that --continue skips: segmented before, with the same settings."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, TypeAlias

from ...io.ensemble.ensemble_folder import EnsembleFolder
from ...io.images.integrity import nifti_header, phase_count
from .. import AppError
from ..segmentation.methods import choose_members
from ..segmentation.settings import SegmentationSettings
from ..segmentation.temperature import chosen_temperature
from .output_files import frame_name

_PLACE: Final = ("training", "fold", "cycle", "epoch")
_Place: TypeAlias = tuple[Any, ...]
"""Training, fold, cycle and epoch of a member."""
_LOOKED_FOR: Final = 100
"""Phases; a cine with its ED and ES after these is read again before it is found finished."""


def was_made_alike(
    report: Path, folder: EnsembleFolder, settings: SegmentationSettings, *, image: str
) -> bool:
    """Return whether the case's ``report`` is whole; it is written last.

    ``image`` is the SHA-256 of the image's file, "" if it has none. Raises AppError if the case
    was made with other settings, or from another image.
    """
    try:
        content = json.loads(report.read_text(encoding="utf-8"))
        ensemble, made = content["ensemble"], SegmentationSettings.from_json(content)
        used = [_place(member) for member in content["members"]]
        image_used = str(content.get("image_sha256", image))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, AppError):
        return False
    members = choose_members(folder, settings.method, settings.members)
    temperature = chosen_temperature(folder, settings)
    asked = replace(settings, members=len(members), temperature=temperature)
    if asked.precision == "full" != made.precision:
        precision = content["precision"]
        raise _otherwise(report, f"with {precision}, not with the full precision asked for now")
    if (ensemble, made) != (folder.name, asked):
        now = f"than is asked for now ({folder.name}, {asked})"
        raise _otherwise(report, f"otherwise ({ensemble}, {made}) {now}")
    if image_used != image:
        raise _otherwise(report, "of another image of this name")
    if not _are_asked(used, [_place(vars(member)) for member in members], asked):
        raise _otherwise(report, "by other members of the ensemble than are asked now")
    return True


def _are_asked(
    used: Sequence[_Place], asked: Sequence[_Place], settings: SegmentationSettings
) -> bool:
    """Return whether the members are the same; with ``until_stable`` not all need to be used."""
    same = sorted(used, key=repr) == sorted(asked, key=repr)
    return same or (settings.until_stable and set(used) <= set(asked))


def phases_done(output: Path, case: str, asked: list[int] | str) -> tuple[int | None, ...]:
    """The phases a case has files of, if these are those ``asked`` for; () where none are.

    The image is not looked at: a volume has one report, "all" phases lie in a file of their own,
    and ED and ES stand in their reports.
    """
    if (output / f"{case}.json").is_file():
        return (None,)
    if isinstance(asked, list):
        return tuple(asked)
    if asked == "all":
        header = nifti_header(output / f"{case}.nii.gz")
        return () if header is None else tuple(range(1, phase_count(header) + 1))
    # Asked for by name: to list a folder that holds a hundred thousand cases takes too long.
    for phase in range(1, _LOOKED_FOR + 1):
        try:
            file = output / f"{frame_name(case, phase)}.json"
            report = json.loads(file.read_text(encoding="utf-8"))
            return tuple(sorted({int(report["ED"]), int(report["ES"])}))
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return ()


def _place(member: Mapping[str, Any]) -> _Place:
    return tuple(member[key] for key in _PLACE)


def _otherwise(report: Path, how: str) -> AppError:
    return AppError(
        f"{report.name} in {report.parent} was made {how}: use --overwrite, or another output "
        "folder."
    )
