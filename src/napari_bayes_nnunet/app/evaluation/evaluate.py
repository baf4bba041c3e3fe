"""Folders of predictions beside reference labels: every case of every method is measured."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Final

import numpy as np

from ...core.heart.structures import match_structure
from ...core.steps import map_steps
from ...io.dataset.groups import patients_of, read_groups
from ...io.dataset.raw_dataset import DEFAULT_PATIENT, named
from ...io.evaluation.predictions import predicted_cases, predicted_structures
from ...io.evaluation.references import Reference, structure_numbers
from .. import AppError
from .case import CaseEvaluation, evaluate_case
from .case_pair import CasePair, read_pair, structure_titles

ORDER: Final = ("RV", "MYO", "LV")
"""As in the paper's tables; other structures follow."""


@dataclass(frozen=True)
class EvaluationProgress:
    """``done`` of ``total`` cases of all methods; ``case`` is the one just measured."""

    done: int
    total: int
    case: str


@dataclass(frozen=True, kw_only=True, eq=False)
class MethodEvaluation:
    """All cases of one method. ``notes`` says, a sentence each, what was left out or assumed.

    ``folder`` holds the predictions, None where they were never files.
    """

    name: str
    cases: tuple[CaseEvaluation, ...]
    notes: tuple[str, ...] = ()
    folder: Path | None = None

    @property
    def patients(self) -> int:
        """Number of patients."""
        return len({case.patient for case in self.cases})


def evaluate_methods(
    methods: Mapping[str, Path], labels: Path, *, patient: str = DEFAULT_PATIENT
) -> Generator[EvaluationProgress, None, tuple[MethodEvaluation, ...]]:
    """Evaluate folders of predictions (by the name of their method), on the cases all of them have.

    Raises AppError and DataError, one sentence, as `evaluate` does, and where no case is common.
    """
    counts = [len(predicted_cases(folder)) for folder in methods.values()]
    _check_labels(labels)
    common = _common_structures(methods, labels) if len(methods) > 1 else None
    found = []
    for n, (name, folder) in enumerate(methods.items()):
        steps = evaluate(folder, labels, name=name, patient=patient, only=common)
        method = yield from _as_part(steps, before=sum(counts[:n]), total=sum(counts))
        found.append(method)
    return in_common(found)


def _check_labels(labels: Path) -> None:
    if not labels.is_dir():
        raise AppError(f"{labels} is no folder: it should hold the reference labels.")


def _common_structures(methods: Mapping[str, Path], labels: Path) -> frozenset[str] | None:
    """Titles of the structures that all methods know, by the first case of each; None for all."""
    of_reference = structure_numbers(labels) or {}
    first = {folder: predicted_cases(folder)[0] for folder in methods.values()}
    said = (predicted_structures(folder, case) or of_reference for folder, case in first.items())
    known = {frozenset(structure_titles(names).values()) for names in said if names}
    if len(known) < 2:
        return None
    if not (common := frozenset.intersection(*known)):
        raise AppError(f"{' and '.join(methods)} have no structure in common: nothing to compare.")
    return common


def refuse_same_folders(methods: Mapping[str, Path], labels: Path) -> None:
    """Raise AppError where two of the folders are one: nothing would be compared."""
    for name, folder in methods.items():
        if folder.exists() and labels.exists() and folder.samefile(labels):
            raise AppError(
                f"The predictions {name} and the reference labels are the same folder: choose "
                "labels that no model made."
            )
    for (one, folder), (other, same) in combinations(methods.items(), 2):
        if folder.exists() and same.exists() and folder.samefile(same):
            raise AppError(f"{one} and {other} are the same folder: compare two of them.")


def _as_part(
    steps: Generator[EvaluationProgress, None, MethodEvaluation], *, before: int, total: int
) -> Generator[EvaluationProgress, None, MethodEvaluation]:
    """The steps of one method as steps of all."""
    as_part = lambda step: EvaluationProgress(before + step.done, total, step.case)  # noqa: E731
    return (yield from map_steps(steps, as_part))


