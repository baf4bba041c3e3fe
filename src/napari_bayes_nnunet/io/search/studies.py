"""The studies in a tree of folders: NIfTI images and DICOM studies, and what is left out."""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Literal

from .. import DataError
from ..dicom.files import content_of, is_dicom, pseudonym, studies_among
from ..images.nifti import case_name
from .folder_walk import Folder, walk_folders
from .nifti_files import is_nifti, select_images


@dataclass(frozen=True, kw_only=True)
class StudyInput:
    """One image to segment: a NIfTI file, or a DICOM study in one or more folders.

    ``paths`` are these folders; of one with files of other studies, too, the files of this one.
    Its results lie in ``folder``, seen from the output folder, and are called ``case``. ``study``
    is the UID of a DICOM study, "" where its files do not say it.
    """

    kind: Literal["NIfTI", "DICOM"]
    paths: tuple[Path, ...]
    folder: str
    case: str
    study: str = ""

    @property
    def place(self) -> str:
        """Folder and case in one: no two studies have the same, and none is another's folder."""
        return f"{self.folder}/{self.case}" if self.folder else self.case

    @property
    def name(self) -> str:
        """What it is called, as no other is; a DICOM study alone in a folder of its name once."""
        alone = self.kind == "DICOM" and self.folder == self.case
        return self.folder if alone else self.place


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

    Each DICOM study has a folder of its own, called by a pseudonym in which the ``series`` asked
    for has a part; with ``folder_names`` it is called as its folder in the tree. Raises DataError
    where there is no study.
    """
    left_out: Counter[str] = Counter()
    images: list[StudyInput] = []
    dicoms: dict[tuple[str, str], list[_Part]] = {}
    for folder in walk_folders(places, output=output, left_out=left_out):
        for file in _images_in(folder, left_out):
            where = {"folder": folder.title, "case": case_name(file)}
            images.append(StudyInput(kind="NIfTI", paths=(file,), **where))
        studies = studies_among([file for file in folder.files if not is_nifti(file)])
        for study, files in studies.items():
            # Of files that do not say their study, those in one folder are taken as one.
            key = study, "" if study else str(folder.path)
            dicoms.setdefault(key, []).append(_Part(folder, files, is_whole=len(studies) == 1))
    found = [(image, "") for image in images]
    for (study, _), parts in dicoms.items():
        identity = study or content_of(parts[0].files[0])
        name = pseudonym(identity if series is None else f"{identity} series {series}")
        place, case = _place_of([part.folder for part in parts]) if folder_names else (name, name)
        paths = tuple(path for part in parts for path in part.paths)
        one = StudyInput(kind="DICOM", paths=paths, folder=place, case=case, study=study)
        found.append((one, name if folder_names else ""))
    reasons = tuple(f"{reason}: {count}" for reason, count in left_out.items() if count)
    if not found:
        raise DataError(
            f"{' and '.join(map(str, places))} holds no images to segment, neither NIfTI (.nii.gz, "
            f".nii) nor DICOM{''.join(f'; {reason}' for reason in reasons)}."
        )
    return FoundStudies(tuple(_told_apart(found)), reasons)


@dataclass(frozen=True)
class _Part:
    """The files of a DICOM study in one folder; ``is_whole`` where no other study is there."""

    folder: Folder
    files: Sequence[Path]
    is_whole: bool

    @property
    def paths(self) -> Sequence[Path]:
        return (self.folder.path,) if self.is_whole else self.files


def _images_in(folder: Folder, left_out: Counter[str]) -> list[Path]:
    """NIfTI images; a file that was named alone is one whatever it is called."""
    if folder.files != (folder.path,):
        return select_images(folder.files, folder.title, left_out)
    return [] if is_dicom(folder.path) else [folder.path]


def _place_of(folders: Sequence[Folder]) -> tuple[str, str]:
    """Where in the tree the folder is that all these are in, and what it is called."""
    title = PurePosixPath(posixpath.commonpath([folder.title for folder in folders]))
    if title.name:
        return str(title.parent).removeprefix("."), title.name
    top = folders[0].path
    for _ in PurePosixPath(folders[0].title).parts:
        top = top.parent
    return "", top.resolve().name or "root"


def _told_apart(found: Sequence[tuple[StudyInput, str]]) -> Iterator[StudyInput]:
    """With places of their own: of several studies for one, DICOM adds its pseudonym if given.

    Whatever is left is numbered, in the order in which it was found.
    """
    asked = Counter(one.place for one, _ in found)
    folders = {PurePosixPath(folder) for folder in {one.folder for one, _ in found}}
    holding = {str(above) for folder in folders for above in (folder, *folder.parents)}
    taken, next_number = set(holding), Counter[str]()
    for one, name in found:
        if name and (asked[one.place] > 1 or one.place in holding):
            one = replace(one, case=f"{one.case}-{name}")
        case, place = one.case, one.place
        while one.place in taken or (one.case != case and one.place in asked):
            next_number[place] += 1
            one = replace(one, case=f"{case}-{1 + next_number[place]}")
        taken.add(one.place)
        yield one
