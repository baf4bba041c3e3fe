"""Decisions and settings of a reader in a review, STUDY/review.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeAlias

from annotated_types import Interval

from ...core.heart.function import Patient
from ...core.heart.valve_plane import Hinges, HingesKey, Valve
from ...core.heart.wall import Insertions
from ...core.types import Phase, Place
from ..files.access import writing
from ..files.atomic import write_json
from ..files.json_files import Ordinal, parse_json, reading_json

State: TypeAlias = Literal["accepted", "flagged"]
_Number: TypeAlias = Annotated[float, Interval(ge=-1e5, le=1e5)]

REVIEW: Final = "review.json"
_FORMAT: Final = 1
_REPAIR: Final = "Rename it to start the review again."


@dataclass(frozen=True, kw_only=True)
class Decision:
    """Decision of the reader on one slice.

    ``seconds`` is the time it took, ``when`` an ISO date and time. ``edited`` is True if the labels
    of the slice differ from the prediction. ``labels`` is the checksum of its labels in the file,
    "" if unknown, or while the study is open.
    """

    state: State
    comment: str = ""
    seconds: float = 0.0
    when: str = ""
    edited: bool = False
    labels: str = ""


@dataclass(frozen=True, kw_only=True)
class _ReviewEntries:
    """Entries with the same name and value in a `ReviewState` and in its file."""

    score: str = ""
    structure: str | None = None
    leave_out_border: bool = False
    all_phases: bool = False
    landmarks_chosen: bool = False
    protected: tuple[str, ...] = ()
    finished: bool = False
    papillary_as_muscle: bool = False
    by_valve_plane: bool = False
    reader: str = ""
    finished_on: str = ""


@dataclass(frozen=True, kw_only=True)
class ReviewState(_ReviewEntries):
    """Progress of a review, and the settings of its reader.

    ``score`` ("" for the default), ``structure`` (None for all), ``leave_out_border`` and
    ``all_phases`` (instead of ED and ES only) define the queue. ``landmarks_chosen`` is True if the
    reader has chosen ``ed`` and ``es``. ``protected`` structures do not change. ``current`` is the
    slice on screen. With ``papillary_as_muscle`` or ``by_valve_plane`` the numbers are also
    measured by that rule. ``insertions`` are those of the RV that the reader has moved, ``hinges``
    those of the valves that the reader has marked on long-axis planes. ``reader`` is the reader's
    name, "" if unknown, ``finished_on`` the ISO date and time at which the review was finished
    last.
    ``other`` keeps entries of newer versions.
    """

    decisions: Mapping[Place, Decision] = field(default_factory=dict)
    ed: Phase = None
    es: Phase = None
    patient: Patient = field(default_factory=Patient)
    current: Place | None = None
    insertions: Mapping[Place, Insertions] = field(default_factory=dict)
    hinges: Mapping[HingesKey, Hinges] = field(default_factory=dict)
    other: Mapping[str, Any] = field(default_factory=dict)

    def with_decision(self, place: Place, decision: Decision | None) -> ReviewState:
        """Return the state with another decision on one slice, or without one."""
        decisions = {key: value for key, value in self.decisions.items() if key != place}
        if decision is not None:
            decisions[place] = decision
        return replace(self, decisions=decisions)

    @property
    def work(self) -> ReviewState:
        """The state without times and what only concerns the screen, to compare readings."""
        untimed = {place: replace(d, seconds=0, when="") for place, d in self.decisions.items()}
        work = replace(self, decisions=untimed, finished_on="", current=None)
        return replace(work, score="", structure=None, leave_out_border=False)

    def count(self, state: State) -> int:
        """Return the number of slices with this decision."""
        return sum(decision.state == state for decision in self.decisions.values())

    def is_begun(self, header: Patient = Patient()) -> bool:  # noqa: B008 - it is frozen
        """Return whether the reader has entered anything that cannot be recomputed.

        ``header`` has the values of the patient with which the review starts.
        """
        is_entered = self.landmarks_chosen or self.patient != header
        is_drawn = bool(self.insertions or self.hinges)
        return bool(self.decisions) or is_drawn or self.finished or is_entered


@dataclass(frozen=True, kw_only=True)
class _PlaceRow:
    phase: Ordinal | None
    slice: Ordinal

    @property
    def place(self) -> Place:
        return self.phase, self.slice - 1


@dataclass(frozen=True, kw_only=True)
class _DecisionRow(Decision, _PlaceRow):
    """Decision with its slice."""

    @property
    def decision(self) -> Decision:
        return Decision(**{f.name: getattr(self, f.name) for f in fields(Decision)})


@dataclass(frozen=True, kw_only=True)
class _InsertionsRow(_PlaceRow):
    """Insertions (y, x) of the RV with their slice."""

    anterior: tuple[_Number, _Number]
    inferior: tuple[_Number, _Number]


@dataclass(frozen=True, kw_only=True)
class _HingesRow:
    """Hinges (R, A, S) of a valve with their phase and the name of their long-axis plane."""

    phase: Ordinal | None
    valve: Valve
    view: str
    first: tuple[_Number, _Number, _Number]
    second: tuple[_Number, _Number, _Number]
    normal: tuple[_Number, _Number, _Number]


@dataclass(frozen=True, kw_only=True)
class _ReviewFile(_ReviewEntries):
    """Content of ``review.json``, of which older versions did not write all entries."""

    decisions: list[_DecisionRow]
    ED: Ordinal | None = None
    ES: Ordinal | None = None
    patient: Patient | None = None
    current: _PlaceRow | None = None
    insertions: tuple[_InsertionsRow, ...] = ()
    hinges: tuple[_HingesRow, ...] = ()


def read_review(folder: Path) -> ReviewState | None:
    """Return the review in the folder of a study, None if it has not begun.

    Raises DataError for a file that is damaged or of a newer version.
    """
    try:
        with reading_json(folder / REVIEW, newest=_FORMAT, repair=_REPAIR) as text:
            return _review(parse_json(text, _ReviewFile), parse_json(text, dict[str, Any]))
    except FileNotFoundError:
        return None


def write_review(folder: Path, review: ReviewState) -> None:
    """Write the review atomically. Raises DataError if that fails."""
    with writing(folder / REVIEW):
        write_json(folder / REVIEW, _content(review))


def _content(review: ReviewState) -> dict[str, Any]:
    return {
        # First, because all that is known here replaces it.
        **review.other,
        "format": _FORMAT,
        **_shared(review),
        "ED": review.ed,
        "ES": review.es,
        "patient": asdict(review.patient),
        "current": None if review.current is None else _place_content(review.current),
        "decisions": [
            {**_place_content(place), **asdict(decision)}
            for place, decision in sorted(review.decisions.items(), key=_in_order)
        ],
        "insertions": [
            {**_place_content(place), **asdict(insertions)}
            for place, insertions in sorted(review.insertions.items(), key=_in_order)
        ],
        "hinges": [
            {"phase": phase, "valve": valve, "view": view, **asdict(hinges)}
            for (phase, valve, view), hinges in review.hinges.items()
        ],
    }


def _review(content: _ReviewFile, entries: Mapping[str, Any]) -> ReviewState:
    """Return the review of a file; ``entries`` also has those that this version does not know."""
    known = {"format", *(f.name for f in fields(_ReviewFile))}
    return ReviewState(
        decisions={row.place: row.decision for row in content.decisions},
        ed=content.ED,
        es=content.ES,
        patient=content.patient or Patient(),
        current=None if content.current is None else content.current.place,
        insertions={
            row.place: Insertions(anterior=row.anterior, inferior=row.inferior)
            for row in content.insertions
        },
        hinges={
            (row.phase, row.valve, row.view): Hinges(
                first=row.first, second=row.second, normal=row.normal
            )
            for row in content.hinges
        },
        other={key: value for key, value in entries.items() if key not in known},
        **_shared(content),
    )


def _shared(entries: _ReviewEntries) -> dict[str, Any]:
    return {f.name: getattr(entries, f.name) for f in fields(_ReviewEntries)}


def _place_content(place: Place) -> dict[str, Any]:
    return {"phase": place[0], "slice": place[1] + 1}


def _in_order(item: tuple[Place, Any]) -> tuple[int, int]:
    phase, z = item[0]
    return phase or 0, z
