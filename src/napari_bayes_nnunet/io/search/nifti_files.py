"""Selection of the NIfTI files of a folder that are images to segment."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from ..evaluation.predictions import MAP_SUFFIXES
from ..files.case_names import CaseName, is_named_label, nifti_stem, read_case_name
from ..images.geometry import LABEL_INTENT
from ..images.integrity import nifti_header, phase_count
from ..images.nifti import ENDINGS, is_further_channel

NIFTI_LABELS: Final = "NIfTI files that are labels or maps by their names, folders or headers"
FURTHER_CHANNELS: Final = "NIfTI files that are further channels of an image"
FRAMES: Final = "NIfTI files that are single phases of a cine in the same folder"
_LABELS_OF_TEST = re.compile(r"labels?_?ts", re.IGNORECASE)


def is_nifti(file: Path) -> bool:
    """Return whether the name of a file ends like that of a NIfTI file."""
    return file.name.lower().endswith(ENDINGS)


def select_images(files: Sequence[Path], folder: str, left_out: Counter[str]) -> list[Path]:
    """Return the images among the files of a folder, whose path in the tree is ``folder``.

    Of several channels, only the first is returned. An unreadable file counts as an image, so that
    segmenting it reports the error.
    """
    images: dict[Path, CaseName] = {}
    cines: set[str] = set()
    for file in filter(is_nifti, files):
        if is_further_channel(file):
            left_out[FURTHER_CHANNELS] += 1
            continue
        # A file is only opened if its name is not that of a label.
        named = _is_called_label(Path(folder, file.name))
        header = None if named else nifti_header(file)
        if named or (header is not None and int(header["intent_code"]) == LABEL_INTENT):
            left_out[NIFTI_LABELS] += 1
            continue
        images[file] = name = read_case_name(file).key
        if name.phase is None and _is_cine(file, name, header):
            cines.add(name.base)
    phases = {file for file, name in images.items() if name.phase is not None}
    frames = {file for file in phases if images[file].base in cines}
    left_out[FRAMES] += len(frames)
    return [file for file in images if file not in frames]


def _is_called_label(path: Path) -> bool:
    """Return whether a file, with its path in the tree, is named like a label or a map."""
    return (
        is_named_label(path, Path())
        or any(_LABELS_OF_TEST.fullmatch(part) for part in path.parts[:-1])
        or nifti_stem(path).endswith(MAP_SUFFIXES)
    )


def _is_cine(file: Path, name: CaseName, header: Any) -> bool:
    """Decide by the header, or by a name such as patient001_4d if the header is unreadable."""
    return (
        phase_count(header) > 1 if header is not None else name.base != nifti_stem(file).casefold()
    )
