"""Temperatures of an ensemble: the method's, a number, or the one that was fitted for it.

MODEL/temperatures.json has an entry for every combination of method, members and mirroring.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ...io import DataError
from ...io.ensemble.ensemble_folder import EnsembleFolder
from ...io.files.atomic import write_json
from ...io.files.json_files import Positive, read_json
from .. import AppError
from .methods import METHODS, choose_members
from .settings import SegmentationSettings

FILE = "temperatures.json"


@dataclass(frozen=True, kw_only=True)
class FittedTemperature:
    """A fitted τ with the method, the members and the mirroring it belongs to.

    ``cases`` are those it was fitted on.
    """

    temperature: Positive
    method: str
    members: tuple[str, ...]
    mirroring: str
    cases: tuple[str, ...]


def chosen_temperature(folder: EnsembleFolder, settings: SegmentationSettings) -> float:
    """Return the τ that ``settings`` ask for. Raises AppError if it was to be fitted first."""
    if settings.temperature == "fitted":
        return fitted_temperature(folder, settings)
    if settings.temperature is None:
        return METHODS[settings.method].temperature
    return settings.temperature


def fitted_temperature(folder: EnsembleFolder, settings: SegmentationSettings) -> float:
    """Return the τ that was fitted for these settings. Raises AppError if there is none."""
    key = _key_of(folder, settings)
    for fitted in read_temperatures(folder.path):
        if _key(fitted) == key:
            return fitted.temperature
    words = f"--method {settings.method} --members {settings.members}"
    raise AppError(
        f"No temperature was fitted for {settings.method} with {settings.members} members and "
        f"mirroring {settings.mirroring}: run bayes-nnunet calibrate {folder.path} DATASET "
        f"{words} --mirroring {settings.mirroring} first, or name one."
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
    )
    others = [other for other in read_temperatures(folder.path) if _key(other) != _key(fitted)]
    try:
        write_json(folder.path / FILE, [asdict(entry) for entry in [*others, fitted]])
    except OSError as error:
        raise DataError(
            f"The temperature {fitted.temperature:g} cannot be kept in {folder.path} "
            f"({error.strerror}): give it to predict as it is."
        ) from error
    return fitted


def read_temperatures(model: Path) -> list[FittedTemperature]:
    """Return the temperatures that were fitted for the ensemble in ``model``, [] if none were."""
    file = model / FILE
    if not file.exists():
        return []
    return read_json(
        file, list[FittedTemperature], repair="Delete it, and fit the temperatures again."
    )


def _key(fitted: FittedTemperature) -> tuple[Any, ...]:
    return fitted.method, fitted.members, fitted.mirroring


def _key_of(
    folder: EnsembleFolder, settings: SegmentationSettings
) -> tuple[str, tuple[str, ...], str]:
    """Return method, members and mirroring, in words that stay when the folder is renamed.

    The method "temperature" calibrates the probabilities of "vanilla".
    """
    method = "vanilla" if settings.method == "temperature" else settings.method
    several = len({member.training for member in folder.members}) > 1
    members = tuple(
        f"{member.training + ' ' if several else ''}fold {member.fold} epoch {member.epoch}"
        for member in choose_members(folder, settings.method, settings.members)
    )
    return method, members, settings.mirroring
