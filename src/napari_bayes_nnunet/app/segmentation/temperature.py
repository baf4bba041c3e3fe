"""Temperature of a segmentation: default, given, or looked up among the fitted ones.

`calibrate` fits them.

MODEL/temperatures.json has an entry for each combination of method, members and mirroring.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from shlex import quote
from typing import Any

from ...core.problems import Action, Remedy, Setting, option
from ...io import DataError
from ...io.ensemble.ensemble_folder import EnsembleFolder
from ...io.files.atomic import write_json
from ...io.files.checksum import may_be_same
from ...io.files.json_files import Positive, read_json
from .. import AppError
from .methods import METHODS, choose_members
from .settings import SegmentationSettings

FILE = "temperatures.json"


@dataclass(frozen=True, kw_only=True)
class FittedTemperature:
    """Fitted τ with its method, members and mirroring, and the ``cases`` it was fitted on.

    ``sha256`` are the checksums of the members, ``plans_sha256`` is that of the `EnsembleFolder`;
    version 0.1.0 wrote neither.
    """

    temperature: Positive
    method: str
    members: tuple[str, ...]
    mirroring: str
    cases: tuple[str, ...]
    sha256: tuple[str, ...] = ()
    plans_sha256: str = ""


def chosen_temperature(folder: EnsembleFolder, settings: SegmentationSettings) -> float:
    """Return the τ of ``settings``. Raises AppError if it should be fitted but is not yet."""
    if settings.temperature == "fitted":
        return fitted_temperature(folder, settings)
    if settings.temperature is None:
        return METHODS[settings.method].temperature
    return settings.temperature


def fitted_temperature(folder: EnsembleFolder, settings: SegmentationSettings) -> float:
    """Return the τ fitted for these settings. Raises AppError if there is none."""
    key = _key_of(folder, settings)
    checksums = (*_checksums(folder, settings), folder.plans_sha256)
    for fitted in read_temperatures(folder.path):
        known = (*(fitted.sha256 or [""] * len(fitted.members)), fitted.plans_sha256)
        # Another training may have the same epochs.
        if _key(fitted) == key and all(map(may_be_same, known, checksums)):
            return fitted.temperature
    values = {
        "method": settings.method,
        "members": settings.members,
        "mirroring": settings.mirroring,
    }
    options = " ".join(f"{option(Setting(name))} {value}" for name, value in values.items())
    command = f"bayes-nnunet calibrate {quote(str(folder.path))} DATASET {options}"
    raise AppError(
        "No temperature has been fitted for the method {method} with {members} members and "
        "mirroring {mirroring}.",
        Remedy(Action.FIT_TEMPERATURE, {"command": command}),
        **values,
    )


def write_fitted(
    folder: EnsembleFolder, settings: SegmentationSettings, temperature: float, cases: Sequence[str]
) -> FittedTemperature:
    """Write τ into the folder, in place of an earlier one for the same settings."""
    method, members, mirroring = _key_of(folder, settings)
    fitted = FittedTemperature(
        temperature=round(temperature, 4),
        method=method,
        members=members,
        mirroring=mirroring,
        cases=tuple(cases),
        sha256=_checksums(folder, settings),
        plans_sha256=folder.plans_sha256,
    )
    others = [other for other in read_temperatures(folder.path) if _key(other) != _key(fitted)]
    try:
        write_json(folder.path / FILE, [asdict(entry) for entry in [*others, fitted]])
    except OSError as error:
        raise DataError(
            "The fitted temperature {temperature:g} could not be saved in {folder} ({reason}). "
            "Enter this number as the temperature instead.",
            temperature=fitted.temperature,
            folder=folder.path,
            reason=error.strerror,
        ) from error
    return fitted


def read_temperatures(model: Path) -> list[FittedTemperature]:
    """Return all fitted temperatures of the ensemble in ``model``."""
    file = model / FILE
    if not file.exists():
        return []
    return read_json(
        file, list[FittedTemperature], repair="Delete it, and fit the temperatures again."
    )


def _checksums(folder: EnsembleFolder, settings: SegmentationSettings) -> tuple[str, ...]:
    members = choose_members(folder, settings.method, settings.members)
    return tuple(member.sha256 for member in members)


def _key(fitted: FittedTemperature) -> tuple[Any, ...]:
    return fitted.method, fitted.members, fitted.mirroring


def _key_of(
    folder: EnsembleFolder, settings: SegmentationSettings
) -> tuple[str, tuple[str, ...], str]:
    """Return method, members and mirroring in words that survive a renamed folder.

    The method "temperature" counts as "vanilla", whose probabilities it calibrates.
    """
    method = "vanilla" if settings.method == "temperature" else settings.method
    several = len({member.training for member in folder.members}) > 1
    members = tuple(
        f"{member.training + ' ' if several else ''}fold {member.fold} epoch {member.epoch}"
        for member in choose_members(folder, settings.method, settings.members)
    )
    return method, members, settings.mirroring