def evaluate(
    predictions: Path,
    labels: Path,
    *,
    name: str,
    patient: str = DEFAULT_PATIENT,
    only: frozenset[str] | None = None,
) -> Generator[EvaluationProgress, None, MethodEvaluation]:
    """Measure every prediction in a folder that has reference labels.

    ``predictions`` and ``labels`` as in ``io.prediction_folder`` and ``io.reference_labels``;
    ``patient`` is the pattern of the patient's part of a case's name (`patients_of`).

    A structure that the reference does not know is not judged: what was predicted of it counts as
    background, and so does all that is not among the titles ``only``. Structures are called RV,
    MYO and LV where their names mean that.

    Raises AppError and DataError, one sentence, where there is nothing to measure, a file cannot be
    read, a reference does not fit its prediction or is the same file.
    """
    _check_labels(labels)
    names, groups = predicted_cases(predictions), read_groups(labels)
    whose = patients_of(names, labels, pattern=patient)
    cases: list[CaseEvaluation] = []
    remarks: dict[str, list[str]] = defaultdict(list)
    for done, case in enumerate(names, start=1):
        pair = read_pair(predictions, labels, case, only=only)
        for remark in _remarks(pair):
            remarks[remark].append(case)
        if pair.reference is not None:
            cases.append(_evaluated(pair, pair.reference, whose[case], groups.get(case, {})))
        yield EvaluationProgress(done, len(names), case)
    if not cases:
        raise AppError(
            f"No labels in {labels} are named like a prediction in {predictions}: a case called "
            "NAME needs NAME.nii.gz or NAME_gt.nii.gz."
        )
    if not any(case.structures for case in cases):
        raise AppError(
            f"The reference labels in {labels} know none of the structures predicted in "
            f"{predictions} ({', '.join(pair.structures)}): name them alike in both dataset.json."
        )
    if groups and groups.keys().isdisjoint(names):
        remarks["Not in groups.csv"] = [case.case for case in cases]
    notes = (f"{what}: {named(of)} ({len(of)} of {len(names)})." for what, of in remarks.items())
    return MethodEvaluation(name=name, cases=tuple(cases), notes=tuple(notes), folder=predictions)


def in_common(methods: Sequence[MethodEvaluation]) -> tuple[MethodEvaluation, ...]:
    """The methods with the cases that all of them have, in one order; each notes what it lost.

    Raises AppError where there are none.
    """
    of_method = {method.name: {case.case for case in method.cases} for method in methods}
    common = set.intersection(*of_method.values())
    if not common:
        raise AppError(
            f"{' and '.join(of_method)} have no case in common: compare predictions of one set."
        )
    return tuple(_only(method, common) for method in methods)


def _only(method: MethodEvaluation, common: set[str]) -> MethodEvaluation:
    kept = sorted((c for c in method.cases if c.case in common), key=lambda case: case.case)
    lost = [case.case for case in method.cases if case.case not in common]
    what = f"Left out, another method lacks them: {named(lost)} ({len(lost)})."
    return replace(method, cases=tuple(kept), notes=(*method.notes, *([what] if lost else [])))


def judged_structures(methods: Sequence[MethodEvaluation]) -> list[str]:
    """Every structure that is judged in some case: RV, MYO, LV, then others as they come."""
    found = {name: None for m in methods for case in m.cases for name in case.structures}
    return [*(name for name in ORDER if name in found), *(n for n in found if n not in ORDER)]


def _remarks(pair: CasePair) -> Iterator[str]:
    """What is to be said of a case, in words that are the same for others like it."""
    prediction, reference = pair.prediction, pair.reference
    if reference is None:
        yield "Left out, there are no reference labels"
        return
    judged = {*pair.judged, *pair.left_out}
    if unknown := [name for name in pair.structures if name not in judged]:
        yield f"{' and '.join(unknown)} not judged, not shown by the reference"
    if pair.unknown:
        yield f"{' and '.join(pair.unknown)} not judged, not known to the prediction"
    if pair.left_out:
        yield f"{' and '.join(pair.left_out)} not judged, another method does not know it"
    if prediction.structures is None:
        yield "Labels taken to be numbered as the references, nothing says so"
    elif not reference.is_named:
        yield "References taken to be numbered as the labels, nothing says so"
    if prediction.probabilities is None:
        yield "No calibration, the probabilities were not saved"
    if prediction.mutual_information is None:
        yield "No mutual information, it was not saved"
    elif not prediction.mutual_information.any():
        yield "No mutual information, it is 0 as of a single model"
    if np.array_equal(prediction.labels.voxels, reference.labels):
        yield "Every voxel is as in the reference, which may be a copy"


def _evaluated(
    pair: CasePair, reference: Reference, patient: str, groups: Mapping[str, str]
) -> CaseEvaluation:
    prediction, titles = pair.prediction, pair.titles
    try:
        return evaluate_case(
            case=prediction.case,
            patient=patient,
            groups=groups,
            labels=prediction.labels.voxels,
            reference=reference.labels,
            spacing=prediction.labels.spacing,
            structures=pair.judged,
            probabilities=prediction.probabilities,
            entropy=prediction.entropy,
            mutual_information=prediction.mutual_information,
            pairwise_dice={
                titles[same]: agreement
                for name, agreement in prediction.pairwise_dice.items()
                if (same := match_structure(name, titles)) is not None
            },
        )
    except ValueError as error:
        raise AppError(f"{prediction.labels.source} could not be judged: {error}") from error
