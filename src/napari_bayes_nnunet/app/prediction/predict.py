"""Segmentation of image files into an output folder, case by case even if some fail."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from ...core.ensemble.maps import MAPS
from ...core.problems import Action, Problem, Remedy, Setting
from ...core.steps import drain
from ...io import DataError
from ...io.dataset.phase_pairs import examination_of
from ...io.files.atomic import removing_if_empty
from ...io.files.case_names import result_name, same_file_key
from ...io.files.disk import is_disk_full
from ...io.images.integrity import is_whole
from ...io.images.nifti import Volume, case_name, channel_files, is_further_channel
from ...io.search.case_image import CaseImage, case_image
from ...io.study.case_report import is_no_cine, read_report
from ...io.study.info import STUDY_FILE, read_study_info
from .. import AppError
from ..report.output_folder import refuse_folder_of_inputs
from ..segmentation.calibration import find_image_rule
from ..segmentation.ensemble import Ensemble
from ..segmentation.pass_plan import PassPlan
from ..segmentation.recipe import Recipe
from ..segmentation.result import Segmentation, Snapshot
from .function_entry import OUTDATED, read_pairs, update_function
from .geometry_report import with_geometry
from .output_files import (
    case_files,
    disk_full,
    frame_name,
    refuse_inside_study,
    refuse_replacing,
    remove_case,
    write_case,
    write_cine,
)
from .output_lock import locked_case
from .phases import PhaseImage, choose_phases, finished_phases, parse_phases, phase_images
from .request import CaseOutcome, PredictionRequest, check_request
from .study_output import StudyParts, has_study, refuse_outdating_study, start_study
from .write_behind import WriteBehind

MADE_BY_UNKNOWN = "The study {study} does not record the ensemble and settings it was made with."
NAME_TAKEN = (
    "Another image is also called {name}, or differs from it only in upper and lower case. Rename "
    "one of the two."
)
KIND_UNKNOWN = (
    "Images that may not be a short-axis cine cannot be refused, because the ensemble is not "
    "calibrated to recognise them, which takes 40 or more training images."
)
NO_MAP_OF_SINGLE = "{method} is a single model, so it has no {map}."
Segmented: TypeAlias = Sequence[tuple[PhaseImage, Segmentation]]
_LOGGER = logging.getLogger(__name__)


def predict(
    ensemble: Ensemble,
    request: PredictionRequest,
    *,
    on_member: Callable[[str, Snapshot], None] = lambda frame, snapshot: None,
) -> Iterator[CaseOutcome]:
    """Segment every image of the request and yield its outcome.

    Writes ``<case>.nii.gz``, the requested maps and ``<case>.json`` for each 3D image, the JSON
    file last, so that a case with this file is complete. A study ``<case>`` has all phases of the
    image. Raises AppError if the request cannot be met, or when the disk is full.
    """
    refuse_folder_of_inputs(request.output, {})
    with removing_if_empty(request.output):
        check_request(ensemble.folder, request)
        yield from _outcomes(ensemble, request, on_member)


def _outcomes(
    ensemble: Ensemble, request: PredictionRequest, on_member: Callable[[str, Snapshot], None]
) -> Iterator[CaseOutcome]:
    seen: set[str] = set()
    examinations: dict[str, list[str]] = defaultdict(list)
    for image in request.images:
        if _comes_with_first_channel(image, request.images):
            continue
        case = result_name(case_name(image))
        try:
            source = case_image(
                image,
                series=request.series,
                named_by_folder=request.folder_names,
                anyway=request.anyway,
            )
            case = source.case
            _claim_names([case], seen)
            with locked_case(request.output, case):
                outcome = predict_case(ensemble, request, source, on_member=on_member, seen=seen)
            if examination := examination_of(case):
                examinations[examination].append(case)
                pair = read_pairs(request.output, examinations[examination]).get(case)
                if pair is not None and not outcome.skipped:
                    outcome = replace(outcome, notes=(*outcome.notes, *pair.warnings))
        except Exception as error:  # nnU-Net may fail on an image in any way; others continue
            if is_disk_full(error):
                raise disk_full(request.output) from error
            _LOGGER.debug("%s", case, exc_info=True)
            outcome = CaseOutcome(case=case, failure=_failure(image, error))
        yield outcome


def _failure(image: Path, error: Exception) -> str:
    """Return the sentence on an image that could not be segmented."""
    if isinstance(error, Problem):
        return f"{'' if image.name in str(error) else image.name + ': '}{error}"
    return f"{image.name} could not be segmented ({type(error).__name__}: {error})."


def _comes_with_first_channel(image: Path, images: Sequence[Path]) -> bool:
    """Return whether ``image`` is a channel ``_0001 …`` of a requested ``_0000``."""
    if not is_further_channel(image):
        return False
    first = {path.absolute() for path in images if image.absolute() in _channels_of(path)}
    return bool(first - {image.absolute()})


def _channels_of(image: Path) -> list[Path]:
    return [file.absolute() for file in channel_files(image)]


def predict_case(
    ensemble: Ensemble,
    request: PredictionRequest,
    source: CaseImage,
    *,
    on_member: Callable[[str, Snapshot], None] = lambda frame, snapshot: None,
    seen: set[str],
) -> CaseOutcome:
    """Segment one image and add the names of its frames to ``seen``.

    Raises DataError, ModelError or AppError, and any error of nnU-Net.
    """
    image, case = source.path, source.case
    refuse_inside_study(request.output)
    run_notes: list[str] = []
    no_maps = [m for m in MAPS.values() if m.needs_members and m.name in request.save]
    if no_maps and _is_single(ensemble, request):
        request = replace(request, save=request.save - {m.name for m in no_maps})
        method = request.settings.method
        run_notes += [NO_MAP_OF_SINGLE.format(method=method, map=m.title) for m in no_maps]
    if request.strict:
        _refuse_unknown_kind(ensemble)
    if done := _finished_before(ensemble, request, source):
        _claim_names(_further_names(case, done), seen)
        update_function(request.output, case, done)  # a killed run may have left it out
        return CaseOutcome(case=case, skipped=True, phases=done)
    channels = _with_given_spacing(request, source.read())
    _refuse_replacing(request, [case], image)
    phases, notes, entries = choose_phases(ensemble, request.phases, image, channels)
    frames = phase_images(case, channels, phases)
    entries |= {**source.checksums, "notes": [*notes]}
    _claim_names(_further_names(case, [frame.phase for frame in frames]), seen)
    _refuse_replacing(request, [frame.name for frame in frames], image)
    study = _start_study(ensemble, request, source, [frame.phase for frame in frames])
    # A study needs the members' labels of all phases, which only a new segmentation gives.
    missing = [
        frame
        for frame in frames
        if study is not None or not _is_finished(ensemble, request, frame.name, source)
    ]
    notes += run_notes
    with WriteBehind(is_used=ensemble.is_on_card) as behind:
        for number, segmented in enumerate(_groups(ensemble, request, missing, on_member)):
            if number == 0:
                _remove_old(request, case, channels[0].phases, frames, missing, entries)
            behind.call(partial(_write_group, request, segmented, entries, study, notes))
            run_notes += (note for _, result in segmented for note in result.run_notes)
    if channels[0].is_cine and len(frames) == channels[0].phases:
        write_cine(request.output, case, [frame.name for frame in frames], channels[0])
    notes += update_function(request.output, case, [frame.phase for frame in frames])
    if study is not None:
        study.write(case, channels[0], ensemble.structures, len(ensemble.folder.labels))
    return CaseOutcome(
        case=case,
        skipped=not missing,
        notes=tuple(dict.fromkeys(notes)),
        run_notes=frozenset(run_notes),
        phases=tuple(frame.phase for frame in frames),
    )


def _is_single(ensemble: Ensemble, request: PredictionRequest) -> bool:
    """Return whether one pass makes the result, so that there is no disagreement."""
    return len(PassPlan(folder=ensemble.folder, settings=request.settings).passes) == 1


def _refuse_unknown_kind(ensemble: Ensemble) -> None:
    """Raise AppError if nothing tells short-axis cines from other images."""
    found = find_image_rule(ensemble.folder)
    if found is None or found[0].cine is None:
        raise AppError(KIND_UNKNOWN, Remedy(Action.OMIT, {"setting": Setting("strict")}))


def _refuse_other_images(results: Iterable[Segmentation]) -> None:
    """Raise AppError if an image may not be a short-axis cine."""
    if reason := next((result.no_cine for result in results if result.no_cine), ""):
        raise AppError(
            "{reason}", Remedy(Action.OMIT, {"setting": Setting("strict")}), reason=reason
        )


def _remove_old(
    request: PredictionRequest,
    case: str,
    phases: int,
    frames: Sequence[PhaseImage],
    missing: Sequence[PhaseImage],
    entries: Mapping[str, Any],
) -> None:
    """Delete earlier results that would not belong to the new ones, even if this run is killed."""
    if missing and missing[0].phase is not None:
        replaced = {frame.phase for frame in missing}
        update_function(request.output, case, range(1, phases + 1), replaced=replaced)
        # It would have labels of phases from another result.
        (request.output / f"{case}.nii.gz").unlink(missing_ok=True)
    if request.overwrite and "ED" in entries and parse_phases(request.phases) == "ED,ES":
        _remove_other_phases(request.output, case, phases, frames)


def _with_given_spacing(
    request: PredictionRequest, channels: tuple[Volume, ...]
) -> tuple[Volume, ...]:
    """Return the channels with the spacing of the request, if it has one."""
    if request.spacing is None:
        return channels
    return tuple(channel.with_spacing(request.spacing) for channel in channels)


def _finished_before(
    ensemble: Ensemble, request: PredictionRequest, source: CaseImage
) -> tuple[int | None, ...]:
    """Return the phases of a case if all its requested files are complete, else ()."""
    if not request.skip_finished:
        return ()
    choice, case = parse_phases(request.phases), source.case
    phases = finished_phases(request.output, case, choice)
    names = [frame_name(case, phase) for phase in phases]
    if choice == "all" and not is_whole(request.output / f"{case}.nii.gz"):
        return ()
    # Parts of an incomplete study are made again, whatever their settings.
    if request.makes_studies and not has_study(request.output / case, phases):
        return ()
    if not all(_is_finished(ensemble, request, name, source) for name in names):
        return ()
    if request.makes_studies:
        _check_study(ensemble, request, source, phases)
    return phases


def _further_names(case: str, phases: Iterable[int | None]) -> list[str]:
    """Return the names of a cine's phases."""
    return [frame_name(case, phase) for phase in phases if phase is not None]


