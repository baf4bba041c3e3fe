"""Sentences on findings that contradict anatomy or the cardiac cycle."""

from __future__ import annotations

from typing import Final

from ...core.heart.plausibility import Fault, Finding
from ...core.problems import Statement, statement
from ...core.types import Place
from .session import ReviewSession

SENTENCES: Final = {
    Fault.GAP: "{slice}: the {structure} is missing, but slices on both sides have it.",
    Fault.PIECES: "{slice}: the {structure} has a separate piece of {amount:.0f} mm².",
    Fault.OPEN_WALL: "{slice}: {percent:.0f} % of the LV's border has no myocardium.",
    Fault.MASS: "{slice}: the myocardial mass differs from that at ED by {percent:+.0f} %.",
    Fault.JUMP: "{slice}: the {structure} volume jumps by {percent:.0f} % of the stroke volume.",
    Fault.NOT_ED: (
        "{slice}: the LV is larger in this phase than at ED, by {percent:.0f} % of the stroke "
        "volume."
    ),
    Fault.NOT_ES: (
        "{slice}: the LV is smaller in this phase than at ES, by {percent:.0f} % of the stroke "
        "volume."
    ),
    Fault.ATRIUM: "{slice}: lies in the atrium; {amount:.0f} mL of {structure} there.",
    Fault.REMOVED: (
        "{slice}: {amount:.0f} mL apart from the heart were removed. Bring back what belongs to it."
    ),
}


def describe_finding(session: ReviewSession, finding: Finding) -> Statement:
    """Return a finding as a sentence that names slice and phase."""
    signed = 100 * finding.amount
    return statement(
        SENTENCES[finding.fault],
        slice=session.title_of(finding.place),
        structure=finding.structure,
        amount=finding.amount,
        percent=signed if finding.fault is Fault.MASS else abs(signed),
    )


def sentences_by_slice(session: ReviewSession) -> dict[Place, str]:
    """Return the findings of each slice as text, one sentence per line."""
    sentences: dict[Place, list[str]] = {}
    for finding in session.findings():
        sentences.setdefault(finding.place, []).append(str(describe_finding(session, finding)))
    return {place: "\n".join(dict.fromkeys(lines)) for place, lines in sentences.items()}


def list_sentences(session: ReviewSession) -> list[str]:
    """Return the sentences on all findings."""
    return [line for text in sentences_by_slice(session).values() for line in text.splitlines()]
