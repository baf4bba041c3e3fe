"""A result as files: what ``bayes-nnunet predict`` writes, beside each other in one folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...app import AppError
from ...app.prediction.output_files import case_files as names_of
from ...app.prediction.output_files import frame_name
from ...io.files.atomic import write_json
from ...io.images.geometry import Geometry
from ...io.images.nifti import write_labels, write_map
from ..layers.result import PhaseState, SegmentationResult

_MAPS = ("entropy", "mutual-information")


def check_savable(result: SegmentationResult, folder: Path | None = None) -> None:
    """Raise AppError, one sentence, where ``result`` cannot be saved as NIfTI (in ``folder``)."""
    if result.geometry is None:
        raise AppError(
            f"{result.case} does not know its place in the patient, so its segmentation cannot be "
            "saved as NIfTI: open the image from a .nii or .nii.gz file."
        )
    if folder is None or result.source is None or not result.source.exists():
        return
    for file in result_files(result, folder, mutual_information=True):
        if file.exists() and file.samefile(result.source):
            raise AppError(f"{file.name} is the image itself: choose another folder.")


def result_files(
    result: SegmentationResult, folder: Path, *, mutual_information: bool
) -> list[Path]:
    """All files ``save`` would write."""
    maps = _MAPS if mutual_information else _MAPS[:1]
    parts = _parts(result)
    files = [folder / file for _, name, _ in parts for file in names_of(name, maps).values()]
    return [*files, folder / f"{result.case}.nii.gz"] if _is_whole_cine(result) else files


def save(result: SegmentationResult, folder: Path, *, mutual_information: bool) -> list[Path]:
    """Write labels, maps and report of every phase that was segmented; all phases also as 4D.

    The report is written last, so that a case with one is whole. Raises AppError without
    geometry and DataError when writing fails.
    """
    check_savable(result, folder)
    assert result.geometry is not None
    geometry = result.geometry.frame()
    for phase, name, state in _parts(result):
        _save_maps(result, folder, phase, name, geometry, mutual_information)
        labels = result.of_phase(result.labels, phase)
        write_labels(folder / f"{name}.nii.gz", labels, geometry)
        write_json(folder / f"{name}.json", _report(result, phase, name, state))
    if _is_whole_cine(result):
        write_labels(folder / f"{result.case}.nii.gz", result.labels, result.geometry)
    return result_files(result, folder, mutual_information=mutual_information)


def _save_maps(
    result: SegmentationResult,
    folder: Path,
    phase: int | None,
    name: str,
    like: Geometry,
    both: bool,
) -> None:
    files = names_of(name, _MAPS)
    write_map(folder / files["entropy"], result.of_phase(result.entropy, phase), like)
    if both:
        values = result.of_phase(result.mutual_information, phase)
        write_map(folder / files["mutual-information"], values, like)


def _parts(result: SegmentationResult) -> Iterator[tuple[int | None, str, PhaseState]]:
    """Phase, file name and state of every 3D image that was segmented."""
    for phase, state in sorted(result.phases.items(), key=lambda item: item[0] or 0):
        yield phase, frame_name(result.case, phase), state


def _is_whole_cine(result: SegmentationResult) -> bool:
    return len(result.shape) == 4 and len(result.phases) == result.shape[0]


def _report(
    result: SegmentationResult, phase: int | None, name: str, state: PhaseState
) -> dict[str, Any]:
    source = result.source.name if result.source is not None else ""
    about: dict[str, Any] = {"case": name, "image": source, "phase": phase}
    known = result.known_phases
    if known is not None and phase in known:
        about |= {"ED": known.ed, "ES": known.es, "phases_from": result.phases_from}
    if state.report is None:
        return about | _unfinished(result, state)
    return about | dict(state.report)


def _unfinished(result: SegmentationResult, state: PhaseState) -> dict[str, Any]:
    """What is known of a phase that was stopped."""
    settings = result.settings
    return {
        "ensemble": result.ensemble,
        "method": settings.method,
        "mirroring": settings.mirroring,
        "temperature": settings.temperature,
        "warnings": [f"Stopped after {state.done} of {state.total} members."],
    }
