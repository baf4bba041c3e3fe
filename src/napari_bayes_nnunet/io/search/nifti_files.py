"""Which NIfTI files of a folder are images to segment, by their names and headers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from ..evaluation.predictions import ENTROPY_SUFFIX, MUTUAL_INFORMATION_SUFFIX
from ..files.case_names import CaseName, image_names, is_named_label, nifti_stem
from ..images.geometry import LABEL_INTENT
from ..images.integrity import nifti_header, phase_count
from ..images.nifti import ENDINGS, is_further_channel

_LABELS: Final = "NIfTI files that are labels or maps by their names, folders or headers"
_CHANNELS: Final = "NIfTI files that are further channels of an image"
FRAMES: Final = "NIfTI files that are single phases of a cine beside them"
_LABELS_OF_TEST = re.compile(r"labels?_?ts", re.IGNORECASE)


def is_nifti(file: Path) -> bool:
    """Whether the file is called like one."""
    return file.name.lower().endswith(ENDINGS)


def select_images(files: Sequence[Path], folder: str, left_out: Counter[str]) -> list[Path]:
    """The images among the files of a folder, which lies at ``folder`` in a tree.

    The first channel stands for all. A file that cannot be read is an image: whoever segments it
    will be told what is wrong.
    """
    images: dict[Path, CaseName] = {}
    cines: set[str] = set()
    for file in filter(is_nifti, files):
        if is_further_channel(file):
            left_out[_CHANNELS] += 1
            continue
        # A file is opened for what its name does not tell.
        named = _is_called_label(Path(folder, file.name))
        header = None if named else nifti_header(file)
        if named or (header is not None and int(header["intent_code"]) == LABEL_INTENT):
            left_out[_LABELS] += 1
            continue
        images[file] = name = image_names(file, is_channel=True)[0].key
        if name.phase is None and _is_cine(file, name, header):
            cines.add(name.base)
    phases = {file for file, name in images.items() if name.phase is not None}
    frames = {file for file in phases if images[file].base in cines}
    left_out[FRAMES] += len(frames)
    return [file for file in images if file not in frames]


def _is_called_label(place: Path) -> bool:
    """``place`` of a file is seen from the top of its tree."""
    return (
        is_named_label(place, Path())
        or any(_LABELS_OF_TEST.fullmatch(part) for part in place.parts[:-1])
        or nifti_stem(place).endswith((ENTROPY_SUFFIX, MUTUAL_INFORMATION_SUFFIX))
    )


def _is_cine(file: Path, name: CaseName, header: Any) -> bool:
    """By its header, or where it cannot be read by its name, patient001_4d."""
    return (
        phase_count(header) > 1 if header is not None else name.base != nifti_stem(file).casefold()
    )
