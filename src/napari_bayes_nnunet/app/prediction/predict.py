"""Segment image files into an output folder: one case after the other, a bad one stops no other."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.steps import drain
from ...io import DataError
from ...io.ensemble.ensemble_folder import EnsembleFolder
from ...io.files.atomic import replacing, write_json
from ...io.images.integrity import is_image, is_whole
from ...io.images.nifti import (
    Volume,
    case_name,
    channel_files,
    is_further_channel,
    read_labels,
    write_labels,
    write_map,
)
from ...io.search.case_image import CaseImage, case_image
from ...io.study.info import is_study
from ...nnunet import ModelError
from .. import AppError
from ..segmentation.ensemble import Ensemble
from ..segmentation.methods import choose_members
from ..segmentation.result import Segmentation, Snapshot
from ..segmentation.settings import SegmentationSettings
from ..segmentation.temperature import chosen_temperature
from .output_files import MAPS, STUDY_OUTPUT, case_files, frame_name
from .phases import PhaseImage, choose_phases, frames_of, parse_phases
from .resume_check import phases_done, was_made_alike
from .study_output import StudyParts, has_study, study_to_make

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class PredictionRequest:
    """What to segment and what to write. ``phases``: "all", "ED,ES" or numbers from 1, "1,8".

    ``save``: the maps to write, and "study". ``series``: number of the DICOM series to take if a
    folder has several cines; ``folder_names``: DICOM cases are named after their folders.
    """

    images: tuple[Path, ...]
    output: Path
    settings: SegmentationSettings = field(default_factory=SegmentationSettings)
    phases: str = "all"
    save: frozenset[str] = frozenset()
    overwrite: bool = False
    skip_finished: bool = False
    series: int | None = None
    folder_names: bool = False

    @property
    def makes_studies(self) -> bool:
        """Whether every case is to become a study."""
        return STUDY_OUTPUT in self.save


@dataclass(frozen=True, kw_only=True)
class CaseOutcome:
    """How one image ended: ``failure`` is empty or one sentence; ``notes`` are for the user.

    ``phases`` have files (from 1; (None,) for a 3D image).
    """

    case: str
    failure: str = ""
    skipped: bool = False
    notes: tuple[str, ...] = ()
    phases: tuple[int | None, ...] = ()


def predict(
    ensemble: Ensemble,
    request: PredictionRequest,
    *,
    on_member: Callable[[str, Snapshot], None] = lambda frame, snapshot: None,
) -> Iterator[CaseOutcome]:
    """Segment every image of the request and yield how it ended.

    Per 3D image ``<case>.nii.gz``, ``<case>.json`` and the maps asked for are written; the JSON
    file last, so that a case with one is whole. A study ``<case>`` has all phases of the image.
    Raises AppError for a request that cannot be met.
    """
    check_request(ensemble.folder, request)
    seen: set[str] = set()
    for image in request.images:
        if _comes_with_first_channel(image, request.images):
            continue
        case = case_name(image)
        try:
            source = case_image(image, series=request.series, named_by_folder=request.folder_names)
            case = source.case
            _claim([case], seen)
            yield predict_case(ensemble, request, source, on_member=on_member, seen=seen)
        except (DataError, ModelError, AppError) as error:
            named = image.name in str(error)
            yield CaseOutcome(case=case, failure=f"{'' if named else image.name + ': '}{error}")
        except Exception as error:  # nnU-Net may fail on one image in any way; the others go on
            _LOGGER.debug("%s", case, exc_info=True)
            reason = f"{type(error).__name__}: {error}"
            yield CaseOutcome(case=case, failure=f"{image.name} could not be segmented ({reason}).")


def _comes_with_first_channel(image: Path, images: Sequence[Path]) -> bool:
    """Whether ``image`` is a channel ``_0001 …`` of an ``_0000`` that is asked for too."""
    if not is_further_channel(image):
        return False
    first = {path.absolute() for path in images if image.absolute() in _channels_of(path)}
    return bool(first - {image.absolute()})


def _channels_of(image: Path) -> list[Path]:
    return [file.absolute() for file in channel_files(image)]


def check_request(folder: EnsembleFolder, request: PredictionRequest) -> None:
    """Make the output folder. Raises AppError where the request cannot be met by the ensemble."""
    parse_phases(request.phases)
    known = (*MAPS, STUDY_OUTPUT)
    unknown = sorted(request.save - set(known))
    if unknown:
        raise AppError(f"--save takes {', '.join(known)}, not {', '.join(unknown)}.")
    if request.overwrite and request.skip_finished:
        raise AppError("--overwrite and --continue exclude each other.")
    choose_members(folder, request.settings.method, request.settings.members)
    chosen_temperature(folder, request.settings)
    try:
        request.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AppError(f"{request.output} cannot be used as a folder: {error.strerror}.") from error


def predict_case(
    ensemble: Ensemble,
    request: PredictionRequest,
    source: CaseImage,
    *,
    on_member: Callable[[str, Snapshot], None] = lambda frame, snapshot: None,
    seen: set[str],
) -> CaseOutcome:
    """Segment one image; the names of its frames are added to those ``seen`` in this call.

    Raises DataError, ModelError or AppError, and whatever nnU-Net raises.
    """
    image, case = source.path, source.case
    _refuse_inside_a_study(request.output)
    if done := _finished_before(ensemble, request, source):
        _claim(_further_names(case, done), seen)
        return CaseOutcome(case=case, skipped=True, phases=done)
    channels = source.read()
    _refuse_existing([case], request, image)
    phases, notes, about = choose_phases(ensemble, request.phases, image, channels)
    frames = frames_of(case, channels, phases)
    about |= {"image_sha256": source.sha256} if source.is_file else {}
    _claim(_further_names(case, [frame.phase for frame in frames]), seen)
    _refuse_existing([frame.name for frame in frames], request, image)
    study = _study_to_make(request, case, frames)
    # A study needs all members of all phases, of which nothing else is kept.
    missing = [
        frame
        for frame in frames
        if study is not None or not _is_finished(ensemble, request, frame.name, source)
    ]
    if missing and missing[0].phase is not None:
        # The labels of all phases would be those of another result.
        (request.output / f"{case}.nii.gz").unlink(missing_ok=True)
    if request.overwrite and "ED" in about and parse_phases(request.phases) == "ED,ES":
        _remove_other_phases(request, case, channels[0].phases, frames)
    together = ensemble.phases_at_once(frames[0].image, request.settings.mirroring)
    for first in range(0, len(missing), together):
        group = missing[first : first + together]
        results = _segment(ensemble, request, group, on_member)
        for frame, result in zip(group, results, strict=True):
            report = _write(request, frame, result, about)
            place = "" if frame.phase is None else f"Phase {frame.phase}: "
            notes += [*(f"{place}{warning}" for warning in result.warnings), *result.notes]
            if study is not None:
                study.add(frame.phase, result, report)
    if channels[0].is_cine and len(frames) == channels[0].phases:
        _write_cine(request, case, channels[0], frames)
    if study is not None:
        study.write(case, channels[0], ensemble.structures, len(ensemble.folder.labels))
    return CaseOutcome(
        case=case,
        skipped=not missing,
        notes=tuple(dict.fromkeys(notes)),
        phases=tuple(frame.phase for frame in frames),
    )


def _finished_before(
    ensemble: Ensemble, request: PredictionRequest, source: CaseImage
) -> tuple[int | None, ...]:
    """The phases of a case of which all is there that is asked for; () where something is not."""
    if not request.skip_finished:
        return ()
    asked, case = parse_phases(request.phases), source.case
    phases = phases_done(request.output, case, asked)
    names = [frame_name(case, phase) for phase in phases]
    if asked == "all" and not is_whole(request.output / f"{case}.nii.gz"):
        return ()
    # Parts of a study that was never whole are made anew, however they were made.
    if request.makes_studies and not has_study(request.output / case, phases):
        return ()
    if not all(_is_finished(ensemble, request, name, source) for name in names):
        return ()
    return phases


def _further_names(case: str, phases: Iterable[int | None]) -> list[str]:
    """Names of the files of a cine's phases."""
    return [frame_name(case, phase) for phase in phases if phase is not None]


