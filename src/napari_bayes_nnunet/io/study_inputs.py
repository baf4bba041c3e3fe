"""The studies in a tree of folders: NIfTI images and DICOM studies, and what is left out."""

from __future__ import annotations

import hashlib
import posixpath
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Literal

from . import DataError
from .dicom_files import is_dicom
from .dicom_studies import studies_among
from .folder_tree import Folder, folders_in
from .nifti import case_name
from .nifti_inputs import images_among, is_nifti


@dataclass(frozen=True, kw_only=True)
class StudyInput:
    """One image to segment: a NIfTI file, or a DICOM study in one or more folders.

    ``paths`` are these folders; of one with files of other studies, too, the files of this one.
    Its results lie in ``folder``, seen from the output folder, and are called ``case``. ``study``
    is the UID of a DICOM study, "" where its files do not say it. ``problem`` is the sentence why
    it cannot be segmented, where that is known before it is read.
    """

    kind: Literal["NIfTI", "DICOM"]
    paths: tuple[Path, ...]
    folder: str
    case: str
    study: str = ""
    problem: str = ""

    @property
    def name(self) -> str:
        """Folder and case in one: no two studies have the same."""
        return f"{self.folder}/{self.case}" if self.folder else self.case


@dataclass(frozen=True)
class FoundStudies:
    """What there is to segment, and a sentence for each kind of files that are left out."""

    inputs: tuple[StudyInput, ...]
    left_out: tuple[str, ...] = ()


def find_studies(
    places: Sequence[Path],
    *,
    output: Path,
    folder_names: bool = False,
    series: int | None = None,
) -> FoundStudies:
    """All studies in the folders and files ``places``; their results are to repeat the tree.

    DICOM studies are called by a pseudonym, in which the ``series`` asked for has a part, or with
    ``folder_names`` as their folders. Raises DataError where there is no study.
    """
    left_out: Counter[str] = Counter()
    inputs: list[StudyInput] = []
    dicoms: dict[tuple[str, str], list[tuple[Folder, Sequence[Path]]]] = {}
    for folder in folders_in(places, output=output, left_out=left_out):
        for file in _images_in(folder, left_out):
            where = {"folder": folder.title, "case": case_name(file)}
            inputs.append(StudyInput(kind="NIfTI", paths=(file,), **where))
        studies = studies_among([file for file in folder.files if not is_nifti(file)])
        for study, files in studies.items():
            paths = files if len(studies) > 1 else (folder.path,)
            # Of files that do not say their study, those in one folder are taken as one.
            key = (study, "" if study else str(folder.path))
            dicoms.setdefault(key, []).append((folder, paths))
    for (study, title), parts in dicoms.items():
        folders = [folder for folder, _ in parts]
        pseudonym = _pseudonym(study or title, series)
        place, case = _place_of(folders) if folder_names else ("", pseudonym)
        found = tuple(path for _, paths in parts for path in paths)
        inputs.append(StudyInput(kind="DICOM", paths=found, folder=place, case=case, study=study))
    reasons = tuple(f"{reason}: {count}" for reason, count in left_out.items() if count)
    if not inputs:
        raise DataError(
            f"{' and '.join(map(str, places))} holds no images to segment, neither NIfTI (.nii.gz, "
            f".nii) nor DICOM{''.join(f'; {reason}' for reason in reasons)}."
        )
    return FoundStudies(tuple(_told_apart(inputs)), reasons)


def _images_in(folder: Folder, left_out: Counter[str]) -> list[Path]:
    """NIfTI images; a file that was named alone is one whatever it is called."""
    if folder.files != (folder.path,):
        return images_among(folder.files, folder.title, left_out)
    return [] if is_dicom(folder.path) else [folder.path]


def _pseudonym(identity: str, series: int | None) -> str:
    """A name that is the same whenever the study is found, and names nobody."""
    asked = identity if series is None else f"{identity} series {series}"
    return f"dicom-{hashlib.sha256(asked.encode()).hexdigest()[:10]}"


def _place_of(folders: Sequence[Folder]) -> tuple[str, str]:
    """Where in the tree the folder is that all these are in, and what it is called."""
    title = PurePosixPath(posixpath.commonpath([folder.title for folder in folders]))
    if title.name:
        return str(title.parent).removeprefix("."), title.name
    top = folders[0].path
    for _ in PurePosixPath(folders[0].title).parts:
        top = top.parent
    return "", top.resolve().name or "root"


def _told_apart(inputs: Sequence[StudyInput]) -> Iterator[StudyInput]:
    """With names of their own: DICOM is given one, a second image of a name is not segmented."""
    count = Counter(one.name for one in inputs)
    holding = {str(folder) for one in inputs for folder in PurePosixPath(one.name).parents}
    first: dict[str, Path] = {}
    for one in inputs:
        path = one.paths[0]
        if one.kind == "NIfTI":
            rival = first.setdefault(one.name, path)
            if rival != path or one.name in holding:
                others = "the images in the folder of its name" if rival == path else rival
                problem = f"The results of {path} would lie among those of {others}: rename it."
                one = replace(one, case=path.name, problem=problem)
        elif count[one.name] > 1 or one.name in holding:
            one = replace(one, case=f"{one.case}-{_pseudonym(one.study or str(path), None)}")
        yield one