def _check_study(
    ensemble: Ensemble, request: PredictionRequest, source: CaseImage, phases: Sequence[int | None]
) -> None:
    """Raise AppError if the complete study of a case has another ensemble, settings or image."""
    folder = request.output / source.case
    reports, requested = read_study_info(folder).reports, _recipe(ensemble, request, source)
    for phase in phases:
        try:
            made = Recipe.of_report(reports[phase])
        except (KeyError, ValueError) as error:
            raise AppError(MADE_BY_UNKNOWN, Action.OVERWRITE, study=folder) from error
        made.check(requested, folder / STUDY_FILE)


def _recipe(ensemble: Ensemble, request: PredictionRequest, source: CaseImage) -> Recipe:
    """Return the recipe that finished results of an image must have."""
    folder, image = ensemble.folder, source.checksums
    return Recipe.of_request(folder, request.settings, image=image, spacing=request.spacing)


def _start_study(
    ensemble: Ensemble, request: PredictionRequest, source: CaseImage, phases: Sequence[int | None]
) -> StudyParts | None:
    """Return an empty study for the phases, or None if no study is to be written.

    Raises AppError if a finished study to be kept has another ensemble, settings or image, or would
    be of an earlier run than its report.
    """
    folder = request.output / source.case
    if not request.makes_studies:
        if not request.skip_finished:
            refuse_outdating_study(folder)
        return None
    if request.skip_finished and has_study(folder, phases):
        _check_study(ensemble, request, source, phases)
        return None
    return start_study(folder, may_replace=request.overwrite or request.skip_finished)


