"""Calibration of an ensemble: temperature and prediction intervals, as fitted by `calibrate`.

MODEL/calibration.json has an entry for each combination of method, members, mirroring, window,
stopping and largest component.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from shlex import quote
from typing import Annotated, Any, Final

from annotated_types import Interval

from ...core.choices import LargestComponent, Mirroring, Window
from ...core.metrics.calibration import RANGE
from ...core.metrics.failure import FAILED_DICE, FailureRule
from ...core.problems import Action, Remedy, Setting, change, option
from ...io import DataError
from ...io.ensemble.ensemble_folder import EnsembleFolder, Member
from ...io.ensemble.fingerprint import CALIBRATION_FILE
from ...io.files.atomic import null_for_nan, write_json
from ...io.files.checksum import file_state, may_be_same
from ...io.files.json_files import parse_json, reading_json
from ...io.study.case_report import CalibrationRules
from .. import AppError
from .image_kind import ImageRule
from .methods import METHODS, choose_members, refuse_regions
from .settings import DEFAULT_WINDOW, SegmentationSettings

OTHER_SETTINGS: Final = (
    "The ensemble is calibrated for other settings ({settings}), so there is no temperature, "
    "interval or failure score."
)
OTHER_WEIGHTS: Final = (
    "The members or the plans have changed since the ensemble was calibrated, so there is no "
    "temperature, interval or failure score. Calibrate it again."
)
UNCALIBRATED: Final = "Not calibrated: no temperature, prediction intervals or failure scores."
NOT_OF_REGIONS: Final = (
    "The labels overlap (regions), so intervals, failure score, level and other answers are not "
    "available. Check every slice."
)
LACKS_RULES: Final = "No {missing}: too few validation patients."
TEMPERATURE_APPLIED: Final = "Temperature {temperature:g} was applied."
_NAMED: Final = 2
"""Most settings that a sentence names."""
_DIGITS: Final = 12
_FORMAT: Final = 1
_REPAIR: Final = "Delete it, and calibrate the ensemble again."


@dataclass(frozen=True, kw_only=True)
class Calibration(CalibrationRules):
    """Fitted τ and interval rules, with the settings and the ``cases`` they were fitted on.

    ``failure`` is the rule for the failure score. ``least_dice`` is the expected Dice of a
    structure below which it may have failed; version 0.2.0 wrote none. ``sha256`` are the checksums
    of the members, ``plans_sha256`` is that of the `EnsembleFolder`.
    """

    temperature: Annotated[float, Interval(ge=RANGE[0], le=RANGE[1])]
    method: str
    members: tuple[str, ...]
    mirroring: Mirroring
    cases: tuple[str, ...]
    until_stable: bool = False
    window: Window = "whole"
    largest_component: LargestComponent = "off"
    failure: FailureRule | None = None
    least_dice: float = FAILED_DICE
    sha256: tuple[str, ...] = ()
    plans_sha256: str = ""

    def __post_init__(self) -> None:
        """Raise ValueError for an unknown method."""
        if self.method not in METHODS:
            raise ValueError("The method is unknown.")

    @property
    def settings(self) -> SegmentationSettings:
        """Settings that the calibration is for."""
        return SegmentationSettings(
            method=self.method,
            members=len(self.members),
            mirroring=self.mirroring,
            until_stable=self.until_stable,
            window=self.window,
            largest_component=self.largest_component,
        )

    @property
    def key(self) -> tuple[Any, ...]:
        """Settings and names of the members."""
        options = self.mirroring, self.until_stable, self.window, self.largest_component
        return self.method, self.members, *options

    def replaces(self, other: Calibration) -> bool:
        """Return whether this is for the same settings, or for members trained after the other.

        Every method takes the last member of a fold, so a calibration with another last member of
        this fold is of a training that was resumed.
        """
        last, of_other = (" ".join(c.members[-1:]).rpartition(" ") for c in (self, other))
        return self.key == other.key or (last[0] == of_other[0] and last != of_other)

    def is_for(self, folder: EnsembleFolder, settings: SegmentationSettings) -> bool:
        """Return whether this was fitted with the members that ``settings`` take from ``folder``.

        Raises AppError if the folder cannot serve the method.
        """
        wanted = Calibration(temperature=1, cases=(), **calibration_key(folder, settings))
        # Without checksums, the members may be the same.
        known = (*(self.sha256 or [""] * len(self.members)), self.plans_sha256)
        checksums = (*wanted.sha256, wanted.plans_sha256)
        # Another training may have the same epochs.
        return self.key == wanted.key and all(map(may_be_same, known, checksums))

    def to_report(self) -> dict[str, Any]:
        """Return the entry ``calibration`` of a case's report, as it is read from its file.

        It has the number of cases, the temperature and the rules.
        """
        content = asdict(self)
        names = ("temperature", "volumes", "function", "dice", "review", "mass_range", "failure")
        rules = {key: content[key] for key in names}
        return dict(null_for_nan({"cases": len(self.cases), **rules}))


@dataclass(frozen=True, kw_only=True)
class _File:
    """Content of calibration.json.

    ``one_component``: every completely labelled training volume is one component.
    """

    format: int
    calibrations: list[Calibration]
    one_component: bool = False
    image: ImageRule | None = None


def chosen_temperature(folder: EnsembleFolder, settings: SegmentationSettings) -> float:
    """Return the τ of ``settings``.

    Raises AppError if it should be fitted but is not yet, and for regions.
    """
    if settings.temperature not in (None, 1):
        refuse_regions(folder, "temperature")
    if settings.temperature == "fitted":
        return fitted_temperature(folder, settings)
    if settings.temperature is not None:
        return settings.temperature
    usual = METHODS[settings.method].temperature
    # A method with a temperature of its own keeps it.
    calibration = find_calibration(folder, settings) if usual == 1 else None
    return usual if calibration is None else calibration.temperature


def fitted_temperature(folder: EnsembleFolder, settings: SegmentationSettings) -> float:
    """Return the τ fitted for these settings. Raises AppError if there is none."""
    calibration = _matching(folder, settings)
    if calibration is not None:
        return calibration.temperature
    values = {
        "method": settings.method,
        "members": settings.members,
        "mirroring": settings.mirroring,
        "window": settings.window,
        "largest_component": "on" if keeps_largest(folder, settings) else "off",
    }
    options = " ".join(f"{option(Setting(name))} {value}" for name, value in values.items())
    options += f" {option(Setting('until_stable'))}" if settings.until_stable else ""
    command = f"bayes-nnunet calibrate {quote(str(folder.path))} DATASET {options}"
    raise AppError(
        "No temperature has been fitted for the method {method} with {members} members, "
        "mirroring {mirroring} and window {window}.",
        change("temperature"),
        Remedy(Action.RUN, {"command": command}),
        **values,
    )


def usual_window(folder: EnsembleFolder) -> Window:
    """Return the window that applies unless another one is chosen.

    An ensemble that is calibrated for the whole image only sees all of it, so that its calibration
    applies; any other sees the window around the heart.
    """
    with suppress(DataError):
        if {c.window for c in read_calibrations(folder.path)} == {"whole"}:
            return "whole"
    return DEFAULT_WINDOW


def keeps_largest(folder: EnsembleFolder, settings: SegmentationSettings) -> bool:
    """Return whether only the largest component is kept: as chosen, else as `calibrate` found.

    Raises DataError if it is to be read from a damaged file.
    """
    if settings.largest_component != "auto":
        return settings.largest_component == "on"
    return _read(folder.path).one_component


def applied_settings(
    folder: EnsembleFolder, settings: SegmentationSettings
) -> SegmentationSettings:
    """Return settings as applied: members that there are, τ, and which components are kept.

    Raises AppError or DataError if the ensemble cannot meet the settings.
    """
    return replace(
        settings,
        members=len(choose_members(folder, settings.method, settings.members)),
        temperature=chosen_temperature(folder, settings),
        largest_component="on" if keeps_largest(folder, settings) else "off",
    )


def find_calibration(folder: EnsembleFolder, settings: SegmentationSettings) -> Calibration | None:
    """Return the calibration for these settings, None if there is none or it is not wanted.

    Raises DataError if the file is damaged.
    """
    return _matching(folder, settings) if settings.calibrated else None


def uncalibrated_notes(folder: EnsembleFolder, settings: SegmentationSettings) -> tuple[str, ...]:
    """Return what a run with these settings lacks, and then its temperature if it is fitted.

    Nothing if every result says it (`calibration_notes`, or a damaged file).
    """
    with suppress(DataError, AppError):
        own = _matching(folder, settings)
        if own is None:
            missing = NOT_OF_REGIONS if folder.class_order else UNCALIBRATED
            return () if _with_intervals(folder) else (missing,)
        rules = {"prediction intervals": own.volumes, "failure scores": own.failure}
        if missing := " or ".join(name for name, rule in rules.items() if not rule):
            applied = TEMPERATURE_APPLIED.format(temperature=chosen_temperature(folder, settings))
            return LACKS_RULES.format(missing=missing), applied
    return ()


def calibration_notes(folder: EnsembleFolder, settings: SegmentationSettings) -> tuple[str, ...]:
    """Return a sentence if the ensemble has intervals, but not for these settings."""
    if not settings.calibrated or _matching(folder, settings) is not None:
        return ()
    others = _with_intervals(folder)
    if not others:
        return ()
    # The newest ones are named first.
    known = list(dict.fromkeys(str(c.settings) for c in reversed(others)))
    wanted = Calibration(temperature=1, cases=(), **calibration_key(folder, settings))
    # The settings are the same and still do not match, so the members are others.
    if str(wanted.settings) in known:
        return (OTHER_WEIGHTS,)
    named = "; ".join([*known[:_NAMED], *(["…"] if len(known) > _NAMED else [])])
    return (OTHER_SETTINGS.format(settings=named),)


def write_calibration(
    folder: EnsembleFolder,
    calibration: Calibration | None = None,
    *,
    image: ImageRule | None = None,
    one_component: bool | None = None,
) -> None:
    """Write a calibration into the folder, in place of those that it `replaces`.

    The rule for the kind of an ``image``, and whether the training labels are ``one_component``,
    are for all settings; None keeps what the folder has. Raises DataError if it cannot be saved.
    """
    found = _read(folder.path)
    others = [c for c in found.calibrations if not (calibration and calibration.replaces(c))]
    content = _File(
        format=_FORMAT,
        calibrations=[*others, *([calibration] if calibration else [])],
        image=image or found.image,
        one_component=found.one_component if one_component is None else one_component,
    )
    try:
        write_json(folder.path / CALIBRATION_FILE, asdict(content))
    except OSError as error:
        raise DataError(
            "The calibration of the ensemble could not be saved in {folder} ({reason}). Check the "
            "permissions and the free space of the folder.",
            folder=folder.path,
            reason=error.strerror,
        ) from error


def read_calibrations(model: Path) -> list[Calibration]:
    """Return all calibrations of the ensemble in ``model``.

    Raises DataError if the file is damaged or from a newer version.
    """
    return [*_read(model).calibrations]


def find_image_rule(folder: EnsembleFolder) -> tuple[ImageRule, Member] | None:
    """Return the rule for the kind of images, and the usable member that it was fitted with.

    None without either. Raises DataError if the file is damaged.
    """
    rule = _read(folder.path).image
    if rule is None or not may_be_same(rule.plans_sha256, folder.plans_sha256):
        return None
    judges = (member for member in folder.usable_members if member.sha256 == rule.sha256)
    return next(((rule, member) for member in judges), None)


def _read(model: Path) -> _File:
    """Return the calibrations of the ensemble in ``model``, none if it has no file."""
    with suppress(FileNotFoundError):
        return _read_file(model / CALIBRATION_FILE, file_state(model / CALIBRATION_FILE))
    return _File(format=_FORMAT, calibrations=[])


@lru_cache(maxsize=16)
def _read_file(file: Path, state: tuple[int, int, int]) -> _File:
    """Return the content of a file; ``state`` changes with it, as each result needs it."""
    with reading_json(file, repair=_REPAIR, newest=_FORMAT) as text:
        return parse_json(text, _File)


def calibration_checksum(entry: Mapping[str, Any] | None) -> str:
    """Return the start of the checksum of the entry ``calibration`` of a report, or "none"."""
    if entry is None:
        return "none"
    # The order of the entries does not matter.
    text = json.dumps(entry, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]


def calibration_key(folder: EnsembleFolder, settings: SegmentationSettings) -> dict[str, Any]:
    """Return the entries of a `Calibration` that say what it is for.

    Members are named in words that survive a renamed folder. The method "temperature" counts as
    "vanilla", whose probabilities it calibrates.
    """
    members = choose_members(folder, settings.method, settings.members)
    several = len({member.training for member in folder.members}) > 1
    return {
        "method": "vanilla" if settings.method == "temperature" else settings.method,
        "members": tuple(
            f"{member.training + ' ' if several else ''}fold {member.fold} epoch {member.epoch}"
            for member in members
        ),
        "mirroring": settings.mirroring,
        "until_stable": settings.until_stable,
        "window": settings.window,
        "largest_component": "on" if keeps_largest(folder, settings) else "off",
        "sha256": tuple(member.sha256 for member in members),
        "plans_sha256": folder.plans_sha256,
    }


def _with_intervals(folder: EnsembleFolder) -> list[Calibration]:
    return [c for c in read_calibrations(folder.path) if c.volumes]


def _matching(folder: EnsembleFolder, settings: SegmentationSettings) -> Calibration | None:
    known = read_calibrations(folder.path)
    return next((c for c in known if c.is_for(folder, settings)), None)
