"""Evaluation on request of the dock: preview, run and report files."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Final

from ...core.problems import Setting
from ...io.dataset.groups import patients_of
from ...io.dataset.patients import DEFAULT_PATIENT
from ...io.evaluation.predictions import match_references, predicted_cases
from ...io.files.given_path import check_folder, is_same_path
from .. import AppError
from ..report.output_folder import write_or_refuse
from .evaluate import (
    EvaluationProgress,
    MethodEvaluation,
    common_cases,
    evaluate_methods,
    judged_structures,
)
from .example_cases import shown_cases
from .figures import reliability_picture
from .measures import ECE, dice_measures
from .output_files import (
    CASES,
    PAGE,
    SUMMARY,
    check_report_folder,
    evaluation_text,
    report_texts,
)
from .tables import Block, Table, describe_extent, describe_methods, evaluation_table

FILES = (PAGE, CASES, SUMMARY)
DICE, CALIBRATION = "Dice", "Calibration error"
DRAWING, MAKING, WRITING = "Drawing the figures", "Making the report", "Writing the report"
_COLUMNS = 2
"""Reliability diagrams side by side in the dock."""
DUPLICATE_METHOD: Final = "Two methods are called {name}. Rename one of them."
SAME_PREDICTIONS: Final = "{first} and {second} are the same folder. Choose two different folders."


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


def named_methods(predictions: Path, name: str | None, compare: Sequence[str]) -> dict[str, Path]:
    """Return the methods of a command: ``predictions``, and those of ``compare`` "NAME=FOLDER".

    The first is called like its folder without a ``name``. Raises AppError for equal names and
    other texts.
    """
    methods = {name or predictions.absolute().name: predictions}
    for text in compare:
        other, folder = _named_folder(text)
        if other in methods:
            raise AppError(DUPLICATE_METHOD, name=other)
        methods[other] = folder
    return methods


def _named_folder(text: str) -> tuple[str, Path]:
    """Return name and folder, split at the first "=" that a folder follows, else at the last."""
    parts = text.split("=")
    splits = [("=".join(parts[:n]), Path("=".join(parts[n:]))) for n in range(1, len(parts))]
    name, folder = next((s for s in splits if s[1].is_dir()), (splits or [("", Path())])[-1])
    if not name.strip() or not parts[-1]:
        raise AppError(
            "{setting} takes NAME=PREDICTIONS, such as SWA=out/swa, not “{text}”.",
            setting=Setting("compare"),
            text=text,
        )
    return name.strip(), folder


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


@dataclass(frozen=True, kw_only=True)
class EvaluationOutcome:
    """The report's ``page``, its ``text`` for a terminal, and the results shown in the dock.

    ``extent`` begins with the warnings. ``table``: Dice of each structure and pooled calibration
    error; ``picture``: reliability diagrams of the methods with probabilities as PNG, None without
    any.
    """

    page: Path
    text: str
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
    for (first, folder), (second, other) in combinations(request.methods.items(), 2):
        if is_same_path(folder, other):
            raise AppError(SAME_PREDICTIONS, first=first, second=second)
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


def run_evaluation(
    request: EvaluationRequest,
) -> Generator[EvaluationProgress, None, EvaluationOutcome]:
    """Measure every case, then write the report; nothing is written before the last stage.

    Raises AppError and DataError as `evaluate_methods` and `write_or_refuse` do.
    """
    methods = yield from evaluate_methods(request.methods, request.labels, patient=request.patient)
    yield EvaluationProgress(DRAWING)
    shown = list(shown_cases(methods, request.labels, images=request.images))
    outcome = EvaluationOutcome(
        page=request.report / PAGE,
        text=evaluation_text(methods),
        extent="\n".join((*describe_methods(methods)[1], describe_extent(methods))),
        table=main_table(methods),
        picture=reliability_picture(methods, columns=_COLUMNS),
        notes=tuple(_notes(methods)),
    )
    yield EvaluationProgress(MAKING)
    # All texts are made before one is written, so an error leaves an earlier report whole.
    texts = report_texts(methods, shown=shown)
    yield EvaluationProgress(WRITING, is_last=True)
    for name, text in texts.items():
        write_or_refuse(request.report / name, text)
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


def _notes(methods: Sequence[MethodEvaluation]) -> Iterator[str]:
    """Yield each note once, after the names of its methods unless all have it."""
    names_of: dict[str, list[str]] = {}
    for method in methods:
        for note in method.notes:
            names_of.setdefault(note, []).append(method.name)
    for note, names in names_of.items():
        yield note if len(names) == len(methods) else f"{' and '.join(names)}: {note}"