def _claim_names(names: Sequence[str], seen: set[str]) -> None:
    """Add the names to ``seen``. Raises AppError if a file system may confuse one with another."""
    if taken := [name for name in names if same_file_key(name) in seen]:
        raise AppError(NAME_TAKEN, name=taken[0])
    seen.update(map(same_file_key, names))


def _is_finished(
    ensemble: Ensemble, request: PredictionRequest, name: str, source: CaseImage
) -> bool:
    """Return whether all requested files of a 3D image are complete.

    In a strict run those of an image that may not be a short-axis cine are not, so that it
    is refused as in a new run. Raises AppError if another recipe made them.
    """
    files = {key: request.output / file for key, file in case_files(name, request.save).items()}
    if not (request.skip_finished and all(map(is_whole, files.values()))):
        return False
    try:
        report = read_report(files["report"])
        made = Recipe.of_report(report)
    except (DataError, FileNotFoundError, ValueError):
        return False
    made.check(_recipe(ensemble, request, source), files["report"])
    return OUTDATED not in report and not (request.strict and is_no_cine([report]))


def _groups(
    ensemble: Ensemble,
    request: PredictionRequest,
    frames: Sequence[PhaseImage],
    on_member: Callable[[str, Snapshot], None],
) -> Iterator[Segmented]:
    """Yield the segmentations of the frames that fill the device together, group by group."""
    mirroring = request.settings.mirroring
    together = ensemble.phases_at_once(frames[0].image, mirroring) if frames else 1
    for first in range(0, len(frames), together):
        group = frames[first : first + together]
        following = frames[first + together : first + 2 * together]
        spacing = group[0].channels[0].spacing
        ensemble.prepare_ahead((frame.image for frame in following), spacing)
        yield [*zip(group, _segment(ensemble, request, group, on_member), strict=True)]


