"""An evaluation from its folders to the files of its report, as the dock asks for it."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path

import numpy as np

from ...core.steps import map_steps
from ...io.dataset.groups import patients_of
from ...io.dataset.raw_dataset import DEFAULT_PATIENT
from ...io.evaluation.predictions import predicted_cases
from ...io.files.atomic import write_text
from ...io.images.nifti import ENDINGS
from .. import AppError
from ..report.output_folder import check_writable, unwritable
from .evaluate import (
    EvaluationProgress,
    MethodEvaluation,
    evaluate_methods,
    judged_structures,
    refuse_same_folders,
)
from .example_cases import shown_cases
from .figures import reliability_picture
from .measures import ECE, dice_measures
from .output_files import CASES, PAGE, SUMMARY, write_evaluation
from .tables import Block, Table, evaluation_table, extent

FILES = (PAGE, CASES, SUMMARY)
DICE, CALIBRATION = "Dice", "Calibration error"
MARGIN = 8
"""White beside a picture, pixels."""


@dataclass(frozen=True, kw_only=True)
class EvaluationRequest:
    """``methods``: name → folder of predictions; the others are compared with the first.

    ``labels``, ``images`` and ``patient`` as for `evaluate_methods` and `shown_cases`; ``report``
    is the folder for the files.
    """

    methods: Mapping[str, Path]
    labels: Path
    report: Path
    images: Path | None = None
    patient: str = DEFAULT_PATIENT

    @property
    def arguments(self) -> list[str]:
        """What follows ``bayes-nnunet evaluate`` on the command line that says the same."""
        (name, first), *others = self.methods.items()
        flags = ["--output", str(self.report), "--name", name]
        for other, folder in others:
            flags += ["--compare", f"{other}={folder}"]
        if self.images is not None:
            flags += ["--images", str(self.images)]
        if self.patient != DEFAULT_PATIENT:
            flags += ["--patient", self.patient]
        return [*flags, "--", str(first), str(self.labels)]


@dataclass(frozen=True, kw_only=True)
class EvaluationPreview:
    """What can be measured: cases that all methods have, and how many of them have labels.

    ``patient_of``: case → whose it is.
    """

    patient_of: dict[str, str]
    labelled: int

    @property
    def cases(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(self.patient_of)

    @property
    def patients(self) -> int:
        """Number of patients."""
        return len(set(self.patient_of.values()))


@dataclass(frozen=True)
class Stage:
    """What is being done, ``done`` of ``total``; ``total`` 0 where it cannot be counted.

    ``is_last``: the files are being written, so that it is too late to stop.
    """

    words: str
    done: int = 0
    total: int = 0
    is_last: bool = False


@dataclass(frozen=True, kw_only=True)
class EvaluationOutcome:
    """The report's ``page``, and what is shown of it at once.

    ``table``: Dice of each structure and the pooled calibration error; ``pictures``: reliability
    diagrams as PNG, one a method that has probabilities.
    """

    page: Path
    extent: str
    table: Table
    pictures: tuple[bytes, ...]
    notes: tuple[str, ...]


def preview(request: EvaluationRequest) -> EvaluationPreview:
    """Look into the folders, quickly: only names are read.

    Raises AppError and DataError, one sentence, where the evaluation would fail.
    """
    found = {name: set(predicted_cases(folder)) for name, folder in request.methods.items()}
    for folder, holds in ((request.labels, "reference labels"), (request.images, "images")):
        if folder is not None and not folder.is_dir():
            raise AppError(f"{folder} is no folder: it should hold the {holds}.")
    refuse_same_folders(request.methods, request.labels)
    check_writable(request.report)
    if not (common := set.intersection(*found.values())):
        raise AppError(
            f"{' and '.join(found)} have no case in common: compare predictions of one set."
        )
    cases = sorted(common)
    stems = {re.sub(r"(_gt)?\.nii(\.gz)?$", "", name) for name in _images_in(request.labels)}
    labelled = sum(not stems.isdisjoint(_references(case)) for case in cases)
    if not labelled:
        raise AppError(
            f"No labels in {request.labels} are named like the predictions: a case called "
            f"{cases[0]} needs {cases[0]}.nii.gz or {cases[0]}_gt.nii.gz."
        )
    whose = patients_of(cases, request.labels, pattern=request.patient)
    return EvaluationPreview(patient_of=whose, labelled=labelled)


def files_there(report: Path) -> list[Path]:
    """Files of an earlier report that a new one would replace."""
    return [file for file in (report / name for name in FILES) if file.exists()]


def run(request: EvaluationRequest) -> Generator[Stage, None, EvaluationOutcome]:
    """Measure every case, then write the report; until its very end nothing is written.

    Raises AppError and DataError, one sentence, as `evaluate_methods` and `write_evaluation` do.
    """
    methods = yield from _measured(request)
    yield Stage("Drawing the pictures")
    shown = list(shown_cases(methods, request.labels, images=request.images))
    outcome = EvaluationOutcome(
        page=request.report / PAGE,
        extent=extent(methods),
        table=main_table(methods),
        pictures=tuple(reliability_pictures(methods)),
        notes=tuple(_notes(methods)),
    )
    yield Stage("Making the report")
    with tempfile.TemporaryDirectory() as scratch:
        write_evaluation(methods, Path(scratch), shown=shown)
        yield Stage("Writing the report", is_last=True)
        _place(Path(scratch), request.report)
    return outcome


def main_table(methods: Sequence[MethodEvaluation]) -> Table:
    """Dice of each structure and the calibration error over all voxels."""
    structures = judged_structures(methods)
    pooled = replace(ECE[0], title="ECE")
    blocks = [
        Block(title=DICE, measures=dice_measures(structures)[: len(structures)]),
        Block(title=CALIBRATION, measures=[pooled]),
    ]
    return evaluation_table(methods, blocks)


def reliability_pictures(methods: Sequence[MethodEvaluation]) -> Iterator[bytes]:
    """The reliability diagram of each method in the report's colour, a picture each."""
    alone = [
        [replace(other, cases=other.cases if other is method else ()) for other in methods]
        for method in methods
    ]
    found = (reliability_picture(each) for each in alone)
    yield from _trimmed([picture for picture in found if picture is not None])


