"""What the name of an image or label file says: the case, the phase of a cine, image or label."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple, TypeAlias

NamedPhase: TypeAlias = int | str | None
"""Frame of a cine, from 1; "ED" or "ES" where the name says only that; None where nothing."""

Where: TypeAlias = tuple[str, ...]
"""Sub-folders in which a file lies, without those called "images", "labels" and the like."""

_LABEL = (
    r"(?:gt|ground[_-]?truth|labels?|lbl|segs?|segmentations?|masks?|manual|annotations?|contours?)"
)
_IMAGE = r"(?:images?|imgs?|imaging|volumes?)"
_GAP = r"[_\-. ]"
_FRAME = re.compile(
    rf"(.*?)(?:(?:^|{_GAP})E[DS])?(?:^|{_GAP})frame{_GAP}?(\d+)(?:{_GAP}E[DS])?", re.IGNORECASE
)
_PHASE = re.compile(rf"(.*?)(?:^|{_GAP})(E[DS])", re.IGNORECASE)
_CINE = re.compile(rf"(.*?)(?:^|{_GAP})(?:4d|cine)", re.IGNORECASE)


class CaseName(NamedTuple):
    """Name of a case and the phase that is meant; ``key`` compares without upper case."""

    base: str
    phase: NamedPhase = None

    def __str__(self) -> str:
        if self.phase is None:
            return self.base
        number = f"{self.phase:02d}" if isinstance(self.phase, int) else self.phase
        # "_frame" before ED and ES too: it ends the part that names the patient.
        return f"{self.base}_frame{number}"

    @property
    def key(self) -> CaseName:
        return CaseName(self.base.casefold(), self.phase)


def stem(path: Path) -> str:
    """File name without ``.nii`` or ``.nii.gz``."""
    return re.sub(r"\.nii(\.gz)?$", "", path.name, flags=re.IGNORECASE)


def image_names(path: Path, *, is_channel: bool) -> list[CaseName]:
    """What an image may be called by its label, word for word first, the case's name last.

    ``is_channel`` says that ``_0000`` counts the channels rather than the cases.
    """
    spelled = stem(path).removesuffix("_0000") if is_channel else stem(path)
    return _distinct([spelled, _without(_IMAGE, spelled)])


def label_names(path: Path) -> list[CaseName]:
    """What the image of a label may be called, word for word first."""
    spelled = stem(path)
    bare, no_channel = _without(_LABEL, spelled), spelled.removesuffix("_0000")
    return _distinct(
        [spelled, bare, no_channel, _without(_LABEL, no_channel), bare.removesuffix("_0000")]
    )


def is_named_label(path: Path, root: Path) -> bool:
    """Whether the file's name, or that of its folder in ``root``, says that it is a label."""
    spelled = stem(path).removesuffix("_0000")
    if _without(_LABEL, spelled) != spelled:
        return True
    return any(_is_folder_of(_LABEL, part) for part in path.relative_to(root).parent.parts)


def where(path: Path, root: Path) -> Where:
    """The sub-folders of ``root`` in which a file lies."""
    parts = path.relative_to(root).parent.parts
    return tuple(p for p in parts if not (_is_folder_of(_LABEL, p) or _is_folder_of(_IMAGE, p)))


def belong_together(one: Where, other: Where) -> bool:
    """Whether two files may be of one patient: one lies in all sub-folders of the other."""
    return set(one) <= set(other) or set(other) <= set(one)


def plain(name: str) -> str:
    """``name`` with nothing that has a meaning in the paths of some system."""
    return re.sub(r"[^\w.-]+", "_", name).strip("_.")


def _without(words: str, spelled: str) -> str:
    """Without these words at the end and one at the beginning."""
    spelled = re.sub(rf"(?:(?:^|{_GAP}){words})+$", "", spelled, flags=re.IGNORECASE)
    return re.sub(rf"^{words}(?:{_GAP}|$)", "", spelled, flags=re.IGNORECASE)


def _is_folder_of(words: str, folder: str) -> bool:
    """Not of imagesTs and labelsTs: what is held back for a test must not be trained on."""
    return re.fullmatch(rf"{words}(?:_?tr(?:ain(?:ing)?)?)?", folder, re.IGNORECASE) is not None


def _distinct(spellings: Iterable[str]) -> list[CaseName]:
    return list(dict.fromkeys(map(_parsed, spellings)))


def _parsed(spelled: str) -> CaseName:
    phase: NamedPhase = None
    if found := _FRAME.fullmatch(spelled):
        spelled, phase = found[1], int(found[2])
    elif found := _PHASE.fullmatch(spelled):
        spelled, phase = found[1], found[2].upper()
    if found := _CINE.fullmatch(spelled):
        spelled = found[1]
    return CaseName(spelled, phase)
