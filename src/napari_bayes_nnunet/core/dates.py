"""Days and ranges of days as users type them."""

from __future__ import annotations

from datetime import date


def parse_dates(text: str) -> str:
    """Return one day, or a range whose ends may be missing, as DICOM writes it; "" for "".

    Raises ValueError for anything else.

    >>> parse_dates("2026-01-31"), parse_dates("2026-01-01:")
    ('20260131', '20260101-')
    """
    if not text:
        return ""
    ends = [f"{date.fromisoformat(end):%Y%m%d}" if end else "" for end in text.split(":")]
    if len(ends) > 2 or not any(ends):
        raise ValueError(text)
    return "-".join(ends)
