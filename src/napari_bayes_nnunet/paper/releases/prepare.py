"""Conversion of a public release into an nnU-Net raw dataset.

``imagesTr``, ``labelsTr``: training cases. ``imagesTs``, ``labelsTs``: cases of the subsets that
the release holds out (ACDC's testing, M&Ms' validation and testing), for ``evaluate``. Further
files: ``splits_final.json`` (folds of whole patients), ``groups.csv`` (see ``io.dataset.groups``),
``patients.csv`` (height, weight and other facts of the release) and ``dataset.json``.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import Any, Final

from ...app import AppError
from ...core.counts import format_count
from ...core.problems import Action
from ...io import DataError
from ...io.dataset.groups import write_groups
from ...io.dataset.raw_dataset import SPLITS, patient_splits, splits_to_json
from ...io.dataset.writer import ENDING, FOLDER_NOT_EMPTY
from ...io.files.appearing import appearing
from ...io.files.atomic import write_json, write_text
from ...io.files.csv_text import csv_text
from ...io.images.nifti import write_image, write_labels
from .acdc import read_acdc
from .mnms import read_mnms
from .release import CaseReader, Release, ReleaseCase

READERS: Final[Mapping[str, Callable[[Path], Release]]] = {"acdc": read_acdc, "mnms": read_mnms}
PATIENTS: Final = "patients.csv"
EMPTY_PHASE: Final = "{phase} of {patient} was left out, because {file} is empty in this phase."
NO_FOLDS: Final = "No folds were written, because validation needs at least two patients."
OVERLAP: Final = (
    "The dataset cannot be written to {output}, because this folder overlaps with the release in "
    "{source}."
)
NO_TRAINING_CASES: Final = (
    "The {release} release has no labelled patients to train on. Check that it is complete."
)


def prepare_dataset(
    release: str, source: Path, output: Path
) -> Generator[tuple[int, int], None, list[str]]:
    """Write the labelled ED and ES phases of the ``release`` ("acdc", "mnms") in ``source``.

    Yields (done, total) cases. ``output`` appears when it is complete, so an interruption leaves
    nothing. ``source`` is only read. Returns a sentence on the content of the dataset, and one for
    everything that was left out, such as phases without labels.

    Raises AppError or DataError if ``output`` may not be written, or if a file of the release is
    missing, damaged or unexpected.
    """
    # A link into the release must not pass for a folder outside of it.
    output = Path(os.path.realpath(output))
    try:
        _check_output(output, Path(os.path.realpath(source)))
        content = READERS[release](source)
    except OSError as error:
        raise AppError(
            "{file} cannot be read ({reason}). Check the drive and the permissions.",
            file=error.filename,
            reason=error.strerror,
        ) from error
    with appearing(output) as building:
        cases, notes = yield from _write_cases(content, building)
        _write_tables(content, cases, building)
        notes += _write_splits(cases, building)
        write_json(building / "dataset.json", _dataset_json(content, cases))
    return [_summary(output, cases), *content.notes, *notes]


def _check_output(output: Path, source: Path) -> None:
    if output.is_relative_to(source) or source.is_relative_to(output):
        raise AppError(OVERLAP, Action.OTHER_OUTPUT, output=output, source=source)
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise DataError(FOLDER_NOT_EMPTY, folder=output)


def _write_cases(
    release: Release, building: Path
) -> Generator[tuple[int, int], None, tuple[list[ReleaseCase], list[str]]]:
    """Write the cases; return them, and a note for each case without labels."""
    reader = CaseReader(release.labels)
    written, notes = [], []
    for done, case in enumerate(release.cases):
        yield done, len(release.cases)
        image, labels, geometry = reader.read(case)
        if labels.any():
            part = "Ts" if case.held_out else "Tr"
            write_image(building / f"images{part}" / f"{case.name}_0000{ENDING}", image, geometry)
            write_labels(building / f"labels{part}" / f"{case.name}{ENDING}", labels, geometry)
            written.append(case)
        else:
            file = case.label.name
            notes.append(EMPTY_PHASE.format(phase=case.phase, patient=case.patient, file=file))
    yield len(release.cases), len(release.cases)
    if not any(not case.held_out for case in written):
        raise AppError(NO_TRAINING_CASES, release=release.name)
    return written, notes


def _all_groups(case: ReleaseCase) -> dict[str, str]:
    return {"phase": case.phase, **case.groups}


def _write_tables(release: Release, cases: list[ReleaseCase], folder: Path) -> None:
    write_groups(
        folder,
        {case.name: _all_groups(case) for case in cases},
        patients={case.name: case.patient for case in cases},
    )
    facts = {case.patient: release.facts[case.patient] for case in cases}
    # All patients of a release have the same facts.
    columns = list(next(iter(facts.values())))
    rows = ([patient, *map(values.get, columns)] for patient, values in facts.items())
    write_text(folder / PATIENTS, csv_text([["patient", *columns], *rows]))


def _write_splits(cases: list[ReleaseCase], folder: Path) -> list[str]:
    """Write the folds of the training cases; return a note if there are none."""
    training = [case for case in cases if not case.held_out]
    if len({case.patient for case in training}) < 2:
        return [NO_FOLDS]
    splits = patient_splits([case.name for case in training])
    write_json(folder / SPLITS, splits_to_json(splits))
    return []


def _dataset_json(release: Release, cases: list[ReleaseCase]) -> dict[str, Any]:
    return {
        "name": release.name,
        "licence": release.licence,
        "reference": release.reference,
        "channel_names": {"0": "cineMRI"},
        "labels": dict(release.labels),
        "numTraining": sum(not case.held_out for case in cases),
        "file_ending": ENDING,
    }


def _summary(output: Path, cases: list[ReleaseCase]) -> str:
    """Return the content of the dataset in one line."""
    groups: dict[str, Counter[str]] = {}
    for case in cases:
        for name, value in _all_groups(case).items():
            groups.setdefault(name, Counter())[value or "unknown"] += 1
    counts = "; ".join(
        f"{name}: {', '.join(f'{value} {count}' for value, count in sorted(values.items()))}"
        for name, values in groups.items()
    )
    held_out = sum(case.held_out for case in cases)
    return (
        f"{output} has {format_count(len(cases), 'case')} of "
        f"{format_count(len({case.patient for case in cases}), 'patient')}, "
        f"{len(cases) - held_out} to train on and {held_out} held out. Cases by group: {counts}."
    )
