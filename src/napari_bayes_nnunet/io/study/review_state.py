"""What a reader has decided and chosen in a review, STUDY/review.json."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from ...core.heart.function import Patient
from ...core.types import Phase, Place
from .. import DataError
from ..files.atomic import write_json

State: TypeAlias = Literal["accepted", "flagged"]

REVIEW: Final = "review.json"
_FORMAT: Final = 1
_PLAIN: Final = ("score", "structure", "leave_out_border", "all_phases", "finished")
"""Fields that are the same in the file."""
_KEYS: Final = {"format", "decisions", "ED", "ES", "patient", "protected", "current", *_PLAIN}


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What the reader decided of one slice.

    ``seconds`` it took, ``when`` as an ISO date and time, ``edited``: its labels are not those of
    the prediction any more.
    """

    state: State
    comment: str = ""
    seconds: float = 0.0
    when: str = ""
    edited: bool = False


@dataclass(frozen=True, kw_only=True)
class ReviewState:
    """How far a review is, and how its reader has set it up.

    ``score`` ("" is the default one), ``structure`` (None is all), ``leave_out_border`` and
    ``all_phases`` (instead of ED and ES only) make the queue; ``protected`` structures do not
    change; ``current`` is the slice on screen. ``other`` keeps what newer versions have written.
    """

    decisions: Mapping[Place, Decision] = field(default_factory=dict)
    ed: Phase = None
    es: Phase = None
    patient: Patient = field(default_factory=Patient)
    score: str = ""
    structure: str | None = None
    leave_out_border: bool = False
    all_phases: bool = False
    protected: tuple[str, ...] = ()
    current: Place | None = None
    finished: bool = False
    other: Mapping[str, Any] = field(default_factory=dict)

    def deciding(self, place: Place, decision: Decision | None) -> ReviewState:
        """The state with another decision for one slice, or with none."""
        decisions = {key: value for key, value in self.decisions.items() if key != place}
        if decision is not None:
            decisions[place] = decision
        return replace(self, decisions=decisions)

    def count(self, state: State) -> int:
        """Number of slices with this decision."""
        return sum(decision.state == state for decision in self.decisions.values())

    @property
    def is_begun(self) -> bool:
        """Whether the reader has left anything that cannot be made again."""
        return bool(self.decisions) or self.finished or self.patient != Patient()


def read_review(folder: Path) -> ReviewState | None:
    """The review in the folder of a study; None where it was not begun.

    Raises DataError for a file that is damaged or of a newer version.
    """
    file = folder / REVIEW
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        if content["format"] > _FORMAT:
            raise DataError(
                f"{file} was written by a newer version of this program: update it to go on with "
                "the review."
            )
        return _review(content)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}.") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{file} is cut short or damaged ({type(error).__name__}): rename it to begin the "
            "review anew."
        ) from error


def write_review(folder: Path, review: ReviewState) -> None:
    """Write the review atomically. Raises DataError where that fails."""
    file = folder / REVIEW
    try:
        write_json(file, _content(review))
    except OSError as error:
        raise DataError(f"{file} cannot be written: {error.strerror or error}.") from error


def _content(review: ReviewState) -> dict[str, Any]:
    return {
        **review.other,
        "format": _FORMAT,
        **{name: getattr(review, name) for name in _PLAIN},
        "ED": review.ed,
        "ES": review.es,
        "patient": asdict(review.patient),
        "protected": list(review.protected),
        "current": None if review.current is None else _place_content(review.current),
        "decisions": [
            {**_place_content(place), **asdict(decision)}
            for place, decision in sorted(review.decisions.items(), key=_in_order)
        ],
    }


def _review(content: dict[str, Any]) -> ReviewState:
    current = content.get("current")
    return ReviewState(
        decisions={_place(row): _decision(row) for row in content["decisions"]},
        ed=_phase(content.get("ED")),
        es=_phase(content.get("ES")),
        patient=Patient(**_known(Patient, content.get("patient") or {})),
        protected=tuple(content.get("protected", ())),
        current=None if current is None else _place(current),
        other={key: value for key, value in content.items() if key not in _KEYS},
        **{name: content[name] for name in _PLAIN if name in content},
    )


def _place_content(place: Place) -> dict[str, Any]:
    return {"phase": place[0], "slice": place[1] + 1}


def _place(row: Mapping[str, Any]) -> Place:
    z = int(row["slice"]) - 1
    if z < 0:
        raise ValueError(f"There is no slice {z + 1}.")
    return _phase(row["phase"]), z


def _phase(value: Any) -> Phase:
    return None if value is None else int(value)


def _decision(row: Mapping[str, Any]) -> Decision:
    if row["state"] not in ("accepted", "flagged"):
        raise ValueError(f"A slice is accepted or flagged, not {row['state']}.")
    return Decision(**_known(Decision, row))


def _known(kind: type[Any], row: Mapping[str, Any]) -> dict[str, Any]:
    """The entries of a row that this version knows."""
    return {f.name: row[f.name] for f in fields(kind) if f.name in row}


def _in_order(item: tuple[Place, Decision]) -> tuple[int, int]:
    phase, z = item[0]
    return phase or 0, z
