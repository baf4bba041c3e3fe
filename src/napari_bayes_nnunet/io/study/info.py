"""Image, ensemble and reports of a study, STUDY/study.json: written once, never changed."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final

from annotated_types import Interval

from ...core.counts import phase_names
from ...core.types import Phase
from .. import DataError
from ..files.access import reading
from ..files.atomic import write_json
from ..files.case_names import result_name
from ..files.checksum import sha256
from ..files.json_files import Count, Ordinal, Positive, parse_json, reading_json
from ..images.geometry import Geometry
from ..images.nibabel_types import nifti_classes
from ..images.nifti import Volume, read_volume
from .arrays import IMAGE, phase_name
from .case_report import ReportEntries, predicted_quality, warnings_in

STUDY_FILE: Final = "study.json"
_FORMAT: Final = 2
_REPAIR: Final = "Restore the study from a backup, or segment the image again."
NOT_A_STUDY: Final = (
    "{folder} is not a study, or is incomplete (it has no {file}). Choose the folder of a study."
)
CHANGED_IMAGE: Final = (
    "{image} is not the image that this study was made from. Put the original image there or next "
    "to the study, or segment the image again."
)
OTHER_IMAGE_GRID: Final = (
    "{file} has a different grid ({found}) from the study ({expected}). Use the image that the "
    "study was made from."
)
LACKS_PHASES: Final = (
    "This study lacks {phases}, because the segmentation ended early. To review all phases, "
    "segment again before you correct anything."
)


@dataclass(frozen=True, kw_only=True)
class SourceImage:
    """Image file of a study, identified by its size in ``bytes`` and its SHA-256.

    ``relative_path`` is relative to the study, so that both can be moved together.
    """

    name: str
    path: str
    bytes: int
    sha256: str
    relative_path: str = ""

    @classmethod
    def from_file(cls, path: Path) -> SourceImage:
        """Return the description of a file. Raises DataError if it cannot be read."""
        with reading(path):
            checksum, size = sha256(path), path.stat().st_size
        return cls(name=path.name, path=str(path.absolute()), bytes=size, sha256=checksum)

    def is_at(self, path: Path) -> bool:
        """Return whether the file at ``path`` has the same bytes."""
        # The size first, because a checksum needs the whole file.
        return path.stat().st_size == self.bytes and sha256(path) == self.sha256


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="seconds")


@dataclass(frozen=True, kw_only=True)
class StudyInfo:
    """Image and segmentation of a study. ``reports``: phase → content of ``<case>.json``.

    ``image`` is None if the image did not come from a file: the study then holds it.
    ``structures``: name → label without background; ``classes``: C with background, 2 for
    regions. ``phases`` were segmented (from 1; (None,) for a 3D image); ``unfinished`` ones were
    requested, too. ``ed`` and ``es`` are None if unknown.
    """

    case: str
    image: SourceImage | None
    geometry: Geometry
    structures: Mapping[str, int]
    classes: int
    phases: tuple[Phase, ...]
    reports: Mapping[Phase, Mapping[str, Any]]
    ed: Phase = None
    es: Phase = None
    phases_from: str = ""
    unfinished: tuple[int, ...] = ()
    phase_cases: tuple[str, ...] = ()
    created: str = field(default_factory=_now)

    @property
    def shape(self) -> tuple[int, ...]:
        """(Z, Y, X) or (T, Z, Y, X)."""
        return self.geometry.shape

    @property
    def slices(self) -> int:
        """Number of slices in the phases that were segmented."""
        return len(self.phases) * self.shape[-3]

    @property
    def ensemble(self) -> str:
        """Name of the ensemble."""
        return self._reported("ensemble")

    @property
    def method(self) -> str:
        """Method by which the members were chosen."""
        return self._reported("method")

    @property
    def lacking(self) -> str:
        """Warning of missing phases, "" if none is missing."""
        return LACKS_PHASES.format(phases=phase_names(self.unfinished)) if self.unfinished else ""

    @property
    def warnings(self) -> tuple[str, ...]:
        """Warning of missing phases, and those in the reports, each sentence once."""
        return (*filter(None, [self.lacking]), *warnings_in(self.reports.values()))

    @property
    def quality(self) -> float | None:
        """Predicted quality, 0 … 1, see `predicted_quality`."""
        return predicted_quality(self.reports.values())

    def _reported(self, key: str) -> str:
        return next((str(r[key]) for r in self.reports.values() if key in r), "")


def is_study(folder: Path) -> bool:
    """Return whether the folder holds the file of a study that is written last."""
    return (folder / STUDY_FILE).is_file()


@dataclass(frozen=True, kw_only=True)
class _StudyFile:
    """Content of ``study.json``."""

    case: str
    image: SourceImage | None
    geometry: str
    structures: dict[str, Annotated[int, Interval(ge=1, le=255)]]
    classes: Count
    phases: tuple[Ordinal, ...] | None
    ED: Ordinal | None
    ES: Ordinal | None
    phases_from: str
    created: str
    reports: dict[str, dict[str, Any]]
    unfinished: tuple[Ordinal, ...] = ()
    phase_cases: tuple[str, ...] = ()
    slice_axis: Annotated[int, Interval(ge=0, le=2)] = 2
    given_spacing: tuple[Positive, Positive, Positive] | None = None


@dataclass(frozen=True, kw_only=True)
class _Reports:
    reports: dict[str, ReportEntries]


def read_study_info(folder: Path) -> StudyInfo:
    """Return the content of ``study.json``.

    Raises DataError if it is missing, damaged or of a newer version.
    """
    file = folder / STUDY_FILE
    try:
        with reading_json(file, newest=_FORMAT, repair=_REPAIR) as text:
            parse_json(text, _Reports)
            return _info(parse_json(text, _StudyFile))
    except FileNotFoundError as error:
        raise DataError(NOT_A_STUDY, folder=folder, file=STUDY_FILE) from error


def write_study_info(folder: Path, info: StudyInfo) -> None:
    """Write ``study.json`` atomically."""
    is_cine, geometry = info.phases != (None,), info.geometry
    optional = {"unfinished": info.unfinished, "phase_cases": info.phase_cases}
    about = {
        "format": _FORMAT,
        "case": info.case,
        "image": None if info.image is None else asdict(_relative_to(folder, info.image)),
        "shape": list(info.shape),
        "geometry": base64.b64encode(_anonymous(geometry)).decode(),
        "slice_axis": geometry.slice_axis,
        "given_spacing": geometry.given_spacing,
        "structures": dict(info.structures),
        "classes": info.classes,
        "phases": list(info.phases) if is_cine else None,
        **{key: list(values) for key, values in optional.items() if values},
        "ED": info.ed,
        "ES": info.es,
        "phases_from": info.phases_from,
        "created": info.created,
        "reports": {phase_name(phase): dict(info.reports[phase]) for phase in info.phases},
    }
    write_json(folder / STUDY_FILE, about)


def find_image(info: StudyInfo, folder: Path) -> Path | None:
    """Return the file of the image, even if the folders were moved; None if it is not found.

    The search covers its former absolute path, its path relative to the study, and its name next to
    the study and one folder above. Raises DataError if only other images of this name are found.
    """
    if info.image is None:
        return folder / IMAGE if (folder / IMAGE).is_file() else None
    others = []
    for path in _possible_paths(info.image, folder):
        with reading(path):
            if path.is_file():
                if info.image.is_at(path):
                    return path
                others.append(path)
    if others:
        raise DataError(CHANGED_IMAGE, image=others[0])
    return None


def read_study_image(info: StudyInfo, file: Path) -> Volume:
    """Return the image of a study. Also raises DataError if it lies on another grid."""
    image = read_volume(file, allow_blank=True, like=info.geometry)
    if not image.geometry.same_grid(info.geometry):
        raise DataError(
            OTHER_IMAGE_GRID, file=file.name, found=image.geometry, expected=info.geometry
        )
    return image


def _possible_paths(image: SourceImage, folder: Path) -> Iterator[Path]:
    folder = folder.absolute()
    # The most likely place first, because a checksum takes time.
    yield Path(image.path)
    if image.relative_path:
        yield folder / image.relative_path
    yield folder.parent / image.name
    yield folder.parent.parent / image.name


def _relative_to(folder: Path, image: SourceImage) -> SourceImage:
    try:
        relative = Path(os.path.relpath(image.path, folder.absolute())).as_posix()
    except ValueError:  # on another drive of a Windows computer
        relative = ""
    return replace(image, relative_path=relative)


def _anonymous(geometry: Geometry) -> bytes:
    """Return the header without the fields into which programs write the patient's name."""
    header = geometry.parsed()
    # Fields differ between NIfTI-1 and NIfTI-2.
    for field_name in {"descrip", "aux_file", "db_name", "intent_name"} & set(header.keys()):
        header[field_name] = b""
    return bytes(header.binaryblock)


