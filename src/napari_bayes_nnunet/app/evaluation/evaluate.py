"""Evaluation of folders of predictions against reference labels."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np

from ...core.ensemble.maps import MAPS, MUTUAL_INFORMATION, UncertaintyMap
from ...core.heart.function import Intervals
from ...core.heart.structures import match_structure
from ...core.metrics.conformal import COVERAGES
from ...core.steps import map_steps
from ...io.dataset.groups import names_in_tables, patients_of, read_groups
from ...io.dataset.patients import DEFAULT_PATIENT, no_patient_is_shared
from ...io.dataset.raw_dataset import join_names
from ...io.evaluation.predictions import (
    match_references,
    predicted_cases,
    predicted_structures,
)
from ...io.evaluation.references import Reference, structure_numbers
from .. import AppError
from ..prediction.function_entry import PhasePair, read_pairs
from .aggregates import ALL, Aggregate
from .case import (
    PHASE,
    CaseEvaluation,
    CasePair,
    case_table,
    evaluate_case,
    read_pair,
    structure_titles,
    with_phases,
)

if TYPE_CHECKING:
    from pandas import DataFrame

_Value = TypeVar("_Value")
ORDER: Final = ("RV", "MYO", "LV")
"""Order of the paper's tables; other structures follow."""
NO_COMMON_STRUCTURE: Final = (
    "The reference labels in {labels} have none of the structures predicted in {predictions} "
    "({structures}). Use the same names in both dataset.json files."
)
EMPTY_REFERENCES: Final = (
    "All reference labels in {labels} are empty. Choose the folder of the reference labels."
)
NO_REFERENCE: Final = "Left out (no reference labels)"
NOT_IN_REFERENCE: Final = "{structures} not evaluated (not in the reference)"
NOT_IN_PREDICTION: Final = "{structures} not evaluated (not in the prediction)"
NOT_IN_OTHER_METHOD: Final = "{structures} not evaluated (not in another method)"
PREDICTION_UNNAMED: Final = "Labels of the prediction assumed to be numbered as in the reference"
REFERENCE_UNNAMED: Final = "Labels of the reference assumed to be numbered as in the prediction"
COMPARED_BY_VOXEL: Final = "Compared voxel by voxel (a file has no position)"
NO_PROBABILITIES: Final = "No calibration (probabilities not saved)"
NO_MUTUAL_INFORMATION: Final = "No mutual information (not saved)"
SINGLE_MEMBER: Final = "A single member, so it has no mutual information."
EMPTY_REFERENCE: Final = "Empty reference (Dice 0 for all predicted structures)"
IDENTICAL: Final = "Identical to the reference, which may be a copy"
NOT_IN_GROUPS: Final = "Not in groups.csv"
NO_SHARED_PATIENT: Final = "Counted as one patient each (no two names share a patient)"
UNKNOWN_ENSEMBLE: Final = "Made by an unknown ensemble (no report)"
NOT_IN_COMMON: Final = "Left out (not in another method)"


@dataclass(frozen=True)
class EvaluationProgress:
    """``done`` of ``total`` cases or patients; ``case`` was measured last.

    After them ``case`` says what is done now, and ``total`` is 0; ``is_last``: the files are being
    written, so it is too late to stop.
    """

    case: str
    done: int = 0
    total: int = 0
    is_last: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class MethodEvaluation:
    """All cases of one method, with ``notes`` on what was left out or assumed.

    ``folder`` contains the predictions; None if they were never files. ``made_by`` are the
    different `Prediction.made_by` of the cases, ``grids`` those of the predictions by case.
    """

    name: str
    cases: tuple[CaseEvaluation, ...]
    notes: tuple[str, ...] = ()
    folder: Path | None = None
    made_by: tuple[Mapping[str, Any], ...] = ()
    grids: Mapping[str, str] = field(default_factory=dict)

    @property
    def patients(self) -> int:
        """Number of patients."""
        return len({case.patient for case in self.cases})

    @cached_property
    def table(self) -> DataFrame:
        """The cases and all their numbers, see `case_table`."""
        return case_table(self.cases)

    @cached_property
    def aggregates(self) -> dict[tuple[str, tuple[str, str] | None], Aggregate]:
        """Measures computed so far, by their key and the group that they are of."""
        return {}


def evaluate_methods(
    methods: Mapping[str, Path], labels: Path, *, patient: str = DEFAULT_PATIENT
) -> Generator[EvaluationProgress, None, tuple[MethodEvaluation, ...]]:
    """Evaluate folders of predictions, by method name, on the cases that all of them have.

    Raises AppError and DataError as `evaluate` does, and AppError if no case is common.
    """
    # Counted first, because the progress is that of all methods.
    total = sum(len(predicted_cases(folder)) for folder in methods.values())
    # The mean Dice of a method with other structures could not be compared.
    common = _common_structures(methods, labels) if len(methods) > 1 else None
    evaluated: list[MethodEvaluation] = []
    done = count(1)
    for name, folder in methods.items():
        steps = evaluate(folder, labels, name=name, patient=patient, only=common)
        counted = map_steps(steps, lambda case: EvaluationProgress(case, next(done), total))
        evaluated.append((yield from counted))
    return keep_common_cases(evaluated)