def _segment(
    ensemble: Ensemble,
    request: PredictionRequest,
    frames: Sequence[PhaseImage],
    on_member: Callable[[str, Snapshot], None],
) -> list[Segmentation]:
    """Return the segmentation of each image. Raises AppError if a strict run refuses one."""
    first = frames[0].channels[0]
    steps = ensemble.phase_steps(
        [frame.image for frame in frames],
        first.spacing,
        request.settings,
        keep_members=request.makes_studies,
        doubt=None if request.anyway else first.doubt,
    )

    def show(snapshots: Mapping[int, Snapshot]) -> None:
        for index, snapshot in snapshots.items():
            on_member(frames[index].name, snapshot)

    results = drain(steps, show)
    if request.strict:
        _refuse_other_images(results)
    return results


def _write_group(
    request: PredictionRequest,
    segmented: Segmented,
    entries: Mapping[str, Any],
    study: StudyParts | None,
    notes: list[str],
) -> None:
    """Write the files of 3D images, and add them to the study and their warnings to ``notes``."""
    for frame, result in segmented:
        report = _write(request, frame, result, entries)
        prefix = "" if frame.phase is None else f"Phase {frame.phase}: "
        notes += [*(f"{prefix}{warning}" for warning in result.warnings), *report["notes"]]
        if study is not None:
            study.add(frame.phase, result, report)


def _write(
    request: PredictionRequest, frame: PhaseImage, result: Segmentation, entries: Mapping[str, Any]
) -> dict[str, Any]:
    """Write the files of a 3D image and return its report."""
    like = frame.channels[0]
    report = {"case": frame.name, "image": like.source.name, "phase": frame.phase, **entries}
    report |= with_geometry(result.report(), like.geometry)
    report["notes"] = [*entries["notes"], *report["notes"], *map(str, like.notes)]
    arrays = {**result.maps, "probabilities": result.probabilities}
    arrays = {key: values for key, values in arrays.items() if key in request.save}
    write_case(request.output, frame.name, result.labels, arrays, report, like=like.geometry)
    return report


def _refuse_replacing(request: PredictionRequest, names: Sequence[str], image: Path) -> None:
    may_replace = request.overwrite or request.skip_finished
    refuse_replacing(request.output, names, image, maps=request.save, may_replace=may_replace)


def _remove_other_phases(
    folder: Path, case: str, phases: int, frames: Sequence[PhaseImage]
) -> None:
    """Delete results of earlier ED and ES phases, which could be mistaken for the new ones."""
    for phase in set(range(1, phases + 1)) - {frame.phase for frame in frames}:
        name = frame_name(case, phase)
        if (folder / case_files(name, ())["report"]).is_file():
            remove_case(folder, name)