def _info(content: _StudyFile) -> StudyInfo:
    """Return the study of a file. Raises ValueError for parts that do not fit together."""
    header = base64.b64decode(content.geometry, validate=True)
    if len(header) not in {kind.header_class.sizeof_hdr for kind in nifti_classes()}:
        raise ValueError("The geometry is not a NIfTI header.")
    geometry = Geometry(header, content.slice_axis, content.given_spacing)
    phases: tuple[Phase, ...] = (None,) if content.phases is None else content.phases
    _check_phases(geometry, phases)
    if content.phase_cases and len(content.phase_cases) != geometry.shape[0]:
        raise ValueError("Another number of phases has names.")
    _ = geometry.spacing, geometry.affine  # raises for impossible directions
    missing = {phase_name(phase) for phase in phases} - set(content.reports)
    if missing:
        raise ValueError("A phase has no report.")
    return StudyInfo(
        case=result_name(content.case),  # a stranger's study may call it ../../elsewhere
        image=content.image,
        geometry=geometry,
        structures=content.structures,
        classes=content.classes,
        phases=phases,
        reports={phase: content.reports[phase_name(phase)] for phase in phases},
        ed=content.ED,
        es=content.ES,
        phases_from=content.phases_from,
        unfinished=content.unfinished,
        phase_cases=tuple(map(result_name, content.phase_cases)),
        created=content.created,
    )


def _check_phases(geometry: Geometry, phases: tuple[Phase, ...]) -> None:
    """Raise ValueError if the image does not have these phases."""
    shape = geometry.shape
    possible = set(range(1, shape[0] + 1)) if len(shape) == 4 else {None}
    if not phases or not set(phases) <= possible:
        raise ValueError(f"An image of shape {shape} does not have the phases {phases}.")
