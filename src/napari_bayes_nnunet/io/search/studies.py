"""Search for NIfTI images and DICOM studies in a tree of folders."""

from __future__ import annotations

import posixpath
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, Final, Literal

from .. import DataError
from ..dicom.files import hash_content, is_dicom, make_pseudonym
from ..dicom.headers import group_by_study
from ..evaluation.predictions import MAP_SUFFIXES
from ..files.case_names import (
    CaseName,
    is_named_label,
    nifti_stem,
    read_case_name,
    result_name,
    same_file_key,
)
from ..files.given_path import resolve_links
from ..images.geometry import LABEL_INTENT
from ..images.integrity import nifti_header, phase_count
from ..images.nifti import ENDINGS, case_name, is_further_channel
from .folder_walk import Folder, walk_folders

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


NO_IMAGES_IN = "{folders} contains neither NIfTI images (.nii.gz, .nii) nor DICOM images."
NO_IMAGES_LEFT = (
    "{folders} contains neither NIfTI images (.nii.gz, .nii) nor DICOM images to segment. Left "
    "out: {left_out}."
)
UNOPENED_FILES = "Files that cannot be opened ({reason})"


@dataclass(frozen=True, kw_only=True)
class StudyInput:
    """One image to segment: a NIfTI file, or a DICOM study in one or more folders.

    ``paths`` are the file or the folders. If a folder also holds other studies, ``paths`` has the
    single files instead. ``folder``, relative to the output folder, and ``case`` name the results;
    see `result_name`. ``study`` is the UID of a DICOM study, or "" if its files do not give it.
    """

    kind: Literal["NIfTI", "DICOM"]
    paths: tuple[Path, ...]
    folder: str
    case: str
    study: str = ""

    @property
    def place(self) -> str:
        """Folder and case, unique to this study and not the folder of another study."""
        return f"{self.folder}/{self.case}" if self.folder else self.case

    @property
    def name(self) -> str:
        """Unique name, without the repetition if a DICOM study has a folder of its own name."""
        alone = self.kind == "DICOM" and self.folder == self.case
        return self.folder if alone else self.place


@dataclass(frozen=True)
class FoundStudies:
    """Images to segment, and a text for each kind of file that is left out."""

    inputs: tuple[StudyInput, ...]
    left_out: tuple[str, ...] = ()


def find_studies(
    places: Sequence[Path],
    *,
    output: Path,
    folder_names: bool = False,
    series: int | None = None,
) -> FoundStudies:
    """Find all studies in the folders and files ``places``; their results repeat the tree.

    Each DICOM study gets a result folder, named by a pseudonym of study and ``series`` or, with
    ``folder_names``, like its folder in the tree. Raises DataError if no study is found.
    """
    left_out: Counter[str] = Counter()
    images: list[StudyInput] = []
    dicoms: dict[tuple[str, str], list[_Part]] = {}

    def note(error: OSError) -> None:
        left_out[UNOPENED_FILES.format(reason=error.strerror)] += 1

    for folder in walk_folders(places, output=output, left_out=left_out):
        for file in _images_in(folder, left_out):
            case = case_name(file)
            images.append(StudyInput(kind="NIfTI", paths=(file,), folder=folder.title, case=case))
        # DICOM files often have no ending, so all others are looked at.
        others = [file for file in folder.files if not is_nifti(file)]
        studies = group_by_study(others, note)
        for study, files in studies.items():
            # Files without a study UID count as one study per folder.
            key = study, "" if study else str(folder.path)
            dicoms.setdefault(key, []).append(_Part(folder, files, is_whole=len(studies) == 1))
    named = [(image, "") for image in images]
    for (study, _), parts in dicoms.items():
        # A hash of the folder's name could be guessed back to the name of the patient.
        identity = study or hash_content(parts[0].files[0])
        name = make_pseudonym(identity if series is None else f"{identity} series {series}")
        folders = [part.folder for part in parts]
        target, case = _common_folder(folders) if folder_names else (name, name)
        paths = tuple(path for part in parts for path in part.paths)
        dicom = StudyInput(kind="DICOM", paths=paths, folder=target, case=case, study=study)
        named.append((dicom, name if folder_names else ""))
    reasons = tuple(f"{reason}: {count}" for reason, count in left_out.items() if count)
    if not named:
        raise DataError(
            NO_IMAGES_LEFT if reasons else NO_IMAGES_IN,
            folders=" and ".join(map(str, places)),
            left_out="; ".join(reasons),
        )
    clean = [(_with_result_names(study), name) for study, name in named]
    return FoundStudies(tuple(_with_unique_places(clean)), reasons)


def _with_result_names(study: StudyInput) -> StudyInput:
    """Return the study with names that all its results can have."""
    folder = "/".join(map(result_name, PurePosixPath(study.folder).parts))
    return replace(study, folder=folder, case=result_name(study.case))


@dataclass(frozen=True)
class _Part:
    """Files of a DICOM study in one folder; ``is_whole`` if the folder holds no other study."""

    folder: Folder
    files: Sequence[Path]
    is_whole: bool

    @property
    def paths(self) -> Sequence[Path]:
        return (self.folder.path,) if self.is_whole else self.files


def _images_in(folder: Folder, left_out: Counter[str]) -> list[Path]:
    """Return the NIfTI images of a folder; a single named file counts whatever its name."""
    if folder.files != (folder.path,):
        return select_images(folder.files, folder.title, left_out)
    return [] if is_dicom(folder.path) else [folder.path]


def _common_folder(folders: Sequence[Folder]) -> tuple[str, str]:
    """Return the path in the tree and the name of the folder that contains all ``folders``."""
    title = PurePosixPath(posixpath.commonpath([folder.title for folder in folders]))
    if title.name:
        # The path of the top is written as a dot.
        return str(title.parent).removeprefix("."), title.name
    top = folders[0].path
    for _ in PurePosixPath(folders[0].title).parts:
        top = top.parent
    return "", resolve_links(top).name or "root"


def _with_unique_places(named: Sequence[tuple[StudyInput, str]]) -> Iterator[StudyInput]:
    """Yield the studies with unique places.

    A DICOM study that shares a place gets its pseudonym, if given, as a suffix. Studies that
    still share a place are numbered in order. Places that differ in upper and lower case are
    shared, because they are one file on macOS and Windows.
    """
    wanted = Counter(_place_key(study) for study, _ in named)
    folders = {PurePosixPath(folder) for folder in {study.folder for study, _ in named}}
    parents = {same_file_key(str(f)) for folder in folders for f in (folder, *folder.parents)}
    # No result takes the name of a folder that holds other results.
    taken, next_number = set(parents), Counter[str]()
    for study, name in named:
        if name and (wanted[_place_key(study)] > 1 or _place_key(study) in parents):
            study = replace(study, case=f"{study.case}-{name}")
        case, place = study.case, _place_key(study)
        while (key := _place_key(study)) in taken or (study.case != case and key in wanted):
            next_number[place] += 1
            study = replace(study, case=f"{case}-{1 + next_number[place]}")
        taken.add(key)
        yield study


def _place_key(study: StudyInput) -> str:
    return same_file_key(study.place)
