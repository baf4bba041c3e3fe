"""Segmentation of image files into an output folder, case by case even if some fail."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ...core.ensemble.maps import MAPS
from ...core.ensemble.stored_posterior import StoredPosterior
from ...core.heart.measurements import volumes_ml
from ...core.heart.site_profile import draw_by_profile
from ...core.heart.slice_volumes import base_is_first, heart_structures
from ...core.problems import Action, Problem, Remedy, Setting, change
from ...core.steps import drain
from ...core.types import Phase
from ...io import DataError
from ...io.dataset.phase_pairs import examination_of
from ...io.files.atomic import removing_if_empty
from ...io.files.case_names import result_name, same_file_key
from ...io.files.disk import is_disk_full
from ...io.files.json_files import parse_json
from ...io.files.limits import read_small
from ...io.images.integrity import is_whole, nifti_header, phase_count
from ...io.images.nifti import Volume, case_name, channel_files, is_further_channel, read_info_cfg
from ...io.search.case_image import CaseImage, case_image
from ...io.study.case_report import is_no_cine, read_report
from ...io.study.info import STUDY_FILE, SourceImage, StudyInfo, is_study, read_study_info
from ...io.study.study import check_replaceable, files_of_study, write_study
from .. import AppError
from ..report.output_folder import refuse_folder_of_inputs
from ..segmentation.calibration import (
    Calibration,
    calibration_checksum,
    find_calibration,
    find_image_rule,
)
from ..segmentation.ensemble import Ensemble, PassPlan
from ..segmentation.image_check import note_on_left_out, usable_phases
from ..segmentation.recipe import Recipe
from ..segmentation.result import (
    FEWEST_FOR_LOOKS,
    FirstLook,
    Segmentation,
    Snapshot,
    stored_posterior,
)
from .function_entry import OUTDATED, read_pairs, update_function
from .output_files import (
    FOUND_BY_VOLUME,
    INFO_CFG,
    case_files,
    disk_full,
    frame_name,
    locked_case,
    refuse_inside_study,
    refuse_replacing,
    remove_case,
    with_geometry,
    write_case,
    write_cine,
)
from .request import CaseOutcome, PredictionRequest, check_request, parse_phases

MADE_BY_UNKNOWN = "The study {study} does not record the ensemble and settings it was made with."
NAME_TAKEN = (
    "Another image is also called {name}, or differs from it only in upper and lower case. Rename "
    "one of the two."
)
KIND_UNKNOWN = (
    "Images that may not be a short-axis cine cannot be refused, because the ensemble is not "
    "calibrated to recognise them, which takes 40 or more training images."
)
BASE_STAYS = (
    "The base stays as the ensemble draws it, not as in the profile {profile}, because it is not "
    "known whether this is end-systole."
)
OTHER_INTERVALS = (
    "The intervals of the profile {profile} are for another calibration or scanner, so they are "
    "not used. Learn the profile again from studies of this ensemble, settings and scanner."
)
NO_MAP_OF_SINGLE = "{method} has a single member, so it has no {map}."
_LOGGER = logging.getLogger(__name__)
WAITS: Final = 30.0
"""Seconds to wait for another process: a disconnected worker may still write the same study."""
_MOST_PHASES: Final = 100
"""Phases searched for ED and ES; a cine with later ones is read again."""


@dataclass(frozen=True)
class PhaseImage:
    """3D image to segment: a volume, or a phase of a cine."""

    name: str
    phase: int | None
    channels: tuple[Volume, ...]

    @property
    def image(self) -> NDArray[Any]:
        """(channels, Z, Y, X)."""
        return np.stack([channel.voxels for channel in self.channels])


def choose_phases(
    ensemble: Ensemble,
    request: PredictionRequest,
    image: Path,
    channels: tuple[Volume, ...],
    *,
    on_look: Callable[[int, FirstLook], None] = lambda phase, look: None,
) -> tuple[list[int] | None, list[str], dict[str, Any]]:
    """Return the phases to segment (None: no cine), notes, and entries of the report.

    Raises AppError or DataError.
    """
    if not channels[0].is_cine:
        return None, [], {}
    choice = parse_phases(request.phases)
    count = channels[0].phases
    every = list(range(1, count + 1))
    if choice != "ED,ES":
        ends, notes = _info_phases(image, count)
        # A profile draws ES before all phases are measured.
        if ends or choice != "all" or not request.profile.draws_es:
            phases = every if choice == "all" else list(map(int, choice))
            return phases, notes, {"phases": count, **ends}
    info, left_out = read_info_cfg(image.parent, count), ""
    if info is not None:
        ed, es, source = info.ed, info.es, INFO_CFG
    else:
        stack = np.stack([channel.voxels for channel in channels])
        kept = request.settings.largest_component
        ed, es = ensemble.find_phases(
            stack, channels[0].spacing, largest_component=kept, on_look=on_look
        )
        source = FOUND_BY_VOLUME
        left_out = note_on_left_out(usable_phases(stack, channels[0].spacing), count)
    note = f"ED is phase {ed}, ES is phase {es} ({source})."
    entries = {"phases": count, "ED": ed, "ES": es, "phases_from": source}
    phases = every if choice == "all" else sorted({ed, es})
    return phases, [note, *filter(None, [left_out])], entries


def _info_phases(image: Path, count: int) -> tuple[dict[str, Any], list[str]]:
    """Return ED and ES of the Info.cfg next to the image, or a note if it is unusable."""
    try:
        info = read_info_cfg(image.parent, count)
    except DataError as error:
        return {}, [str(error)]
    return {} if info is None else {"ED": info.ed, "ES": info.es, "phases_from": INFO_CFG}, []


def phase_images(
    case: str, channels: tuple[Volume, ...], phases: list[int] | None
) -> list[PhaseImage]:
    """Return the 3D images to segment: the phases of a cine, or the volume if there are none."""
    if phases is None:
        return [PhaseImage(case, None, channels)]
    return [
        PhaseImage(frame_name(case, phase), phase, tuple(c.frame(phase) for c in channels))
        for phase in phases
    ]


def finished_phases(output: Path, case: str, choice: list[int] | str) -> tuple[int | None, ...]:
    """Return the phases of ``choice`` if the case seems to have files of them, else ().

    The image is not read: a volume has one report, "all" phases have a file of their own, and the
    reports of ED and ES name them.
    """
    if (output / f"{case}.json").is_file():
        return (None,)
    if isinstance(choice, list):
        return tuple(choice)
    if choice == "all":
        header = nifti_header(output / f"{case}.nii.gz")
        return () if header is None else tuple(range(1, phase_count(header) + 1))
    # File by file, because listing a folder of a hundred thousand cases takes too long.
    for phase in range(1, _MOST_PHASES + 1):
        try:
            file = output / f"{frame_name(case, phase)}.json"
            report = parse_json(read_small(file), dict[str, Any])
            return tuple(sorted({int(report["ED"]), int(report["ES"])}))
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return ()


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
    # A request that is refused leaves no folder that it has made.
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
        # For the outcome, if the image cannot be read.
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
        # Many sentences name the file already.
        return f"{'' if image.name in str(error) else image.name + ': '}{error}"
    return f"{image.name} could not be segmented ({type(error).__name__}: {error})."


def _comes_with_first_channel(image: Path, images: Sequence[Path]) -> bool:
    """Return whether ``image`` is a channel ``_0001 …`` of a requested ``_0000``."""
    if not is_further_channel(image):
        return False
    # One file may be given by a relative and by an absolute path.
    own = image.absolute()
    others = (path for path in images if path.absolute() != own)
    return any(own in map(Path.absolute, channel_files(path)) for path in others)


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
    refuse_inside_study(request.output)
    case = _Case(ensemble, request, source, seen, on_member)
    case.leave_out_maps()
    if request.strict:
        case.refuse_unknown_kind()
    return case.finished_before() or case.segment()


@dataclass
class _Case:
    """One image on its way to its files; ``frames`` are its 3D images.

    ``entries`` are those of every report, ``notes`` on the image, ``run_notes`` on the run. For a
    study it keeps the ``posteriors`` and reports of the phases, about 10 MB each for 12 x 256 x 256
    voxels, and the labels of the first ``looks``; without one, ``posteriors`` is None.
    """

    ensemble: Ensemble
    request: PredictionRequest
    source: CaseImage
    seen: set[str]
    on_member: Callable[[str, Snapshot], None]
    frames: list[PhaseImage] = field(default_factory=list)
    scanner: str = ""
    entries: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    run_notes: list[str] = field(default_factory=list)
    posteriors: dict[Phase, StoredPosterior] | None = None
    looks: dict[Phase, NDArray[np.uint8]] = field(default_factory=dict)
    reports: dict[Phase, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Name of the case."""
        return self.source.case

    @cached_property
    def recipe(self) -> Recipe:
        """Recipe that finished results of the image must have."""
        return Recipe.of_request(
            self.ensemble.folder,
            self.request.settings,
            image=self.source.checksums,
            spacing=self.request.spacing,
            profile=self.request.profile,
        )

    def _notes_on_profile(self) -> Iterator[str]:
        """Yield what the profile says, and that its intervals are of another calibration."""
        profile = self.request.profile
        yield from profile.sentences
        calibration = find_calibration(self.ensemble.folder, self.request.settings)
        if profile.intervals and not self._site_intervals(calibration):
            yield OTHER_INTERVALS.format(profile=profile.name)

    def _site_intervals(
        self, calibration: Calibration | None
    ) -> Mapping[str, tuple[float, float]] | None:
        """Return the intervals of the profile for the image, see `SiteProfile.intervals_for`."""
        own = calibration_checksum(calibration.to_report() if calibration else None)
        return self.request.profile.intervals_for(own, self.scanner)

    def leave_out_maps(self) -> None:
        """Save no map of the disagreement if one pass makes the result, and say so."""
        request = self.request
        no_maps = [m for m in MAPS.values() if m.needs_members and m.name in request.save]
        plan = PassPlan(folder=self.ensemble.folder, settings=request.settings)
        if no_maps and len(plan.passes) == 1:
            self.request = replace(request, save=request.save - {m.name for m in no_maps})
            method = request.settings.method
            self.run_notes += [NO_MAP_OF_SINGLE.format(method=method, map=m.title) for m in no_maps]

    def refuse_unknown_kind(self) -> None:
        """Raise AppError if nothing tells short-axis cines from other images."""
        found = find_image_rule(self.ensemble.folder)
        if found is None or found[0].cine is None:
            raise AppError(KIND_UNKNOWN, Remedy(Action.OMIT, {"setting": Setting("strict")}))

    def finished_before(self) -> CaseOutcome | None:
        """Return the outcome if all requested files are complete, which needs not read the image.

        Raises AppError if another recipe made them.
        """
        request, output = self.request, self.request.output
        if not request.skip_finished:
            return None
        choice = parse_phases(request.phases)
        phases = finished_phases(output, self.name, choice)
        if choice == "all" and not is_whole(output / f"{self.name}.nii.gz"):
            return None
        # Parts of an incomplete study are made again, whatever their settings.
        if request.makes_studies and not has_study(output / self.name, phases):
            return None
        names = [frame_name(self.name, phase) for phase in phases]
        if not names or not all(map(self._is_finished, names)):
            return None
        if request.makes_studies:
            self._check_study(phases)
        _claim_names(_further_names(self.name, phases), self.seen)
        update_function(output, self.name, phases)  # a killed run may have left it out
        return CaseOutcome(case=self.name, skipped=True, phases=phases)

    def segment(self) -> CaseOutcome:
        """Segment the phases that are not finished, and write all that they have together."""
        output, image = self.request.output, self.source.path
        channels = self.source.read()
        if self.request.spacing is not None:
            channels = tuple(c.with_spacing(self.request.spacing) for c in channels)
        # At once, because finding ED and ES takes a while.
        self._refuse_replacing([self.name])
        phases, notes, entries = choose_phases(
            self.ensemble, self.request, image, channels, on_look=self._keep_look
        )
        self.frames = phase_images(self.name, channels, phases)
        self.scanner = channels[0].patient.scanner
        done = tuple(frame.phase for frame in self.frames)
        self.entries = {**entries, **self.source.checksums, "notes": [*notes]}
        self.run_notes += self._notes_on_profile()
        self.notes += [*notes, *self.run_notes]
        _claim_names(_further_names(self.name, done), self.seen)
        self._refuse_replacing([frame.name for frame in self.frames])
        self._begin_study(done)
        self._look_at_all(channels)
        # A study needs the members' labels of all phases, which only a new segmentation gives.
        is_study = self.posteriors is not None
        missing = [f for f in self.frames if is_study or not self._is_finished(f.name)]
        self._segment_frames(missing)
        if channels[0].is_cine and len(self.frames) == channels[0].phases:
            write_cine(output, self.name, [frame.name for frame in self.frames], channels[0])
        self.notes += update_function(output, self.name, done)
        if self.posteriors is not None:
            self._write_study(channels[0], self.posteriors)
        return CaseOutcome(
            case=self.name,
            skipped=not missing,
            notes=tuple(dict.fromkeys(self.notes)),
            run_notes=frozenset(self.run_notes),
            phases=done,
        )

    def _is_finished(self, name: str) -> bool:
        """Return whether all requested files of a 3D image are complete.

        In a strict run those of an image that may not be a short-axis cine are not, so that it
        is refused as in a new run. Raises AppError if another recipe made them.
        """
        request = self.request
        files = {key: request.output / file for key, file in case_files(name, request.save).items()}
        if not (request.skip_finished and all(map(is_whole, files.values()))):
            return False
        try:
            report = read_report(files["report"])
            made = Recipe.of_report(report)
        except (DataError, FileNotFoundError, ValueError):
            return False
        made.check(self.recipe, files["report"])
        return OUTDATED not in report and not (request.strict and is_no_cine([report]))

    def _check_study(self, phases: Sequence[int | None]) -> None:
        """Raise AppError if the complete study has another ensemble, settings or image."""
        folder = self.request.output / self.name
        reports = read_study_info(folder).reports
        for phase in phases:
            try:
                made = Recipe.of_report(reports[phase])
            except (KeyError, ValueError) as error:
                raise AppError(MADE_BY_UNKNOWN, Action.OVERWRITE, study=folder) from error
            made.check(self.recipe, folder / STUDY_FILE)

    def _refuse_replacing(self, names: Sequence[str]) -> None:
        output, maps, image = self.request.output, self.request.save, self.source.path
        may_replace = self.request.overwrite or self.request.skip_finished
        refuse_replacing(output, names, image, maps=maps, may_replace=may_replace)

    def _begin_study(self, phases: Sequence[int | None]) -> None:
        """Begin a study of the phases, if one is to be written.

        Raises AppError or DataError if an existing study must stay, has another ensemble, settings
        or image, or would be of an earlier run than its report.
        """
        request, folder = self.request, self.request.output / self.name
        if not request.makes_studies:
            if not request.skip_finished:
                refuse_outdating_study(folder)
        elif request.skip_finished and has_study(folder, phases):
            self._check_study(phases)
        else:
            check_replaceable(folder)
            if is_study(folder) and not (request.overwrite or request.skip_finished):
                raise AppError(
                    "The study {study} exists in {folder}.",
                    *(Action.OVERWRITE, Action.CONTINUE),
                    study=folder.name,
                    folder=folder.parent,
                )
            self.posteriors = {}

    def _keep_look(self, phase: int, look: FirstLook) -> None:
        self.looks[phase] = look.labels

    def _look_at_all(self, channels: Sequence[Volume]) -> None:
        """Take the first look at a cine for its study, unless finding ED and ES has taken it."""
        first = channels[0]
        if self.posteriors is None or self.looks or not len(self.frames) < first.phases:
            return
        cine = np.stack([channel.voxels for channel in channels])
        usable = usable_phases(cine, first.spacing)
        if len(usable) >= FEWEST_FOR_LOOKS:
            kept = self.request.settings.largest_component
            seen = cine[:, [phase - 1 for phase in usable]]
            looks = self.ensemble.first_looks(seen, first.spacing, largest_component=kept)
            for phase, look in zip(usable, looks, strict=True):
                self._keep_look(phase, look)

    def _segment_frames(self, frames: Sequence[PhaseImage]) -> None:
        """Segment 3D images, those that fill the device together, and write their files."""
        if not frames:
            return
        mirroring = self.request.settings.mirroring
        together = self.ensemble.phases_at_once(frames[0].image, mirroring)
        # Files are packed and written while a card computes the next group.
        with ThreadPoolExecutor(1, "write_results") as writer:
            written: Future[None] | None = None
            for first in range(0, len(frames), together):
                group = frames[first : first + together]
                following = frames[first + together : first + 2 * together]
                spacing = group[0].channels[0].spacing
                self.ensemble.prepare_ahead((frame.image for frame in following), spacing)
                results = self._segment_group(group)
                # Not before the first results, as an image that is refused keeps its earlier ones.
                if written is None:
                    self._remove_old(frames)
                else:
                    written.result()  # so that the results of only one group wait in memory
                written = writer.submit(self._write_group, group, results)
                if not self.ensemble.is_on_card:  # the network computes on all cores
                    written.result()
                self.run_notes += (note for result in results for note in result.run_notes)
        if written is not None:
            written.result()

    def _segment_group(self, frames: Sequence[PhaseImage]) -> list[Segmentation]:
        """Return the segmentation of each image. Raises AppError if a strict run refuses one."""
        first, request = frames[0].channels[0], self.request
        steps = self.ensemble.phase_steps(
            [frame.image for frame in frames],
            first.spacing,
            request.settings,
            keep_members=request.makes_studies,
            doubt=None if request.anyway else first.doubt,
        )

        def show(snapshots: Mapping[int, Snapshot]) -> None:
            for index, snapshot in snapshots.items():
                self.on_member(frames[index].name, snapshot)

        results = drain(steps, show)
        reason = next((result.no_cine for result in results if result.no_cine), "")
        if request.strict and reason:
            remedy = Remedy(Action.OMIT, {"setting": Setting("strict")})
            raise AppError("{reason}", remedy, reason=reason)
        return results

    def _remove_old(self, replaced: Sequence[PhaseImage]) -> None:
        """Delete earlier results that would not belong to the new ones, even after a kill."""
        output, every = self.request.output, range(1, self.entries.get("phases", 0) + 1)
        if replaced[0].phase is not None:
            update_function(output, self.name, every, replaced={frame.phase for frame in replaced})
            # It would have labels of phases from another result.
            (output / f"{self.name}.nii.gz").unlink(missing_ok=True)
        # Those of other ED and ES could be mistaken for the new ones.
        if (
            self.request.overwrite
            and "ED" in self.entries
            and parse_phases(self.request.phases) == "ED,ES"
        ):
            for phase in {*every} - {frame.phase for frame in self.frames}:
                name = frame_name(self.name, phase)
                if (output / case_files(name, ())["report"]).is_file():
                    remove_case(output, name)

    def _write_group(self, frames: Sequence[PhaseImage], results: Sequence[Segmentation]) -> None:
        """Write the files of 3D images, add them to the study and their warnings to the notes."""
        for frame, result in zip(frames, results, strict=True):
            report = self._write(frame, result)
            prefix = "" if frame.phase is None else f"Phase {frame.phase}: "
            self.notes += (f"{prefix}{warning}" for warning in result.warnings)
            self.notes += report["notes"]
            if self.posteriors is not None:
                self.posteriors[frame.phase] = stored_posterior(result)
                self.reports[frame.phase] = report

    def _write(self, frame: PhaseImage, result: Segmentation) -> dict[str, Any]:
        """Write the files of a 3D image and return its report."""
        like, save, profile = frame.channels[0], self.request.save, self.request.profile
        own = result.calibration
        site = self._site_intervals(own)
        if own is not None:
            result = replace(result, calibration=own.of_site(site))
        if profile.draws:
            result = self._drawn(frame, result)
        about: dict[str, Any] = {"case": frame.name, "image": like.source.name}
        about["phase"] = frame.phase
        if profile.name:
            about["profile"] = profile.to_report(site)
        report = {**about, **self.entries, **with_geometry(result.report(), like.geometry)}
        # That of the ensemble, so that a profile that is learnt again tests the ensemble's own.
        report["calibration"] = own.to_report() if own else None
        report["notes"] = [*self.entries["notes"], *report["notes"], *map(str, like.notes)]
        arrays = {**result.maps, "probabilities": result.probabilities}
        arrays = {key: values for key, values in arrays.items() if key in save}
        write_case(
            self.request.output, frame.name, result.labels, arrays, report, like=like.geometry
        )
        return report

    def _drawn(self, frame: PhaseImage, result: Segmentation) -> Segmentation:
        """Return a result with labels and volumes by the profile.

        Volumes of members, maps and probabilities stay those of the ensemble.
        """
        first, profile = frame.channels[0], self.request.profile
        by_position, notes = first.geometry.starts_at_base, result.notes
        base_first = base_is_first(result.labels) if by_position is None else by_position
        if "ES" not in self.entries and profile.draws_es:
            notes += (BASE_STAYS.format(profile=profile.name),)
        labels = draw_by_profile(
            result.labels,
            profile,
            heart_structures(result.structures),
            spacing=first.spacing,
            image=first.voxels,
            # 0 if unknown, because None is the phase of a 3D image.
            es_base_first=base_first if frame.phase == self.entries.get("ES", 0) else None,
        )
        volumes = volumes_ml(labels, first.spacing, result.structures)
        return replace(result, labels=labels, volumes=volumes, notes=notes)

    def _write_study(self, image: Volume, posteriors: Mapping[Phase, StoredPosterior]) -> None:
        """Write the study, with a copy of ``image`` unless the image is a single file.

        Raises DataError if it cannot or must not be written.
        """
        from_file = image.source.is_file()
        info = StudyInfo(
            case=self.name,
            image=SourceImage.from_file(image.source) if from_file else None,
            geometry=image.geometry,
            structures=self.ensemble.structures,
            classes=self.ensemble.folder.classes,
            phases=tuple(posteriors),
            reports=self.reports,
            ed=self.entries.get("ED"),
            es=self.entries.get("ES"),
            phases_from=self.entries.get("phases_from", ""),
        )
        voxels = None if from_file else image.voxels
        write_study(
            self.request.output / self.name,
            info,
            posteriors,
            image=voxels,
            looks=self.looks,
            patient=image.patient,
            long_axes=image.long_axes,
            wait=WAITS,
        )


