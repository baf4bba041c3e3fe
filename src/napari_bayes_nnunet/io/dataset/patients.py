"""Patient of a case, named by a part of the case's name."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from .. import DataError

DEFAULT_PATIENT = (
    r"^(sub-[^_/]+(?=[_/])"
    r"|.+?(?=[_/]ses-|(?:[_/](?i:E[DS]))?[_/](?:frame|phase_?\d)|[_/](?i:E[DS])$))"
)
"""Pattern of the patient's part of a case name, or of its path in a tree.

It is the subject of BIDS (``sub-01``), else all before the session (``_ses-01``), the frame
(``_frame01``, ``_ED_frame01``), the phase (``_phase01``), or ``_ED`` or ``_ES`` at the end.
"""
BAD_PATTERN = "{pattern!r} is not a valid pattern for the patient ({reason}). Correct the pattern."


def patient_of(case: str, pattern: str = DEFAULT_PATIENT) -> str:
    """Return the patient of a case: the first group of ``pattern`` in its name, else the name.

    Raises DataError if ``pattern`` is not a regular expression.
    """
    return _patient_in(case, pattern) or case


def without_patient(cases: Sequence[str], pattern: str) -> list[str]:
    """Return the cases that ``pattern`` does not match; each counts as a separate patient."""
    return [case for case in cases if not _patient_in(case, pattern)]


def no_patient_is_shared(patients: Mapping[str, str]) -> bool:
    """Return whether each case counts as a separate patient and some names identify none.

    ``patients`` gives the patient of every case, which is the case itself if none is identified.
    """
    is_unnamed = any(case == patient for case, patient in patients.items())
    return is_unnamed and 1 < len(patients) == len(set(patients.values()))


def _patient_in(case: str, pattern: str) -> str:
    """Return the patient that ``pattern`` finds in a case's name, "" if it finds none."""
    try:
        match = re.search(pattern, case)
    except re.error as error:
        raise DataError(BAD_PATTERN, pattern=pattern, reason=error) from error
    if match is None:
        return ""
    return (match.group(1) if match.groups() else match.group()) or ""