def _common_structures(methods: Mapping[str, Path], labels: Path) -> frozenset[str] | None:
    """Return the titles of structures in the first case of every method; None if all are alike."""
    default = structure_numbers(labels) or {}
    first = {folder: predicted_cases(folder)[0] for folder in methods.values()}
    structures = (predicted_structures(folder, case) or default for folder, case in first.items())
    titles = {frozenset(structure_titles(names).values()) for names in structures if names}
    if len(titles) < 2:
        return None
    if not (common := frozenset.intersection(*titles)):
        raise AppError(
            "{methods} have no structure in common. Compare methods that segment the same "
            "structures.",
            methods=" and ".join(methods),
        )
    return common


def evaluate(
    predictions: Path,
    labels: Path,
    *,
    name: str,
    patient: str = DEFAULT_PATIENT,
    only: frozenset[str] | None = None,
) -> Generator[str, None, MethodEvaluation]:
    """Measure every prediction in a tree of folders that has reference labels; yield its case.

    ``predictions`` and ``labels`` are as in `io.evaluation`; ``patient`` is the pattern of the
    patient's part of a case name (`patients_of`). A predicted structure counts as background if the
    reference lacks it, or if its title is not in ``only``. Structures are called RV, MYO and LV if
    their names mean that.

    Raises AppError and DataError if there is nothing to measure, or a file cannot be read, or does
    not match its reference, or is the same file.
    """
    names, groups = predicted_cases(predictions), read_groups(labels)
    references, both = match_references(predictions, names, labels), read_pairs(predictions, names)
    patients, listed_as = patients_of(names, labels, pattern=patient), names_in_tables(names)
    cases: list[CaseEvaluation] = []
    functions: dict[str, Mapping[str, Intervals]] = {}
    grids: dict[str, str] = {}
    made_by: list[Mapping[str, Any]] = []
    remarks: dict[str, list[str]] = defaultdict(list)
    for case in names:
        alone = read_pair(predictions, labels, case, reference_case=references.get(case), only=only)
        pair = _with_both_phases(alone, both.get(case))
        for remark in _remarks(pair):
            remarks[remark].append(case)
        if pair.reference is not None:
            own = groups.get(case) or groups.get(listed_as[case], {})
            cases.append(_evaluated(pair, pair.reference, patients[case], own))
            functions[case] = pair.prediction.function_intervals
            grids[case] = str(pair.prediction.labels.geometry)
            if not pair.prediction.made_by:
                remarks[UNKNOWN_ENSEMBLE].append(case)
            elif pair.prediction.made_by not in made_by:
                made_by.append(pair.prediction.made_by)
        yield case
    if not any(case.structures for case in cases):
        raise _nothing_in_common(pair, predictions, labels)
    if not made_by:  # as of nnUNetv2_predict, which writes no reports
        remarks.pop(UNKNOWN_ENSEMBLE, None)
    if patient == DEFAULT_PATIENT and no_patient_is_shared(patients):
        remarks[NO_SHARED_PATIENT] = names
    if groups and groups.keys().isdisjoint({*names, *listed_as.values()}):
        remarks[NOT_IN_GROUPS] = [case.case for case in cases]
    return MethodEvaluation(
        name=name,
        cases=tuple(with_phases(cases, functions)),
        notes=tuple(_notes(remarks, len(names))),
        folder=predictions,
        made_by=tuple(made_by),
        grids=grids,
    )


def _with_both_phases(pair: CasePair, phases: PhasePair | None) -> CasePair:
    """Return a case with what the prediction has together with that of the other phase."""
    if phases is None:
        return pair
    expected = phases.reports[pair.prediction.case].get("expected_dice", {})
    prediction = replace(
        pair.prediction,
        expected_dice={name: entry["value"] for name, entry in expected.items()},
        function_intervals={name: n.intervals for name, n in phases.measured.items()},
    )
    return replace(pair, prediction=prediction)


def _nothing_in_common(pair: CasePair, predictions: Path, labels: Path) -> AppError:
    """Return the error if no case, such as ``pair``, has a structure to evaluate."""
    if structure_numbers(labels) is None and pair.only is None:  # all that is drawn would count
        return AppError(EMPTY_REFERENCES, labels=labels)
    structures = ", ".join(pair.structures)
    return AppError(
        NO_COMMON_STRUCTURE, labels=labels, predictions=predictions, structures=structures
    )


def _notes(remarks: Mapping[str, Sequence[str]], cases: int) -> Iterator[str]:
    """Yield a sentence for each remark, with the names of its cases unless it is of a method."""
    for remark, noted in remarks.items():
        of_cases = f"{remark}: {join_names(noted)} ({len(noted)} of {cases})."
        yield remark if remark == SINGLE_MEMBER else of_cases