def _further_names(case: str, phases: Iterable[int | None]) -> list[str]:
    """Return the names of a cine's phases."""
    return [frame_name(case, phase) for phase in phases if phase is not None]


def _claim_names(names: Sequence[str], seen: set[str]) -> None:
    """Add the names to ``seen``. Raises AppError if a file system may confuse one with another."""
    if taken := [name for name in names if same_file_key(name) in seen]:
        raise AppError(NAME_TAKEN, name=taken[0])
    seen.update(map(same_file_key, names))


def refuse_outdating_study(folder: Path) -> None:
    """Raise AppError or DataError if a study in ``folder`` would be of another run than its report.

    A reader would then correct labels whose numbers stand nowhere.
    """
    if is_study(folder):
        check_replaceable(folder)
        raise AppError(
            "The study {study} in {folder} would no longer agree with the new results.",
            *(change("save", "study"), Action.OTHER_OUTPUT),
            study=folder.name,
            folder=folder.parent,
        )


def has_study(folder: Path, phases: Iterable[Phase]) -> bool:
    """Return whether the folder is a study of at least these phases, with complete files."""
    try:
        info = read_study_info(folder)
    except DataError:
        return False
    return set(phases) <= set(info.phases) and all(map(is_whole, files_of_study(folder, info)))
