"""Trees of label files: the cases in subfolders, and the reference of each case.

A case in a subfolder is named by its path in the tree, such as "p1/heart_frame01".
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Final

from .. import DataError
from ..files.given_path import file_identity
from ..images.nifti import ENDINGS
from ..study.arrays import POSTERIOR
from ..study.info import STUDY_FILE

SEVERAL_REFERENCES: Final = (
    "{case} has several possible references in {folder} ({files}). Put the references into the "
    "same subfolders as the predictions, or choose a folder with only one of them."
)
SHARED_REFERENCE: Final = (
    "{first} and {second} have the same reference, {reference} in {folder}. Put the references "
    "into the same subfolders as the predictions, or evaluate one subfolder at a time."
)
TWO_ENDINGS: Final = "{folder} has both {first} and {second}. Keep only one of them."


def label_file(folder: Path, name: str) -> Path | None:
    """Return the NIfTI file of a name without ending; None without one.

    Raises DataError if there are two.
    """
    files = [file for ending in ENDINGS if (file := folder / f"{name}{ending}").is_file()]
    if len(files) > 1:
        first, second = (file.name for file in files)
        raise DataError(TWO_ENDINGS, folder=folder, first=first, second=second)
    return files[0] if files else None


def label_folders(root: Path) -> Iterator[tuple[str, set[str]]]:
    """Yield each folder of a tree, as "a/b" or "", with the names of its NIfTI files.

    The names have no ending. Studies, whose labels lie next to them too, and hidden folders are
    left out. Links are followed, but no folder is visited twice.
    """
    seen: set[tuple[int, int] | Path] = set()
    for path, inside, names in os.walk(root, followlinks=True):
        identity = file_identity(Path(path))
        if identity in seen or STUDY_FILE in names or POSTERIOR in inside:
            inside.clear()
            continue
        seen.add(identity)
        inside[:] = sorted(name for name in inside if not name.startswith("."))
        files = (name for name in names if name.endswith(ENDINGS) and not name.startswith("."))
        title = Path(path).relative_to(root).as_posix()
        yield "" if title == "." else title, {_stem(name) for name in files}


class ReferenceTree:
    """References in the folder ``root`` and its subfolders, which is searched once."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._folders: dict[str, list[str]] = {}
        for folder, names in label_folders(root):
            for name in names:
                self._folders.setdefault(name, []).append(folder)

    def match(self, phases: Mapping[str, int | None]) -> dict[str, str]:
        """Return predicted case → case of its reference, without cases that have none.

        ``phases`` has the phase of each predicted case. A reference has the same path in its tree
        as the prediction, or it is the only one of this name. Raises DataError if a case has
        several references, or a reference several cases.
        """
        matches: dict[str, str] = {}
        case_of: dict[str, str] = {}
        for case, phase in phases.items():
            reference = self._find(case, phase)
            if reference is None:
                continue
            key = f"{reference} {phase}"
            if key in case_of:
                raise DataError(
                    SHARED_REFERENCE,
                    first=case_of[key],
                    second=case,
                    reference=PurePosixPath(reference).name,
                    folder=self._root,
                )
            case_of[key] = case
            matches[case] = reference
        return matches

    def _find(self, case: str, phase: int | None) -> str | None:
        """Return the case of the reference, without its phase."""
        path = PurePosixPath(case if phase is None else case.removesuffix(f"_frame{phase:02d}"))
        own = "" if str(path.parent) == "." else str(path.parent)
        names = [name for name, _ in reference_names(path.name, phase)]
        if any(own in self._folders.get(name, ()) for name in names):
            return str(path)
        for name in names:
            folders = self._folders.get(name, [])
            if len(folders) > 1:
                files = ", ".join(str(PurePosixPath(folder, name)) for folder in folders)
                raise DataError(SEVERAL_REFERENCES, case=case, folder=self._root, files=files)
            if folders:
                return str(PurePosixPath(folders[0], path.name))
        return None


def reference_names(case: str, phase: int | None) -> Iterator[tuple[str, bool]]:
    """Yield possible names of a reference's file, and whether it contains only that phase.

    Names in ``_gt`` come first: next to such a file, the one without it is the image, as in ACDC
    and Sunnybrook.
    """
    if phase is not None:
        # ACDC calls the cine patient001_4d and its phases patient001_frame01.
        for start in dict.fromkeys((case, case.removesuffix("_4d"))):
            yield f"{start}_frame{phase:02d}_gt", True
            yield f"{start}_frame{phase:02d}", True
    yield f"{case}_gt", False
    yield case, False


def _stem(name: str) -> str:
    return re.sub(r"\.nii(\.gz)?$", "", name)