def keep_common_cases(methods: Sequence[MethodEvaluation]) -> tuple[MethodEvaluation, ...]:
    """Return the methods with only the cases that all of them have, in the same order.

    A case has the same phase in all methods, that of the first one that knows it. Cases left out
    are added to the notes. Raises AppError if no case is common.
    """
    common = common_cases({m.name: {case.case for case in m.cases} for m in methods})
    known = [case for method in methods for case in method.cases if PHASE in case.groups]
    # Reversed, so that the first method that knows the phase gives it.
    phases = {case.case: {PHASE: case.groups[PHASE]} for case in reversed(known)}
    return tuple(_only(method, common, phases) for method in methods)


def common_cases(cases: Mapping[str, set[str]]) -> set[str]:
    """Return the cases that all methods have. Raises AppError if there are none."""
    if not (common := set.intersection(*cases.values())):
        raise AppError(
            "{methods} have no case in common. Compare predictions for the same images.",
            methods=" and ".join(cases),
        )
    return common


def _only(
    method: MethodEvaluation, common: set[str], phases: Mapping[str, Mapping[str, str]]
) -> MethodEvaluation:
    # In one order, because methods are compared by the position of a case.
    kept = sorted((c for c in method.cases if c.case in common), key=lambda case: case.case)
    cases = tuple(replace(c, groups={**c.groups, **phases.get(c.case, {})}) for c in kept)
    lost = [case.case for case in method.cases if case.case not in common]
    note = f"{NOT_IN_COMMON}: {join_names(lost)} ({len(lost)})."
    return replace(method, cases=cases, notes=(*method.notes, *([note] if lost else [])))


def judged_structures(methods: Sequence[MethodEvaluation]) -> list[str]:
    """Return the structures evaluated in any case: RV, MYO, LV, then others as they come."""
    names = {name: None for m in methods for case in m.cases for name in case.structures}
    return [*(name for name in ORDER if name in names), *(n for n in names if n not in ORDER)]


def known_intervals(methods: Sequence[MethodEvaluation]) -> list[str]:
    """Return the measurements with intervals in any case, in the order in which they come."""
    columns = (column for m in methods for case in m.cases for column in case.numbers[ALL])
    start = f"width_{COVERAGES[0]}_"
    return list(dict.fromkeys(c.removeprefix(start) for c in columns if c.startswith(start)))


def known_maps(methods: Sequence[MethodEvaluation]) -> list[UncertaintyMap]:
    """Return the usual maps, and the others that were saved for any case."""
    return [
        entry
        for entry in MAPS.values()
        if entry.in_every_study
        or any(not math.isnan(c.number(f"mean_{entry.key}")) for m in methods for c in m.cases)
    ]


def _remarks(pair: CasePair) -> Iterator[str]:
    """Yield remarks on a case, worded alike for all cases they apply to."""
    prediction, reference = pair.prediction, pair.reference
    if reference is None:
        yield NO_REFERENCE
        return
    judged = {*pair.judged, *pair.left_out}
    if unknown := [name for name in pair.structures if name not in judged]:
        yield NOT_IN_REFERENCE.format(structures=" and ".join(unknown))
    if pair.unknown:
        yield NOT_IN_PREDICTION.format(structures=" and ".join(pair.unknown))
    if pair.left_out:
        yield NOT_IN_OTHER_METHOD.format(structures=" and ".join(pair.left_out))
    if prediction.structures is None:
        yield PREDICTION_UNNAMED
    elif not reference.is_named:
        yield REFERENCE_UNNAMED
    if prediction.labels.geometry.letters is None or not reference.is_placed:
        yield COMPARED_BY_VOXEL
    if prediction.probabilities is None:
        yield NO_PROBABILITIES
    information = prediction.maps.get(MUTUAL_INFORMATION.name)
    if information is None:
        made_by = prediction.made_by  # SWA names the members that it averages into one
        is_alone = made_by.get("method") == "swa" or len(made_by.get("members", ())) == 1
        yield SINGLE_MEMBER if is_alone else NO_MUTUAL_INFORMATION
    # One member never disagrees with itself.
    elif not information.any():
        yield SINGLE_MEMBER
    # Two drawings of a heart never agree in every voxel.
    if np.array_equal(prediction.labels.voxels, reference.labels):
        yield IDENTICAL
    elif pair.judged and not reference.labels.any():
        yield EMPTY_REFERENCE


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
            maps=prediction.maps,
            pairwise_dice=_by_title(prediction.pairwise_dice, titles),
            expected_dice=_by_title(prediction.expected_dice, titles),
            failure_score=prediction.failure_score,
            volume_intervals=_by_title(prediction.volume_intervals, titles),
        )
    except ValueError as error:
        raise AppError(
            "{file} could not be evaluated. {problem}",
            file=prediction.labels.source,
            problem=error,
        ) from error


def _by_title(scores: Mapping[str, _Value], titles: Mapping[str, str]) -> dict[str, _Value]:
    """Return the values of the judged structures, by their titles."""
    return {
        titles[match]: score
        for name, score in scores.items()
        if (match := match_structure(name, titles)) is not None
    }
