"""End-diastole and end-systole among the 3D images of a dataset or a run."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from ...core.heart.measurements import canonical_structure

_PHASE: Final = re.compile(
    r"[-_/](?:(E[DS])|(?:frame|phase)[-_]?\d+)(?=[-_/.]|$)", flags=re.IGNORECASE
)
_NUMBER: Final = re.compile(r"(?:frame|phase)[-_]?(\d+)", flags=re.IGNORECASE)


def examination_of(case: str) -> str:
    """Return the name of a case without its phase, "" if it names no phase."""
    name, found = _PHASE.subn("", case)
    return name if found else ""


def named_end(case: str) -> str:
    """Return "ED" or "ES" if the name of the case says so, else ""."""
    return next((end.upper() for end in _PHASE.findall(case) if end), "")


def named_ends(cases: Sequence[str]) -> tuple[int, int] | None:
    """Return which of the cases, from 1, are ED and ES by their names; None unless both are."""
    ends = [named_end(case) for case in cases]
    if sorted(filter(None, ends)) != ["ED", "ES"]:
        return None
    return ends.index("ED") + 1, ends.index("ES") + 1


def phase_number(case: str) -> int | None:
    """Return the number of the phase in the name of a case: 12 for ``p1_frame12``."""
    numbers = _NUMBER.findall(case)
    return int(numbers[-1]) if numbers else None


def phase_order(case: str) -> tuple[int, int, str]:
    """Return a sort key: ED first, ES last, then the numbers of the phases."""
    return ("ED", "", "ES").index(named_end(case)), phase_number(case) or 0, case


def phase_pairs(volumes: Mapping[str, Mapping[str, float]]) -> list[tuple[str, str]]:
    """Return the cases of ED and ES of each examination that has exactly two cases.

    ``volumes`` has the mL of each structure by case. The cases of an examination have names that
    differ only in the phase (``_ED``, ``_frame01``, ``_phase01``). If these do not say ED and ES,
    the case with the larger LV, or RV if the LVs are equal, is end-diastole. A pair without any
    difference is left out.
    """
    examinations: dict[str, list[str]] = {}
    for case in volumes:
        if examination := examination_of(case):
            examinations.setdefault(examination, []).append(case)
    # Of three or more phases the names do not say which two belong together.
    pairs = (_in_order(cases, volumes) for cases in examinations.values() if len(cases) == 2)
    return [pair for pair in pairs if pair is not None]


def _in_order(
    cases: list[str], volumes: Mapping[str, Mapping[str, float]]
) -> tuple[str, str] | None:
    if ends := named_ends(cases):
        ed, es = (cases[number - 1] for number in ends)
        return ed, es
    first, second = cases
    # Tuples compare the LV first, then the RV.
    blood = _blood(volumes[first]), _blood(volumes[second])
    if blood[0] == blood[1]:
        return None
    return (first, second) if blood[0] > blood[1] else (second, first)


def _blood(volumes: Mapping[str, float]) -> tuple[float, float]:
    """Return the mL of LV and RV, 0 for one that is missing."""
    of_structure = {canonical_structure(name): ml for name, ml in volumes.items()}
    return of_structure.get("LV", 0.0), of_structure.get("RV", 0.0)