def _study_to_make(
    request: PredictionRequest, case: str, frames: Sequence[PhaseImage]
) -> StudyParts | None:
    """What the study is collected in; None where none is to be written."""
    if not request.makes_studies:
        return None
    return study_to_make(
        request.output / case,
        [frame.phase for frame in frames],
        overwrite=request.overwrite,
        skip_finished=request.skip_finished,
    )


def _claim(names: Sequence[str], seen: set[str]) -> None:
    """Raise AppError where another image of this call has one of the names."""
    if taken := sorted(seen.intersection(names)):
        raise AppError(f"another image is called {taken[0]} too.")
    seen.update(names)


def _is_finished(
    ensemble: Ensemble, request: PredictionRequest, name: str, source: CaseImage
) -> bool:
    """Whether all was written that is asked for; the report is written last.

    Raises AppError where it was made in another way than is asked for now.
    """
    files = {key: request.output / file for key, file in case_files(name, request.save).items()}
    if not (request.skip_finished and all(map(is_whole, files.values()))):
        return False
    return was_made_alike(files["report"], ensemble.folder, request.settings, image=source.sha256)


def _segment(
    ensemble: Ensemble,
    request: PredictionRequest,
    frames: Sequence[PhaseImage],
    on_member: Callable[[str, Snapshot], None],
) -> list[Segmentation]:
    steps = ensemble.phase_steps(
        [frame.image for frame in frames],
        frames[0].channels[0].spacing,
        request.settings,
        keep_members=request.makes_studies,
    )

    def show(snapshots: Mapping[int, Snapshot]) -> None:
        for index, snapshot in snapshots.items():
            on_member(frames[index].name, snapshot)

    return drain(steps, show)


