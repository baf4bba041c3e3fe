"""Messages between parent and child processes, one JSON line each.

Arrays are passed as ``.npy`` and ``.npz`` files in the scratch folder of the child instead. Another
computer gets the content of these files after the line (`app.remote.stream`).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Final, Literal, Self

from ..core.problems import Problem, Statement
from ..io.ensemble.run_folder import EpochReport
from ..io.files.json_files import parse_json
from . import AppError
from .segmentation.settings import SegmentationSettings

_KINDS: dict[str, type[Message]] = {}


@dataclass(frozen=True, kw_only=True)
class Message:
    """Base of all messages; ``kind`` tells them apart in JSON.

    ``file_fields`` are the fields with the path of a file, "" for none, or a dict of paths.
    """

    kind: ClassVar[str]
    file_fields: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls) -> None:
        """Make the kind known to `from_line`."""
        # Bases without a kind of their own are never sent.
        if "kind" in cls.__dict__:
            _KINDS[cls.kind] = cls

    def to_line(self) -> str:
        """Return one line of JSON, without a line break."""
        # NaN is not JSON, and `parse_json` refuses it.
        return json.dumps({"kind": self.kind, **asdict(self)}, allow_nan=False)

    def with_files(self, change: Callable[[str], str]) -> Self:
        """Return the message with the path of each of its files changed."""

        def changed(value: str | dict[str, str]) -> str | dict[str, str]:
            if isinstance(value, dict):
                return {name: change(path) for name, path in value.items()}
            return change(value) if value else ""

        return replace(self, **{name: changed(getattr(self, name)) for name in self.file_fields})

    @property
    def files(self) -> list[Path]:
        """Its files, in the order of the stream."""
        values = (getattr(self, name) for name in self.file_fields)
        paths = (v.values() if isinstance(v, dict) else (v,) for v in values)
        return [Path(path) for of_field in paths for path in of_field if path]

    def delete_files(self) -> None:
        """Delete the files, which are no longer needed."""
        for file in self.files:
            file.unlink(missing_ok=True)


@dataclass(frozen=True, kw_only=True)
class TextMessage(Message):
    """Base of messages with a text for the user, worded for the command line.

    ``statement`` is the same text as the JSON of a `Statement`, which a window words itself. It is
    None for plain text.
    """

    text: str = ""
    statement: dict[str, Any] | None = None

    @property
    def sentence(self) -> Statement | str:
        """The statement, or the text if this version cannot read the statement."""
        if self.statement is None:
            return self.text
        try:
            return Statement.from_json(self.statement)
        except (KeyError, TypeError, ValueError, AttributeError):
            return self.text


def text_fields(words: Statement | Problem | str) -> dict[str, Any]:
    """Return the fields ``text`` and ``statement`` of a `TextMessage`."""
    if isinstance(words, Problem):
        words = words.statement
    statement = words.to_json() if isinstance(words, Statement) else None
    return {"text": str(words), "statement": statement}


# Requests from the window to the inference child. The child ends when its input is closed.


@dataclass(frozen=True, kw_only=True)
class LoadEnsemble(Message):
    """Request to load the ensemble in ``folder`` on ``device`` and to check every member.

    With a ``fingerprint`` it comes from another computer and means the ensemble that has it,
    wherever it is; members are then named by their numbers, from 0, instead of their paths.
    """

    kind: ClassVar[str] = "load"
    folder: str
    device: str = "auto"
    fingerprint: str = ""


@dataclass(frozen=True, kw_only=True)
class SegmentImage(Message):
    """Request to segment the array (channels, [T,] Z, Y, X) in the file ``image``.

    ``spacing`` is (z, y, x) in mm. ``phases`` of a cine count from 1. None means ED and ES, found
    by one member; [] means a 3D image, or all phases of a cine. ``doubt`` is that of a `Volume`.
    ``fingerprint`` is that of `LoadEnsemble`. ``part`` "looks" asks only for a look at each phase,
    "phases" only for the phases, with maps that are not rounded, and mean probabilities.
    """

    kind: ClassVar[str] = "segment"
    file_fields: ClassVar[tuple[str, ...]] = ("image",)
    job: int
    image: str
    spacing: tuple[float, float, float]
    folder: str
    phases: list[int] | None = field(default_factory=list)
    settings: SegmentationSettings = field(default_factory=SegmentationSettings)
    doubt: str | None = None
    fingerprint: str = ""
    part: Literal["all", "looks", "phases"] = "all"


@dataclass(frozen=True, kw_only=True)
class EnsembleFile(Message):
    """File ``name`` of the ensemble with this fingerprint, for the other computer to keep."""

    kind: ClassVar[str] = "file"
    file_fields: ClassVar[tuple[str, ...]] = ("content",)
    fingerprint: str
    name: str
    content: str
    is_last: bool


@dataclass(frozen=True, kw_only=True)
class StopJob(Message):
    """Request to stop ``job``; its snapshots so far stay."""

    kind: ClassVar[str] = "stop"
    job: int


# Replies of the inference child.


@dataclass(frozen=True, kw_only=True)
class ChildReady(Message):
    """Start of the child. ``devices``: name for a request → text with model and free memory.

    ``version`` is that of this package.
    """

    kind: ClassVar[str] = "ready"
    devices: dict[str, str]
    version: str = ""


@dataclass(frozen=True, kw_only=True)
class EnsembleMissing(Message):
    """Answer of another computer that needs each `EnsembleFile` before a request."""

    kind: ClassVar[str] = "missing"


@dataclass(frozen=True, kw_only=True)
class EnsembleLoaded(Message):
    """End of loading an ensemble. ``refused``: path of a member → reason it cannot be used.

    ``fingerprint`` is that of the request.
    """

    kind: ClassVar[str] = "loaded"
    folder: str
    refused: dict[str, str]
    fingerprint: str = ""


@dataclass(frozen=True, kw_only=True)
class FirstLookReady(Message):
    """Provisional result of the last member for one phase of a cine, before any is segmented.

    ``labels`` and ``maps`` are files as in `SnapshotReady`, ``volumes`` structure → mL.
    """

    kind: ClassVar[str] = "first_look"
    file_fields: ClassVar[tuple[str, ...]] = ("labels", "maps")
    job: int
    phase: int
    labels: str
    maps: dict[str, str]
    volumes: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class PhasesFound(Message):
    """End-diastole and end-systole of the cine of ``job``, found by one member."""

    kind: ClassVar[str] = "phases"
    job: int
    end_diastole: int
    end_systole: int


@dataclass(frozen=True, kw_only=True)
class SnapshotReady(Message):
    """Posterior of one phase (None for a 3D image) after ``done`` of ``total`` members.

    ``labels`` (Z, Y, X) uint8 and ``maps``, name → (Z, Y, X) float32, are ``.npy`` files, which the
    recipient deletes. ``eta_seconds`` is for all phases of the job.
    """

    kind: ClassVar[str] = "snapshot"
    file_fields: ClassVar[tuple[str, ...]] = ("labels", "maps")
    job: int
    phase: int | None
    done: int
    total: int
    eta_seconds: float
    labels: str
    maps: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class PhaseDone(Message):
    """Result of one phase; ``report`` is the content of a case's JSON file.

    ``posterior`` is a file of the mean probabilities and the members' labels, as in a study, which
    the recipient deletes; "" if it could not be written. If only the phases were requested,
    ``probabilities`` is a file of their (C, Z, Y, X) means, float32; ``no_cine`` and ``run_notes``
    are those of the `Segmentation`.
    """

    kind: ClassVar[str] = "phase_done"
    file_fields: ClassVar[tuple[str, ...]] = ("posterior", "probabilities")
    job: int
    phase: int | None
    report: dict[str, Any]
    posterior: str = ""
    probabilities: str = ""
    no_cine: str = ""
    run_notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Notice(TextMessage):
    """One sentence for the user, for example that memory is short."""

    kind: ClassVar[str] = "notice"


# Messages of any job.


@dataclass(frozen=True, kw_only=True)
class StageStarted(Message):
    """Start or progress of a long step of the job; ``text`` is for the user.

    ``done`` of ``total`` equal parts are done (0 of 0 if it has no parts), and the rest takes
    ``eta_seconds``, None while unknown.
    """

    kind: ClassVar[str] = "stage"
    text: str
    done: int = 0
    total: int = 0
    eta_seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class TrainingStarted(Message):
    """Start of the training of ``fold`` at ``epoch``, which is 0 unless it is resumed.

    It has ``epochs`` in all, in ``cycles`` of equal length, then measures ``validation_cases``.
    """

    kind: ClassVar[str] = "started"
    fold: str
    epoch: int
    epochs: int
    cycles: int
    validation_cases: int = 0


@dataclass(frozen=True, kw_only=True)
class StudiesFound(Message):
    """Number of ``studies`` in a folder. ``left_out``: a sentence for each file left out.

    The command line's predict writes it and `StudyDone` as JSON lines.
    """

    kind: ClassVar[str] = "studies"
    studies: int
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class StudyDone(TextMessage):
    """End of one study: ``outcome`` is "done", "finished before" or "failed".

    ``case`` is the folder of its results, relative to the output folder. ``text`` says why it
    failed, or holds notes. ``done`` of ``total`` studies have ended; the others take
    ``eta_seconds``, None if unknown.
    """

    kind: ClassVar[str] = "study"
    case: str
    outcome: str
    done: int
    total: int
    eta_seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class EpochDone(EpochReport, Message):
    """Finished epoch of a training."""

    kind: ClassVar[str] = "epoch"


FINISHED: Final = "finished"
STOPPED: Final = "stopped"
FAILED: Final = "failed"


@dataclass(frozen=True, kw_only=True)
class JobEnded(TextMessage):
    """Last message of a job: ``outcome`` is FINISHED, STOPPED or FAILED."""

    kind: ClassVar[str] = "ended"
    outcome: str
    job: int = 0


@dataclass(frozen=True)
class _Kind:
    kind: str


def from_line(line: str) -> Message:
    """Return the message in a JSON line, ignoring unknown keys. Raises AppError."""
    try:
        return parse_json(line, _KINDS[parse_json(line, _Kind).kind])
    except (ValueError, KeyError):
        raise AppError("This line is not a message of napari-bayes-nnunet.") from None
