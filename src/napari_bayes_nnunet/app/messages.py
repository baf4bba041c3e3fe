"""What parent and child processes tell each other: one frozen dataclass a kind, one JSON line each.

Arrays do not travel here but as ``.npy`` and ``.npz`` files in the scratch folder of the child.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Final

from ..core.problems import Problem, Statement
from ..io.ensemble.run_folder import EpochReport
from ..io.files.json_files import parse_json
from . import AppError
from .segmentation.settings import SegmentationSettings


@dataclass(frozen=True, kw_only=True)
class Message:
    """Base of all messages; ``kind`` tells them apart in JSON."""

    kind: ClassVar[str]

    def to_line(self) -> str:
        """One line of JSON, without its end."""
        return json.dumps({"kind": self.kind, **asdict(self)}, allow_nan=False)


@dataclass(frozen=True, kw_only=True)
class SpokenMessage(Message):
    """Base of messages with a text for the user, worded for the command line.

    ``statement`` is the JSON of the same as a `Statement`, from which a window words its own; None
    where the text has no such parts, and in files of version 0.1.0.
    """

    text: str = ""
    statement: dict[str, Any] | None = None

    @property
    def spoken(self) -> Statement | str:
        """The statement, or the text if there is none that this version can read."""
        if self.statement is None:
            return self.text
        try:
            return Statement.from_json(self.statement)
        except (KeyError, TypeError, ValueError, AttributeError):
            return self.text


def speech(words: Statement | Problem | str) -> dict[str, Any]:
    """Return the two fields of a `SpokenMessage`."""
    if isinstance(words, Problem):
        words = words.statement
    statement = words.to_json() if isinstance(words, Statement) else None
    return {"text": str(words), "statement": statement}


# Requests, from the window to the inference child. Closing the child's input ends it.


@dataclass(frozen=True, kw_only=True)
class LoadEnsemble(Message):
    """Make the ensemble in ``folder`` ready on ``device``, and check every member."""

    kind: ClassVar[str] = "load"
    folder: str
    device: str = "auto"


@dataclass(frozen=True, kw_only=True)
class SegmentImage(Message):
    """Segment the array in the file ``image``, (channels, [T,] Z, Y, X), spacing (z, y, x) in mm.

    ``phases`` of a cine count from 1; None lets one member find ED and ES; [] is a 3D image.
    """

    kind: ClassVar[str] = "segment"
    job: int
    image: str
    spacing: tuple[float, float, float]
    folder: str
    phases: list[int] | None = field(default_factory=list)
    settings: SegmentationSettings = field(default_factory=SegmentationSettings)


@dataclass(frozen=True, kw_only=True)
class TestConnection(Message):
    """Say what is at ``device``, the name of another computer; see `app.remote_device`."""

    kind: ClassVar[str] = "test"
    __test__: ClassVar[bool] = False  # no test of pytest
    device: str


@dataclass(frozen=True, kw_only=True)
class StopJob(Message):
    """Stop ``job``; what it found so far stays."""

    kind: ClassVar[str] = "stop"
    job: int


# Replies of the inference child.


@dataclass(frozen=True, kw_only=True)
class ChildReady(Message):
    """The child has started. ``devices``: name for a request → text with name and free memory."""

    kind: ClassVar[str] = "ready"
    devices: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class EnsembleLoaded(Message):
    """The members were opened. ``refused``: path of a member → why it cannot be used."""

    kind: ClassVar[str] = "loaded"
    folder: str
    refused: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class ConnectionTested(Message):
    """What is at ``device``, or why it cannot be used, in one sentence."""

    kind: ClassVar[str] = "tested"
    device: str
    text: str


@dataclass(frozen=True, kw_only=True)
class PhasesFound(Message):
    """End-diastole and end-systole of the cine of ``job``, as one member sees them."""

    kind: ClassVar[str] = "phases"
    job: int
    end_diastole: int
    end_systole: int


@dataclass(frozen=True, kw_only=True)
class SnapshotReady(Message):
    """The posterior after ``done`` of ``total`` members, of one phase (None for a 3D image).

    ``labels`` (Z, Y, X) uint8, ``entropy`` and ``mutual_information`` (Z, Y, X) float32 bit are
    ``.npy`` files, the reader's to delete. ``eta_seconds`` counts all phases of the job.
    """

    kind: ClassVar[str] = "snapshot"
    job: int
    phase: int | None
    done: int
    total: int
    eta_seconds: float
    labels: str
    entropy: str
    mutual_information: str


@dataclass(frozen=True, kw_only=True)
class PhaseDone(Message):
    """All members of one phase are done; ``report`` is the content of a case's JSON file.

    ``posterior`` is a file of the mean probabilities and of the members' labels, as in a study,
    the reader's to delete; "" where it could not be written.
    """

    kind: ClassVar[str] = "phase_done"
    job: int
    phase: int | None
    report: dict[str, Any]
    posterior: str = ""


@dataclass(frozen=True, kw_only=True)
class Notice(SpokenMessage):
    """One sentence for the user, such as a step taken because memory was short."""

    kind: ClassVar[str] = "notice"


# Messages of any job.


@dataclass(frozen=True, kw_only=True)
class StageStarted(Message):
    """The job began something that takes a while; ``text`` is for the user.

    Where it consists of ``total`` equal parts ``done`` of them are, and what is left takes
    ``eta_seconds``, None while nobody knows.
    """

    kind: ClassVar[str] = "stage"
    text: str
    done: int = 0
    total: int = 0
    eta_seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class TrainingStarted(Message):
    """The training of ``fold`` is about to run the epochs from ``epoch`` (0, or on a resume later).

    ``epochs`` in all, in ``cycles`` of equal length; then ``validation_cases`` are measured.
    """

    kind: ClassVar[str] = "started"
    fold: str
    epoch: int
    epochs: int
    cycles: int
    validation_cases: int = 0


@dataclass(frozen=True, kw_only=True)
class StudiesFound(Message):
    """A folder was searched: ``studies`` in all. ``left_out`` says of other files why, a sentence.

    Written by ``predict --jsonl``, as is `StudyDone`.
    """

    kind: ClassVar[str] = "studies"
    studies: int
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class StudyDone(SpokenMessage):
    """One study ended: ``outcome`` is "done", "finished before" or "failed".

    ``case`` is the folder of its results seen from the output folder, ``text`` why it failed, or
    notes. ``done`` of ``total`` studies are; ``eta_seconds`` for the others, None where unknown.
    """

    kind: ClassVar[str] = "study"
    case: str
    outcome: str
    done: int
    total: int
    eta_seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class EpochDone(EpochReport, Message):
    """One finished epoch of a training."""

    kind: ClassVar[str] = "epoch"


FINISHED: Final = "finished"
STOPPED: Final = "stopped"
FAILED: Final = "failed"


@dataclass(frozen=True, kw_only=True)
class JobEnded(SpokenMessage):
    """The last message of a job: ``outcome`` is FINISHED, STOPPED or FAILED."""

    kind: ClassVar[str] = "ended"
    outcome: str
    job: int = 0


_KINDS: dict[str, type[Message]] = {
    message.kind: message
    for message in (
        LoadEnsemble,
        SegmentImage,
        TestConnection,
        StopJob,
        ChildReady,
        EnsembleLoaded,
        ConnectionTested,
        PhasesFound,
        SnapshotReady,
        PhaseDone,
        Notice,
        StageStarted,
        TrainingStarted,
        StudiesFound,
        StudyDone,
        EpochDone,
        JobEnded,
    )
}


@dataclass(frozen=True)
class _Kind:
    kind: str


def from_line(line: str) -> Message:
    """Return the message of a JSON line; keys of newer versions are ignored. Raises AppError."""
    try:
        return parse_json(line, _KINDS[parse_json(line, _Kind).kind])
    except (ValueError, KeyError):
        raise AppError("This line is not a message of this program.") from None
