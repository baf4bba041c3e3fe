"""Phases of a case that are segmented."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ...io import DataError
from ...io.files.json_files import parse_json
from ...io.files.limits import read_small
from ...io.images.integrity import nifti_header, phase_count
from ...io.images.nifti import Volume, read_info_cfg
from .. import AppError
from ..segmentation.ensemble import Ensemble
from ..segmentation.image_check import note_on_left_out, usable_phases
from .output_files import FOUND_BY_VOLUME, INFO_CFG, frame_name

_MOST_PHASES: Final = 100
"""Phases searched for ED and ES; a cine with later ones is read again."""


@dataclass(frozen=True)
class PhaseImage:
    """3D image to segment: a volume, or a phase of a cine."""

    name: str
    phase: int | None
    channels: tuple[Volume, ...]

    @property
    def image(self) -> NDArray[Any]:
        """(channels, Z, Y, X)."""
        return np.stack([channel.voxels for channel in self.channels])


def parse_phases(text: str) -> list[int] | str:
    """Return "all", "ED,ES" or the numbers in a text like "1,8". Raises AppError otherwise."""
    plain = text.replace(" ", "")
    if plain.lower() == "all":
        return "all"
    if plain.upper() in ("ED,ES", "ES,ED"):
        return "ED,ES"
    try:
        numbers = sorted(int(part) for part in plain.split(","))
    except ValueError:
        numbers = []
    if not numbers or numbers[0] < 1 or len({*numbers}) < len(numbers):
        raise AppError(
            "The phases {text!r} are invalid. Use all, ED,ES or different numbers from 1 such as "
            "1,8.",
            text=text,
        )
    return numbers


def choose_phases(
    ensemble: Ensemble, text: str, image: Path, channels: tuple[Volume, ...]
) -> tuple[list[int] | None, list[str], dict[str, Any]]:
    """Return the phases to segment (None: no cine), notes, and entries of the report.

    ``text`` is "all", "ED,ES" or numbers. Raises AppError or DataError.
    """
    if not channels[0].is_cine:
        return None, [], {}
    choice = parse_phases(text)
    count = channels[0].phases
    if choice != "ED,ES":
        phases = list(range(1, count + 1)) if choice == "all" else list(map(int, choice))
        ends, notes = _info_phases(image, count)
        return phases, notes, {"phases": count, **ends}
    info, left_out = read_info_cfg(image.parent, count), ""
    if info is not None:
        ed, es, source = info.ed, info.es, INFO_CFG
    else:
        stack = np.stack([channel.voxels for channel in channels])
        ed, es = ensemble.find_phases(stack, channels[0].spacing)
        source = FOUND_BY_VOLUME
        left_out = note_on_left_out(usable_phases(stack, channels[0].spacing), count)
    note = f"ED is phase {ed}, ES is phase {es} ({source})."
    entries = {"phases": count, "ED": ed, "ES": es, "phases_from": source}
    return sorted({ed, es}), [note, *filter(None, [left_out])], entries


def _info_phases(image: Path, count: int) -> tuple[dict[str, Any], list[str]]:
    """Return ED and ES of the Info.cfg next to the image, or a note if it is unusable."""
    try:
        info = read_info_cfg(image.parent, count)
    except DataError as error:
        return {}, [str(error)]
    return {} if info is None else {"ED": info.ed, "ES": info.es, "phases_from": INFO_CFG}, []


def phase_images(
    case: str, channels: tuple[Volume, ...], phases: list[int] | None
) -> list[PhaseImage]:
    """Return the 3D images to segment: the phases of a cine, or the volume if there are none."""
    if phases is None:
        return [PhaseImage(case, None, channels)]
    return [
        PhaseImage(frame_name(case, phase), phase, tuple(c.frame(phase) for c in channels))
        for phase in phases
    ]


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