def _measured(request: EvaluationRequest) -> Generator[Stage, None, tuple[MethodEvaluation, ...]]:
    steps = evaluate_methods(request.methods, request.labels, patient=request.patient)
    return (yield from map_steps(steps, _stage))


def _stage(step: EvaluationProgress) -> Stage:
    return Stage(f"{step.done} of {step.total}: {step.case}", step.done, step.total)


def _notes(methods: Sequence[MethodEvaluation]) -> Iterator[str]:
    """What was left out or assumed, each sentence once; whose it is unless it is of all."""
    whose: dict[str, list[str]] = {}
    for method in methods:
        for note in method.notes:
            whose.setdefault(note, []).append(method.name)
    for note, names in whose.items():
        yield note if len(names) == len(methods) else f"{' and '.join(names)}: {note}"


def _place(made: Path, report: Path) -> None:
    """Put the files of a report where they belong, the page last."""
    try:
        for name in reversed(FILES):
            write_text(report / name, (made / name).read_text(encoding="utf-8"))
    except OSError as error:
        raise unwritable(report, error) from error


def _trimmed(pictures: Sequence[bytes]) -> Iterator[bytes]:
    """The pictures without the white on their right, all equally wide."""
    from matplotlib.image import imread, imsave

    pixels = [imread(BytesIO(picture)) for picture in pictures]
    ends = [int(np.flatnonzero((p[..., :3] < 1).any(axis=(0, 2)))[-1]) for p in pixels]
    for each in pixels:
        file = BytesIO()
        imsave(file, each[:, : max(ends) + MARGIN], format="png")
        yield file.getvalue()


def _images_in(folder: Path) -> Iterator[str]:
    return (file.name for file in folder.iterdir() if file.name.endswith(ENDINGS))


def _references(case: str) -> set[str]:
    """What its reference may be called; that of a cine's phase also like the cine."""
    cine = re.sub(r"_frame\d+$", "", case)
    return {case, cine, cine.removesuffix("_4d"), case.replace("_4d_frame", "_frame")}
