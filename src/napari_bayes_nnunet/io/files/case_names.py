"""Case, phase and kind (image or label) read from the name of a NIfTI file."""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

NamedPhase: TypeAlias = int | str | None
"""Frame of a cine, from 1; "ED" or "ES" if the name has no number; None if it has no phase."""

PatientFolders: TypeAlias = tuple[str, ...]
"""Subfolders that contain a file, without those called "images", "labels" and the like."""

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


_OTHER_CONTRAST: Final = re.compile(
    r"(?<![a-z])(de|lge|psir|t[12](?!\d)(map)?|stir|perf|map|molli)(?![a-z])", re.IGNORECASE
)
_LONGEST: Final = 180
"""Bytes of a name that leave room for the ends of results; file systems allow 255."""


class CaseName(NamedTuple):
    """Name of a case and its phase."""

    base: str
    phase: NamedPhase = None

    def __str__(self) -> str:
        if self.phase is None:
            return self.base
        number = f"{self.phase:02d}" if isinstance(self.phase, int) else self.phase
        # "_frame" also precedes ED and ES, because it ends the part that names the patient.
        return f"{self.base}_frame{number}"

    @property
    def key(self) -> CaseName:
        """The name in lower case, for comparisons."""
        return CaseName(self.base.casefold(), self.phase)


def nifti_stem(path: Path) -> str:
    """Return the file name without ``.nii`` or ``.nii.gz``."""
    return re.sub(r"\.nii(\.gz)?$", "", path.name, flags=re.IGNORECASE)


def other_contrast(name: str) -> str:
    """Return a clause on the word of a file's name that stands for another contrast, or ""."""
    word = _OTHER_CONTRAST.search(name)
    return f"its name has the word {word[0]}" if word else ""


def read_case_name(path: Path, *, is_channel: bool = True) -> CaseName:
    """Return the case that an image or a label is of, by the name of its file.

    The name is read without the words for images and labels at its ends, such as ``_gt``, and
    without ``_4d``. With ``is_channel``, ``_0000`` is the number of a channel; otherwise it belongs
    to the case.
    """
    spelled = nifti_stem(path)
    if is_channel:
        spelled = re.sub(rf"_0000(?=({_GAP}{_LABEL})*$)", "", spelled, flags=re.IGNORECASE)
    return _parsed(_without(rf"(?:{_LABEL}|{_IMAGE})", spelled))


def is_named_label(path: Path, root: Path) -> bool:
    """Return whether the name of a file or of its folders in ``root`` marks it as a label."""
    spelled = nifti_stem(path).removesuffix("_0000")
    if _without(_LABEL, spelled) != spelled:
        return True
    return any(_is_folder_of(_LABEL, part) for part in path.relative_to(root).parent.parts)


def patient_folders(path: Path, root: Path) -> PatientFolders:
    """Return the subfolders of ``root`` that contain a file and may name its patient."""
    parts = path.relative_to(root).parent.parts
    return tuple(p for p in parts if not (_is_folder_of(_LABEL, p) or _is_folder_of(_IMAGE, p)))


def may_share_patient(first: PatientFolders, second: PatientFolders) -> bool:
    """Return whether two files may be of one patient, by the subfolders that contain them.

    One of the files must lie in all subfolders of the other.
    """
    return set(first) <= set(second) or set(second) <= set(first)


def safe_name(name: str) -> str:
    """Return ``name`` without characters that have a meaning in paths on any system."""
    return re.sub(r"[^\w.-]+", "_", name).strip("_.")


def result_name(name: str) -> str:
    """Return the name of results for a file or folder called ``name``.

    It is ``name`` itself, unless it is empty, too long, leads to another folder, or has characters
    that tables and terminals cannot show: separators of paths, line breaks, control characters,
    bytes that are not UTF-8. It is then shortened and cleaned, and ends in a checksum, so that two
    files never get the same name.
    """
    shown = "".join("_" if c in "/\\" or not c.isprintable() else c for c in name)
    if shown == name and len(name.encode()) <= _LONGEST and name not in ("", ".", ".."):
        return name
    checksum = hashlib.sha256(os.fsencode(name)).hexdigest()[:8]
    return f"{shown.encode()[:_LONGEST].decode(errors='ignore')}-{checksum}"


def same_file_key(path: str) -> str:
    """Return a key that is equal for two paths if they are the same file on some file systems.

    Those of macOS and Windows ignore case, and that of macOS also how accents are encoded.
    """
    # Decomposed, then folded, as the Unicode Standard compares texts without regard to case.
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", path).casefold())


def _without(words: str, spelled: str) -> str:
    """Remove all of these words from the end and one of them from the beginning."""
    spelled = re.sub(rf"(?:(?:^|{_GAP}){words})+$", "", spelled, flags=re.IGNORECASE)
    return re.sub(rf"^{words}(?:{_GAP}|$)", "", spelled, flags=re.IGNORECASE)


def _is_folder_of(words: str, folder: str) -> bool:
    """Return whether a folder is named by these words, as in labels or labelsTr.

    imagesTs and labelsTs do not count, because test cases must not be trained on.
    """
    return re.fullmatch(rf"{words}(?:_?tr(?:ain(?:ing)?)?)?", folder, re.IGNORECASE) is not None


def _parsed(spelled: str) -> CaseName:
    phase: NamedPhase = None
    if match := _FRAME.fullmatch(spelled):
        spelled, phase = match[1], int(match[2])
    elif match := _PHASE.fullmatch(spelled):
        spelled, phase = match[1], match[2].upper()
    if match := _CINE.fullmatch(spelled):
        spelled = match[1]
    return CaseName(spelled, phase)
