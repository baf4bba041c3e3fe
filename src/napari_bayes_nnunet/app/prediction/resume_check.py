"""Check whether a case was segmented before with the same settings, so that it can be skipped."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, TypeAlias

from ...core.problems import Action, Statement
from ...core.types import Spacing
from ...io import DataError
from ...io.dataset.raw_dataset import join_names
from ...io.ensemble.ensemble_folder import EnsembleFolder
from ...io.files.checksum import may_be_same
from ...io.files.json_files import parse_json
from ...io.files.limits import read_small
from ...io.images.integrity import nifti_header, phase_count
from ...io.study.case_report import MEMBER_NAMES, read_report
from .. import AppError
from ..segmentation.calibration import chosen_temperature, find_calibration, keeps_largest
from ..segmentation.methods import choose_members
from ..segmentation.settings import SegmentationSettings
from .output_files import frame_name

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
MADE_WITH_OTHER_CALIBRATION: Final = (
    "{report} in {folder} was made with a different calibration of the ensemble, or without one, "
    "so its intervals and predicted quality cannot be compared with those of this run."
)
MADE_WITH_OTHER_LABELS: Final = (
    "{report} in {folder} was made with different labels ({used}) from those of the ensemble "
    "({requested})."
)
MADE_WITH_OTHER_SPACING: Final = (
    "{report} in {folder} was made with a different voxel size ({used}) from the one requested now "
    "({requested})."
)
OF_THE_FILE: Final = "that of the file"
MADE_FROM_OTHER_IMAGE: Final = (
    "{report} in {folder} was made from a different image of the same name."
)
MADE_WITH_OTHER_MEMBERS: Final = (
    "{report} in {folder} was made with different members of the ensemble ({used}) from those "
    "requested now ({requested})."
)
MADE_BY_OTHER_TRAINING: Final = (
    "{report} in {folder} was made by another training of the same name (with different weights of "
    "{members})."
)
MADE_WITH_OTHER_PLANS: Final = (
    "{report} in {folder} was made with a different network, preprocessing or label order. "
    "plans.json or dataset.json of the ensemble {ensemble} has changed since."
)


def matches_request(
    report: Path,
    folder: EnsembleFolder,
    settings: SegmentationSettings,
    *,
    image: Mapping[str, Any],
    spacing: Spacing | None = None,
) -> bool:
    """Return whether the case's ``report``, which is written last, is complete.

    ``image`` has the report entries that identify the image; ``spacing`` replaces that of the file.
    Raises AppError if the case was made with other settings or members, or from another image.
    """
    try:
        content = read_report(report)
    except (DataError, FileNotFoundError):
        return False
    try:
        check_report(report, content, folder, settings, image=image, spacing=spacing)
    except (ValueError, KeyError, TypeError, AttributeError):
        return False
    return True


def check_report(
    file: Path,
    content: Mapping[str, Any],
    folder: EnsembleFolder,
    settings: SegmentationSettings,
    *,
    image: Mapping[str, Any],
    spacing: Spacing | None = None,
) -> None:
    """Raise AppError if ``content`` was made with another spacing or from another image.

    ``content`` is the report ``file``, or that of a phase in the study ``file``. Also raises the
    errors of `check_same_ensemble`.
    """
    check_same_ensemble(file, content, folder, settings)
    if any(key in content and content[key] != value for key, value in image.items()):
        raise _mismatch(file, MADE_FROM_OTHER_IMAGE)
    used = tuple(content["spacing_mm"]) if content.get("spacing_from") == "given" else None
    if used != spacing:
        sizes = {"used": used or OF_THE_FILE, "requested": spacing or OF_THE_FILE}
        raise _mismatch(file, MADE_WITH_OTHER_SPACING, **sizes)


def check_same_ensemble(
    report: Path,
    content: Mapping[str, Any],
    folder: EnsembleFolder,
    settings: SegmentationSettings,
) -> None:
    """Raise AppError if the content of a ``report`` was made with other settings or members.

    An unknown checksum agrees with every other.
    Raises KeyError, TypeError, ValueError or AttributeError for damaged content.
    """
    ensemble, used = content["ensemble"], _used_settings(content)
    used_members = [_member_key(member) for member in content["members"]]
    members = choose_members(folder, settings.method, settings.members)
    temperature = chosen_temperature(folder, settings)
    requested = replace(
        settings,
        members=len(members),
        temperature=temperature,
        largest_component="on" if keeps_largest(folder, settings) else "off",
    )
    if requested.precision == "full" != used.precision:
        raise _mismatch(report, MADE_WITH_OTHER_PRECISION, precision=content["precision"])
    if (ensemble, used) != (folder.name, requested):
        values = {"used": f"{ensemble}, {used}", "requested": f"{folder.name}, {requested}"}
        raise _mismatch(report, MADE_WITH_OTHER_SETTINGS, **values)
    _check_labels(report, content, folder)
    requested_members = [_member_key(vars(member)) for member in members]
    if not _are_same(used_members, requested_members, requested):
        values = {
            "used": _named(used_members, except_for=requested_members),
            "requested": _named(requested_members, except_for=used_members),
        }
        raise _mismatch(report, MADE_WITH_OTHER_MEMBERS, **values)
    checksums = {_member_key(vars(member)): member.sha256 for member in members}
    used_checksums = _checksums_in(content)
    changed = [m for m, known in used_checksums.items() if not may_be_same(known, checksums[m])]
    if changed:
        raise _mismatch(report, MADE_BY_OTHER_TRAINING, members=_named(changed))
    if not may_be_same(content.get("plans_sha256"), folder.plans_sha256):
        raise _mismatch(report, MADE_WITH_OTHER_PLANS, ensemble=folder.name)
    calibration = find_calibration(folder, settings)
    wanted = calibration.to_report() if calibration is not None else None
    if content.get("calibration") != wanted:
        raise _mismatch(report, MADE_WITH_OTHER_CALIBRATION)


def is_of_other_image(failure: object) -> bool:
    """Return whether an error, or a failure of a worker, says that an image has changed."""
    told = failure.statement if isinstance(failure, AppError) else failure
    return isinstance(told, Statement) and told.template == MADE_FROM_OTHER_IMAGE


def may_be_of_one_ensemble(first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
    """Return whether nothing in two reports with equal settings shows different ensembles.

    Of two phases that were segmented until stable, one may have fewer members.
    """
    fewer, more = sorted((_checksums_in(first), _checksums_in(second)), key=len)
    return (
        all(key in more and may_be_same(known, more[key]) for key, known in fewer.items())
        and first.get("labels") == second.get("labels")
        and may_be_same(first.get("plans_sha256"), second.get("plans_sha256"))
    )


def _checksums_in(report: Mapping[str, Any]) -> dict[_MemberKey, str]:
    return {_member_key(m): m.get("sha256", "") for m in report.get("members", ())}


def _used_settings(content: Mapping[str, Any]) -> SegmentationSettings:
    """Return the settings of a report. Raises ValueError for impossible ones."""
    try:
        return SegmentationSettings.from_json(content)
    except AppError as error:
        raise ValueError(str(error)) from error


def _check_labels(report: Path, content: Mapping[str, Any], folder: EnsembleFolder) -> None:
    labels = {name: label for name, label in folder.labels.items() if label != 0}
    used = content.get("labels", labels)
    if used != labels:
        values = {"used": _numbered(used), "requested": _numbered(labels)}
        raise _mismatch(report, MADE_WITH_OTHER_LABELS, **values)


def _numbered(labels: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {label}" for name, label in labels.items())


def _are_same(
    used: Sequence[_MemberKey], requested: Sequence[_MemberKey], settings: SegmentationSettings
) -> bool:
    """Return whether the members are the same; with ``until_stable`` some may be unused."""
    same = sorted(used, key=repr) == sorted(requested, key=repr)
    return same or (settings.until_stable and set(used) <= set(requested))


def _named(members: Sequence[_MemberKey], *, except_for: Collection[_MemberKey] = ()) -> str:
    """Return the first few members in words; "no others" if there are none."""
    names = [
        f"{training + ' ' if training else ''}fold {fold} epoch {epoch}"
        for training, fold, cycle, epoch in dict.fromkeys(members)
        if (training, fold, cycle, epoch) not in except_for
    ]
    return join_names(names) if names else "no others"


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
            report = parse_json(read_small(file), dict[str, Any])
            return tuple(sorted({int(report["ED"]), int(report["ES"])}))
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return ()


def _member_key(member: Mapping[str, Any]) -> _MemberKey:
    return tuple(member[key] for key in MEMBER_NAMES)


def _mismatch(report: Path, template: str, **values: object) -> AppError:
    names = {"report": report.name, "folder": report.parent}
    return AppError(template, Action.OVERWRITE, **names, **values)
