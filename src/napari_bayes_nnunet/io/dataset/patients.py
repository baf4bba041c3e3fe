"""Patient of a case, named by a part of the case's name."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .. import DataError

DEFAULT_PATIENT = r"^(.+?)(?=(?:_E[DS])?_frame)"
"""Pattern of the patient's part of a case name: all before ``_frame`` or ``_ED_frame``."""
BAD_PATTERN = "{pattern!r} is not a valid pattern for the patient ({reason}). Correct the pattern."


def patient_of(case: str, pattern: str = DEFAULT_PATIENT) -> str:
    """Return the patient of a case: the first group of ``pattern`` in its name, else the name.

    Raises DataError if ``pattern`` is not a regular expression.
    """
    return _patient_in(case, pattern) or case


def without_patient(cases: Sequence[str], pattern: str) -> list[str]:
    """Return the cases that ``pattern`` does not match; each counts as a patient of its own."""
    return [case for case in cases if not _patient_in(case, pattern)]


def _patient_in(case: str, pattern: str) -> str:
    """Return the patient that ``pattern`` finds in a case's name, "" if it finds none."""
    try:
        found = re.search(pattern, case)
    except re.error as error:
        raise DataError(BAD_PATTERN, pattern=pattern, reason=error) from error
    if found is None:
        return ""
    return (found.group(1) if found.groups() else found.group()) or ""
