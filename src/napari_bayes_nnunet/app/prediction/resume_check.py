"""Check whether a case was segmented before with the same settings, so that it can be skipped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, TypeAlias

from ...core.problems import Action
from ...io.ensemble.ensemble_folder import EnsembleFolder
from ...io.files.json_files import parse_json
from ...io.images.integrity import nifti_header, phase_count
from .. import AppError
from ..segmentation.methods import choose_members
from ..segmentation.settings import SegmentationSettings
from ..segmentation.temperature import chosen_temperature
from .output_files import frame_name

_MEMBER_KEYS: Final = ("training", "fold", "cycle", "epoch")
_MemberKey: TypeAlias = tuple[Any, ...]
"""Training, fold, cycle and epoch of a member."""
_MOST_PHASES: Final = 100
"""Phases searched for ED and ES; a cine with later ones is read again."""
MADE_WITH_OTHER_PRECISION: Final = (
    "{report} in {folder} was made with {precision} instead of the requested full precision."
)
MADE_WITH_OTHER_SETTINGS: Final = (
    "{report} in {folder} was made with different settings ({used}) from those requested now "
    "({requested})."
)
MADE_FROM_OTHER_IMAGE: Final = (
    "{report} in {folder} was made from a different image of the same name."
)
MADE_WITH_OTHER_MEMBERS: Final = (
    "{report} in {folder} was made with different members of the ensemble."
)


def matches_request(
    report: Path, folder: EnsembleFolder, settings: SegmentationSettings, *, image: str
) -> bool:
    """Return whether the case's ``report``, which is written last, is complete.

    ``image`` is the SHA-256 of the image's file, "" if it has none. Raises AppError if the case
    was made with other settings or from another image.
    """
    try:
        content = parse_json(report.read_bytes(), dict[str, Any])
        ensemble, used = content["ensemble"], SegmentationSettings.from_json(content)
        used_members = [_member_key(member) for member in content["members"]]
        used_image = str(content.get("image_sha256", image))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, AppError):
        return False
    members = choose_members(folder, settings.method, settings.members)
    temperature = chosen_temperature(folder, settings)
    requested = replace(settings, members=len(members), temperature=temperature)
    if requested.precision == "full" != used.precision:
        raise _mismatch(report, MADE_WITH_OTHER_PRECISION, precision=content["precision"])
    if (ensemble, used) != (folder.name, requested):
        values = {"used": f"{ensemble}, {used}", "requested": f"{folder.name}, {requested}"}
        raise _mismatch(report, MADE_WITH_OTHER_SETTINGS, **values)
    if used_image != image:
        raise _mismatch(report, MADE_FROM_OTHER_IMAGE)
    if not _are_same(used_members, [_member_key(vars(m)) for m in members], requested):
        raise _mismatch(report, MADE_WITH_OTHER_MEMBERS)
    return True


def _are_same(
    used: Sequence[_MemberKey], requested: Sequence[_MemberKey], settings: SegmentationSettings
) -> bool:
    """Return whether the members are the same; with ``until_stable`` some may be unused."""
    same = sorted(used, key=repr) == sorted(requested, key=repr)
    return same or (settings.until_stable and set(used) <= set(requested))


def finished_phases(output: Path, case: str, choice: list[int] | str) -> tuple[int | None, ...]:
    """Return the phases of ``choice`` if the case seems to have files of them, else ().

    The image is not read: a volume has one report, "all" phases have a file of their own, and the
    reports of ED and ES name them.
    """
    if (output / f"{case}.json").is_file():
        return (None,)
    if isinstance(choice, list):
        return tuple(choice)
    if choice == "all":
        header = nifti_header(output / f"{case}.nii.gz")
        return () if header is None else tuple(range(1, phase_count(header) + 1))
    # File by file, because listing a folder of a hundred thousand cases takes too long.
    for phase in range(1, _MOST_PHASES + 1):
        try:
            file = output / f"{frame_name(case, phase)}.json"
            report = parse_json(file.read_bytes(), dict[str, Any])
            return tuple(sorted({int(report["ED"]), int(report["ES"])}))
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return ()


def _member_key(member: Mapping[str, Any]) -> _MemberKey:
    return tuple(member[key] for key in _MEMBER_KEYS)


def _mismatch(report: Path, template: str, **values: str) -> AppError:
    names = {"report": report.name, "folder": report.parent}
    return AppError(template, Action.OVERWRITE, **names, **values)
