"""The phases of a case that are segmented: of a cine those that were asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...io import DataError
from ...io.images.nifti import Volume, read_info_cfg
from .. import AppError
from ..segmentation.ensemble import Ensemble
from .output_files import FOUND_BY_VOLUME, INFO_CFG, frame_name


@dataclass(frozen=True)
class PhaseImage:
    """One 3D image to segment: a volume, or a phase of a cine."""

    name: str
    phase: int | None
    channels: tuple[Volume, ...]

    @property
    def image(self) -> NDArray[Any]:
        """(channels, Z, Y, X)."""
        return np.stack([channel.voxels for channel in self.channels])


def parse_phases(text: str) -> list[int] | str:
    """Read "all", "ED,ES" or the numbers of "1,8". Raises AppError for anything else."""
    plain = text.replace(" ", "")
    if plain.lower() == "all":
        return "all"
    if plain.upper() in ("ED,ES", "ES,ED"):
        return "ED,ES"
    try:
        numbers = sorted({int(part) for part in plain.split(",")})
    except ValueError:
        numbers = []
    if not numbers or numbers[0] < 1:
        raise AppError(f"Phases are 'all', 'ED,ES' or numbers from 1 such as 1,8, not {text!r}.")
    return numbers


def choose_phases(
    ensemble: Ensemble, asked: str, image: Path, channels: tuple[Volume, ...]
) -> tuple[list[int] | None, list[str], dict[str, Any]]:
    """The phases to segment (None: no cine), what to tell the user, and what the report says.

    ``asked`` is "all", "ED,ES" or numbers. Raises AppError or DataError.
    """
    if not channels[0].is_cine:
        return None, [], {}
    wanted = parse_phases(asked)
    count = channels[0].phases
    if wanted != "ED,ES":
        phases = list(range(1, count + 1)) if wanted == "all" else list(map(int, wanted))
        return phases, [], {"phases": count, **_known_phases(image, count)}
    known = read_info_cfg(image.parent)
    if known is not None:
        ed, es, source = known.ed, known.es, INFO_CFG
    else:
        stack = np.stack([channel.voxels for channel in channels])
        ed, es = ensemble.find_phases(stack, channels[0].spacing)
        source = FOUND_BY_VOLUME
    note = f"ED is phase {ed}, ES is phase {es} ({source})."
    about = {"phases": count, "ED": ed, "ES": es, "phases_from": source}
    return sorted({ed, es}), [note], about


def _known_phases(image: Path, count: int) -> dict[str, Any]:
    """ED and ES where the folder of the image says them; nobody has asked for it."""
    try:
        known = read_info_cfg(image.parent)
    except DataError:
        return {}
    if known is None or max(known) > count:
        return {}
    return {"ED": known.ed, "ES": known.es, "phases_from": INFO_CFG}


def frames_of(
    case: str, channels: tuple[Volume, ...], phases: list[int] | None
) -> list[PhaseImage]:
    """The 3D images to segment: the phases of a cine, or the volume where these are None."""
    if phases is None:
        return [PhaseImage(case, None, channels)]
    return [
        PhaseImage(frame_name(case, phase), phase, tuple(c.frame(phase) for c in channels))
        for phase in phases
    ]
