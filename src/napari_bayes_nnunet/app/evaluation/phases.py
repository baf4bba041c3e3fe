"""Cases of end-diastole and end-systole, and the intervals of measurements that need both."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from ...core.heart.function import heart_function
from ...core.heart.slice_volumes import PhaseVolumes
from ...core.types import Phase
from ...io.dataset.phase_pairs import phase_pairs
from ...io.evaluation.predictions import IntervalEnds
from ..report.number_warnings import number_warnings
from .case import CaseEvaluation, IntervalResult

PHASE: Final = "phase"
"""Group of the cases of end-diastole and end-systole."""
END_PHASES: Final = ("ED", "ES")


def with_phases(
    cases: Sequence[CaseEvaluation], functions: Mapping[str, Mapping[str, IntervalEnds]]
) -> list[CaseEvaluation]:
    """Return the cases, those of ED and ES with this group and the intervals of ``functions``.

    Cases of one examination are paired by name and reference volumes. ``functions`` has the
    intervals of the heart's measurements by case; ED gets them, with the reference's values.
    """
    volumes = _reference_volumes(cases)
    changed: dict[str, dict[str, Any]] = {}
    for pair in phase_pairs(volumes):
        changed |= {name: {"phase": phase} for name, phase in zip(pair, END_PHASES, strict=True)}
        ends: dict[Phase, PhaseVolumes] = {
            number: PhaseVolumes.from_totals(volumes[case]) for number, case in enumerate(pair)
        }
        truth = heart_function(ends, ed=0, es=1)
        changed[pair[0]]["intervals"] = {
            name: IntervalResult(reference=truth[name].value, **known)
            for name, known in functions.get(pair[0], {}).items()
            if name in truth
        }
    return [
        _with_phase(case, **changed[case.case]) if case.case in changed else case for case in cases
    ]


def pair_warnings(cases: Sequence[CaseEvaluation], grids: Mapping[str, str]) -> Iterator[str]:
    """Yield a warning for each finding in the predicted volumes of an ED and its ES.

    ``grids`` are those of the predictions, by case.
    """
    measured = {case.case: case.structures for case in cases}
    for ed, es in phase_pairs(_reference_volumes(cases)):
        numbers = {f"{name} EDV": result.volume_ml for name, result in measured[ed].items()}
        numbers |= {f"{name} ESV": result.volume_ml for name, result in measured[es].items()}
        known = [grids[case] for case in (ed, es) if case in grids]
        yield from (f"{ed}: {sentence}" for sentence in number_warnings(numbers, grids=known))


def _reference_volumes(cases: Iterable[CaseEvaluation]) -> dict[str, dict[str, float]]:
    return {c.case: {name: r.reference_ml for name, r in c.structures.items()} for c in cases}


def known_phases(cases: Iterable[CaseEvaluation]) -> dict[str, str]:
    """Return case → phase of the cases that have one; the first of a name that has it counts."""
    phases: dict[str, str] = {}
    for case in cases:
        if PHASE in case.groups:
            phases.setdefault(case.case, case.groups[PHASE])
    return phases


def in_phase(case: CaseEvaluation, phase: str | None) -> CaseEvaluation:
    """Return a case with the group ``phase``, which it may lack; as it is for None."""
    return case if phase is None else replace(case, groups=case.groups | {PHASE: phase})


def _with_phase(
    case: CaseEvaluation, *, phase: str, intervals: Mapping[str, IntervalResult] | None = None
) -> CaseEvaluation:
    return replace(
        case,
        groups={PHASE: phase} | case.groups,
        intervals={**case.intervals, **(intervals or {})},
    )
