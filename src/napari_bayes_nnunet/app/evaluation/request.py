"""Evaluation on request of the dock: preview, run and report files."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ...core.steps import map_steps
from ...io.dataset.groups import patients_of
from ...io.dataset.patients import DEFAULT_PATIENT
from ...io.evaluation.predictions import match_references, predicted_cases
from ...io.files.given_path import check_folder
from .. import AppError
from .evaluate import (
    EvaluationProgress,
    MethodEvaluation,
    common_cases,
    evaluate_methods,
    judged_structures,
    refuse_same_folders,
)
from .example_cases import shown_cases
from .figures import reliability_picture
from .measures import ECE, dice_measures
from .output_files import (
    CASES,
    PAGE,
    SUMMARY,
    check_report_folder,
    report_texts,
    write_report_files,
)
from .tables import Block, Table, describe_extent, describe_methods, evaluation_table

FILES = (PAGE, CASES, SUMMARY)
DICE, CALIBRATION = "Dice", "Calibration error"
DRAWING, MAKING, WRITING = "Drawing the figures", "Making the report", "Writing the report"
_COLUMNS = 2
"""Reliability diagrams side by side in the dock."""


@dataclass(frozen=True, kw_only=True)
class EvaluationRequest:
    """An evaluation to run. ``methods``: name → folder of predictions, the baseline first.

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
        """Arguments of ``bayes-nnunet evaluate`` for the same evaluation."""
        (name, first), *others = self.methods.items()
        flags = ["--output", str(self.report), "--name", name]
        for other, folder in others:
            flags += ["--compare", f"{other}={folder}"]
        if self.images is not None:
            flags += ["--images", str(self.images)]
        if self.patient != DEFAULT_PATIENT:
            flags += ["--patient", self.patient]
        # Behind "--" a folder whose name begins with a dash is no option.
        return [*flags, "--", str(first), str(self.labels)]


@dataclass(frozen=True, kw_only=True)
class EvaluationPreview:
    """Cases that all methods have, with their patients; ``labelled`` counts those with labels.

    ``patient_of``: case → patient.
    """

    patient_of: dict[str, str]
    labelled: int

    @property
    def cases(self) -> tuple[str, ...]:
        """Names of the cases."""
        return tuple(self.patient_of)

    @property
    def patients(self) -> int:
        """Number of patients."""
        return len(set(self.patient_of.values()))


@dataclass(frozen=True)
class Stage:
    """Progress of an evaluation, ``done`` of ``total``; ``total`` is 0 if it is not known.

    ``is_last``: the files are being written, so it is too late to stop.
    """

    words: str
    done: int = 0
    total: int = 0
    is_last: bool = False


@dataclass(frozen=True, kw_only=True)
class EvaluationOutcome:
    """The report's ``page`` and the results shown in the dock, warnings before the ``extent``.

    ``table``: Dice of each structure and pooled calibration error; ``picture``: reliability
    diagrams of the methods with probabilities as PNG, None without any.
    """

    page: Path
    extent: str
    table: Table
    picture: bytes | None
    notes: tuple[str, ...]


def preview_evaluation(request: EvaluationRequest) -> EvaluationPreview:
    """Return the cases in the folders, from the names of files and the phases in reports.

    Raises AppError and DataError if the evaluation would fail.
    """
    predicted = {name: set(predicted_cases(folder)) for name, folder in request.methods.items()}
    check_folder(request.labels, "reference labels")
    if request.images is not None:
        check_folder(request.images, "images")
    refuse_same_folders(request.methods, request.labels)
    check_report_folder(request.report, labels=request.labels, images=request.images)
    cases = sorted(common_cases(predicted))
    # Any method serves, because all have these cases.
    labelled = len(match_references(next(iter(request.methods.values())), cases, request.labels))
    if not labelled:
        raise AppError(
            "{labels} has no reference for any of the predictions. Rename each reference after its "
            "case, such as {case}.nii.gz or {case}_gt.nii.gz.",
            labels=request.labels,
            case=cases[0],
        )
    patient_of = patients_of(cases, request.labels, pattern=request.patient)
    return EvaluationPreview(patient_of=patient_of, labelled=labelled)


def existing_files(report: Path) -> list[Path]:
    """Return the files of an earlier report that a new one would replace."""
    return [file for file in (report / name for name in FILES) if file.exists()]


def run_evaluation(request: EvaluationRequest) -> Generator[Stage, None, EvaluationOutcome]:
    """Measure every case, then write the report; nothing is written before the last stage.

    Raises AppError and DataError as `evaluate_methods` and `write_report_files` do.
    """
    methods = yield from _measured(request)
    yield Stage(DRAWING)
    shown = list(shown_cases(methods, request.labels, images=request.images))
    outcome = EvaluationOutcome(
        page=request.report / PAGE,
        extent="\n".join((*describe_methods(methods)[1], describe_extent(methods))),
        table=main_table(methods),
        picture=reliability_picture(methods, columns=_COLUMNS),
        notes=tuple(_notes(methods)),
    )
    yield Stage(MAKING)
    # All texts are made before one is written, so an error leaves an earlier report whole.
    texts = report_texts(methods, shown=shown)
    yield Stage(WRITING, is_last=True)
    write_report_files(texts, request.report)
    return outcome


def main_table(methods: Sequence[MethodEvaluation]) -> Table:
    """Return Dice of each structure and the pooled calibration error."""
    structures = judged_structures(methods)
    pooled = replace(ECE[0], title="ECE")
    blocks = [
        Block(title=DICE, measures=dice_measures(structures)[: len(structures)]),
        Block(title=CALIBRATION, measures=[pooled]),
    ]
    return evaluation_table(methods, blocks)


def _measured(request: EvaluationRequest) -> Generator[Stage, None, tuple[MethodEvaluation, ...]]:
    steps = evaluate_methods(request.methods, request.labels, patient=request.patient)
    return (yield from map_steps(steps, _stage))


def _stage(step: EvaluationProgress) -> Stage:
    return Stage(f"{step.done} of {step.total}: {step.case}", step.done, step.total)


def _notes(methods: Sequence[MethodEvaluation]) -> Iterator[str]:
    """Yield each note once, after the names of its methods unless all have it."""
    names_of: dict[str, list[str]] = {}
    for method in methods:
        for note in method.notes:
            names_of.setdefault(note, []).append(method.name)
    for note, names in names_of.items():
        yield note if len(names) == len(methods) else f"{' and '.join(names)}: {note}"