def _write(
    request: PredictionRequest, frame: PhaseImage, result: Segmentation, about: dict[str, Any]
) -> dict[str, Any]:
    """Write the files of a 3D image and return its report."""
    like = frame.channels[0]
    files = {k: request.output / f for k, f in case_files(frame.name, request.save).items()}
    report = {"case": frame.name, "image": like.source.name, "phase": frame.phase, **about}
    report |= result.report()
    try:
        for outdated in case_files(frame.name, frozenset(MAPS)).values():
            (request.output / outdated).unlink(missing_ok=True)  # of another result
        if "entropy" in files:
            write_map(files["entropy"], result.entropy, like)
        if "mutual-information" in files:
            write_map(files["mutual-information"], result.mutual_information, like)
        if "probabilities" in files:
            write_probabilities(files["probabilities"], result.probabilities)
        write_labels(files["labels"], result.labels, like)
        write_json(files["report"], report)
    except OSError as error:
        raise DataError(f"{request.output} cannot be written to: {error.strerror}.") from error
    return report


def write_probabilities(path: Path, probabilities: NDArray[np.float32]) -> None:
    """Write (C, Z, Y, X) float32 probabilities under the key ``probabilities``, compressed."""
    with replacing(path) as temporary:
        np.savez_compressed(temporary, probabilities=probabilities)


def _write_cine(
    request: PredictionRequest, case: str, like: Volume, frames: Sequence[PhaseImage]
) -> None:
    """All phases' labels as one 4D file, read back from the frames: some may be from before."""
    parts = [read_labels(request.output / f"{frame.name}.nii.gz").voxels for frame in frames]
    write_labels(request.output / f"{case}.nii.gz", np.stack(parts), like)


def _refuse_existing(names: Sequence[str], request: PredictionRequest, image: Path) -> None:
    files = [
        request.output / file for name in names for file in case_files(name, request.save).values()
    ]
    existing = [file for file in files if file.exists()]
    if any(file.samefile(image) for file in existing):
        raise AppError("The labels would replace the image itself; choose another output folder.")
    labels = (request.output / f"{name}.nii.gz" for name in names)
    if foreign := [file for file in labels if is_image(file)]:
        raise AppError(
            f"The labels would replace {foreign[0]}, which is an image; choose another output "
            "folder."
        )
    if existing and not (request.overwrite or request.skip_finished):
        raise AppError(
            f"{existing[0].name} exists in {request.output}; use --overwrite to replace it or "
            "--continue to do only what is missing."
        )


def _refuse_inside_a_study(output: Path) -> None:
    """Raise AppError where results could replace a reader's corrections."""
    if study := next((place for place in (output, *output.parents) if is_study(place)), None):
        raise AppError(f"The results would lie in the study {study}; choose another output folder.")


def _remove_other_phases(
    request: PredictionRequest, case: str, phases: int, frames: Sequence[PhaseImage]
) -> None:
    """Results of what were ED and ES before: they would be taken for these."""
    for phase in set(range(1, phases + 1)) - {frame.phase for frame in frames}:
        files = case_files(frame_name(case, phase), MAPS)
        if (request.output / files["report"]).is_file():
            for file in files.values():
                (request.output / file).unlink(missing_ok=True)
