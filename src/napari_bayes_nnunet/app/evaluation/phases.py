"""Cases of end-diastole and end-systole, and the intervals of measurements that need both."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from ...core.heart.function import Intervals, heart_function
from ...core.heart.slice_volumes import PhaseVolumes
from ...core.types import Phase
from ...io.dataset.phase_pairs import phase_pairs
from ..report.number_warnings import number_warnings
from .aggregates import ALL
from .case import CaseEvaluation
from .measures import interval_numbers

PHASE: Final = "phase"
"""Group of the cases of end-diastole and end-systole."""
END_PHASES: Final = ("ED", "ES")


def with_phases(
    cases: Sequence[CaseEvaluation], functions: Mapping[str, Mapping[str, Intervals]]
) -> list[CaseEvaluation]:
    """Return the cases, those of ED and ES with this group and the intervals of ``functions``.

    Cases of one examination are paired by name and reference volumes. ``functions`` has the
    intervals of the heart's measurements by case; ED gets them, with the reference's values.
    """
    volumes = _reference_volumes(cases)
    found = {case.case: case for case in cases}
    for pair in phase_pairs(volumes):
        for name, phase in zip(pair, END_PHASES, strict=True):
            found[name] = replace(found[name], groups={PHASE: phase} | found[name].groups)
        ends: dict[Phase, PhaseVolumes] = {
            number: PhaseVolumes.from_totals(volumes[case]) for number, case in enumerate(pair)
        }
        truth = heart_function(ends, ed=0, es=1)
        whole = dict(found[pair[0]].numbers[ALL])
        for name, known in functions.get(pair[0], {}).items():
            if name in truth:
                whole |= interval_numbers(name, truth[name].value, known)
        numbers = found[pair[0]].numbers | {ALL: whole}
        found[pair[0]] = replace(found[pair[0]], numbers=numbers)
    return list(found.values())


def pair_warnings(cases: Sequence[CaseEvaluation], grids: Mapping[str, str]) -> Iterator[str]:
    """Yield a warning for each finding in the predicted volumes of an ED and its ES.

    ``grids`` are those of the predictions, by case.
    """
    measured = {case.case: case for case in cases}
    for ed, es in phase_pairs(_reference_volumes(cases)):
        numbers = {
            f"{name} {volume}": measured[case].number("volume_ml", name)
            for case, volume in ((ed, "EDV"), (es, "ESV"))
            for name in measured[case].structures
        }
        known = [grids[case] for case in (ed, es) if case in grids]
        yield from (f"{ed}: {sentence}" for sentence in number_warnings(numbers, grids=known))


def _reference_volumes(cases: Iterable[CaseEvaluation]) -> dict[str, dict[str, float]]:
    return {c.case: {n: c.number("reference_ml", n) for n in c.structures} for c in cases}
