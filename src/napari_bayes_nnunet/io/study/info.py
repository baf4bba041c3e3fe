"""What a study is of and who made it, STUDY/study.json: written once, never changed."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from ...core.types import Phase
from .. import DataError
from ..files.atomic import write_json
from ..files.checksum import sha256
from ..images.geometry import Geometry
from ..images.nibabel_types import nifti_classes
from .arrays import IMAGE, phase_name

STUDY_FILE: Final = "study.json"
_FORMAT: Final = 1


@dataclass(frozen=True, kw_only=True)
class SourceImage:
    """The image file a study is of. Size and SHA-256 of its ``bytes`` tell it from others.

    ``relative_path`` is seen from the study: both may be moved together.
    """

    name: str
    path: str
    bytes: int
    sha256: str
    relative_path: str = ""

    @classmethod
    def of(cls, path: Path) -> SourceImage:
        """From the file. Raises DataError where it cannot be read."""
        try:
            checksum, size = sha256(path), path.stat().st_size
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror}.") from error
        return cls(name=path.name, path=str(path.absolute()), bytes=size, sha256=checksum)

    def is_at(self, path: Path) -> bool:
        """Whether the file at ``path`` has the same bytes."""
        return path.stat().st_size == self.bytes and sha256(path) == self.sha256


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="seconds")


@dataclass(frozen=True, kw_only=True)
class StudyInfo:
    """What was segmented, and how. ``reports``: per phase the content of ``<case>.json``.

    ``image`` is None where the image came from no file: it is then in the study. ``structures``:
    name → label without background; ``classes``: C, background included. ``phases`` were
    segmented (from 1; (None,) for a 3D image). ``ed`` and ``es`` are None where nobody knew them.
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
        return self._said("ensemble")

    @property
    def method(self) -> str:
        """Method the members were chosen by."""
        return self._said("method")

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the reports warn of, each sentence once."""
        return warnings_in(self.reports.values())

    @property
    def quality(self) -> float | None:
        """Predicted quality, 0 … 1, see `predicted_quality`."""
        return predicted_quality(self.reports.values())

    def _said(self, key: str) -> str:
        return next((str(r[key]) for r in self.reports.values() if key in r), "")


def predicted_quality(reports: Iterable[Mapping[str, Any]]) -> float | None:
    """Mean pairwise Dice over structures and phases, 0 … 1, by the reports of a case.

    None for a single member, which agrees with nobody.
    """
    values = [
        dice
        for report in reports
        for dice in report.get("pairwise_dice", {}).values()
        if dice is not None
    ]
    return sum(values) / len(values) if values else None


def warnings_in(reports: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """What the reports of a case warn of, each sentence once."""
    return tuple(dict.fromkeys(s for report in reports for s in report.get("warnings", ())))


def is_study(folder: Path) -> bool:
    """Whether the folder holds a whole study; only looks for the file that is written last."""
    return (folder / STUDY_FILE).is_file()


def read_study_info(folder: Path) -> StudyInfo:
    """Read ``study.json``.

    Raises DataError where it is missing, damaged or of a newer version.
    """
    file = folder / STUDY_FILE
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        if content["format"] > _FORMAT:
            raise DataError(
                f"{file} was written by a newer version of this program: update it to open the "
                "study."
            )
        return _info(content)
    except FileNotFoundError as error:
        raise DataError(
            f"{folder} is no study, or not a whole one: it has no {STUDY_FILE}."
        ) from error
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}.") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{file} is cut short or damaged ({type(error).__name__}): take the folder from a "
            "backup, or segment the image again."
        ) from error


def write_study_info(folder: Path, info: StudyInfo) -> None:
    """Write ``study.json`` atomically."""
    is_cine = info.phases != (None,)
    about = {
        "format": _FORMAT,
        "case": info.case,
        "image": None if info.image is None else asdict(_seen_from(folder, info.image)),
        "shape": list(info.shape),
        "geometry": base64.b64encode(_nameless(info.geometry)).decode(),
        "structures": dict(info.structures),
        "classes": info.classes,
        "phases": list(info.phases) if is_cine else None,
        "ED": info.ed,
        "ES": info.es,
        "phases_from": info.phases_from,
        "created": info.created,
        "reports": {phase_name(phase): dict(info.reports[phase]) for phase in info.phases},
    }
    write_json(folder / STUDY_FILE, about)


def find_image(info: StudyInfo, folder: Path) -> Path | None:
    """The file of the image, also where the folders were moved; None where it is nowhere.

    Looked for where it was, also seen from the study, then by its name beside the study and one
    folder above. Raises DataError where there are only other images of this name.
    """
    if info.image is None:
        return folder / IMAGE if (folder / IMAGE).is_file() else None
    others = []
    for place in _places(info.image, folder):
        try:
            if not place.is_file():
                continue
            if info.image.is_at(place):
                return place
            others.append(place)
        except OSError as error:
            raise DataError(f"{place} cannot be read: {error.strerror}.") from error
    if others:
        raise DataError(
            f"{others[0]} has changed since this study was made of it, or is another image: put "
            "the original there or beside the study, or segment the image again."
        )
    return None


def _places(image: SourceImage, folder: Path) -> Iterator[Path]:
    folder = folder.absolute()
    yield Path(image.path)
    if image.relative_path:
        yield folder / image.relative_path
    yield folder.parent / image.name
    yield folder.parent.parent / image.name


def _seen_from(folder: Path, image: SourceImage) -> SourceImage:
    try:
        relative = Path(os.path.relpath(image.path, folder.absolute())).as_posix()
    except ValueError:  # on another drive of a Windows computer
        relative = ""
    return replace(image, relative_path=relative)


def _nameless(geometry: Geometry) -> bytes:
    """The header without the fields in which scanners and converters write the patient's name."""
    header = geometry.parsed()
    for field_name in {"descrip", "aux_file", "db_name", "intent_name"} & set(header.keys()):
        header[field_name] = b""
    return bytes(header.binaryblock)


def _info(content: dict[str, Any]) -> StudyInfo:
    header = base64.b64decode(content["geometry"], validate=True)
    if len(header) not in {kind.header_class.sizeof_hdr for kind in nifti_classes()}:
        raise ValueError("The geometry is no NIfTI header.")
    geometry = Geometry(header)
    phases = (None,) if content["phases"] is None else tuple(int(p) for p in content["phases"])
    _check_phases(geometry, phases)
    image = content["image"]
    return StudyInfo(
        case=str(content["case"]),
        image=None if image is None else _source(image),
        geometry=geometry,
        structures={str(name): int(label) for name, label in content["structures"].items()},
        classes=int(content["classes"]),
        phases=phases,
        reports={phase: content["reports"][phase_name(phase)] for phase in phases},
        ed=content["ED"],
        es=content["ES"],
        phases_from=str(content["phases_from"]),
        created=str(content["created"]),
    )


def _source(content: dict[str, Any]) -> SourceImage:
    known = {f.name for f in fields(SourceImage)}
    return SourceImage(**{key: value for key, value in content.items() if key in known})


def _check_phases(geometry: Geometry, phases: tuple[Phase, ...]) -> None:
    """ValueError where the image does not have these phases."""
    shape = geometry.shape
    possible = set(range(1, shape[0] + 1)) if len(shape) == 4 else {None}
    if not phases or not set(phases) <= possible:
        raise ValueError(f"An image of shape {shape} does not have the phases {phases}.")
