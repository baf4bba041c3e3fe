"""Pieces of the measurements on a card, and their progress, which outlasts the machine."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..results import append_row, read_rows

CALL_SECONDS = 500
"""Seconds after which a call starts nothing more; pieces end by then, or are killed."""
GRACE_SECONDS = 25
"""Seconds that a piece may take longer than it was allowed before it is killed."""
TOTAL_SECONDS = 45 * 60
MOST_FAILURES = 2
FINISHED, CALL_AGAIN, FAILED = 0, 10, 1
"""Exit codes of a piece and of the whole: all done, not all done yet, failed."""
OTHER_SETTINGS = "{file} belongs to a run with {before}, not {now}. Choose another OUT."


@dataclass(frozen=True)
class Piece:
    """A program of the measurements: its arguments, its seconds, and the least worth a start."""

    name: str
    module: str
    seconds: int
    least: int
    arguments: tuple[str, ...] = ()


PIECES = (
    Piece("tests", "benchmarks.gpu.tests", seconds=240, least=100),
    Piece("compare", "benchmarks.gpu.compare", seconds=420, least=100),
    Piece("speed", "benchmarks.gpu.speed", seconds=600, least=80),
    Piece("training", "benchmarks.gpu.training", seconds=480, least=240),
    Piece("resume", "benchmarks.gpu.training", seconds=480, least=240, arguments=("--join",)),
)


@dataclass
class PieceProgress:
    """Seconds and failures of a piece so far, and whether there is nothing left to do."""

    seconds: float = 0.0
    failures: int = 0
    is_done: bool = False

    @property
    def has_failed(self) -> bool:
        """Whether the piece has failed too often to be tried again."""
        return self.failures >= MOST_FAILURES


@dataclass
class Progress:
    """Progress of all pieces, stored in OUT/state.json.

    ``seconds`` is the time of all calls. A piece is charged all that it may take before it starts,
    and given back the rest when it ends: a kill counts as the whole.
    """

    file: Path
    settings: dict[str, Any]
    seconds: float = 0.0
    pieces: dict[str, PieceProgress] = field(default_factory=dict)

    @classmethod
    def read(cls, out: Path, settings: dict[str, Any]) -> Progress:
        """Return the progress stored in ``out``. Raises ValueError if its settings differ."""
        file = out / "state.json"
        if not file.exists():
            return cls(file, settings)
        stored = json.loads(file.read_text(encoding="utf-8"))
        if stored["settings"] != settings:
            before, now = stored["settings"], settings
            raise ValueError(OTHER_SETTINGS.format(file=file, before=before, now=now))
        pieces = {name: PieceProgress(**entry) for name, entry in stored["pieces"].items()}
        return cls(file, settings, stored["seconds"], pieces)

    def write(self) -> None:
        """Write the progress, atomically."""
        content = {
            "settings": self.settings,
            "seconds": round(self.seconds, 1),
            "pieces": {name: asdict(piece) for name, piece in self.pieces.items()},
        }
        temporary = self.file.with_name(".state.json")
        temporary.write_text(json.dumps(content, indent=1), encoding="utf-8")
        os.replace(temporary, self.file)

    def of(self, piece: Piece) -> PieceProgress:
        """Return the progress of a piece."""
        return self.pieces.setdefault(piece.name, PieceProgress())

    def open_pieces(self) -> list[Piece]:
        """Return the pieces that can still be worked on."""
        if self.seconds >= TOTAL_SECONDS:
            return []
        return [p for p in PIECES if not self.of(p).is_done and not self.of(p).has_failed]

    def allowed(self, piece: Piece, left: float) -> int:
        """Return the seconds for a piece, 0 if they are not worth a start.

        ``left`` are those of the call. A piece that has used all of its seconds is done.
        """
        progress = self.of(piece)
        rest = min(piece.seconds - progress.seconds, TOTAL_SECONDS - self.seconds)
        if rest < min(piece.least, piece.seconds):
            progress.is_done = True
            return 0
        return int(min(rest, left)) if left >= piece.least else 0

    def charge(self, piece: Piece, seconds: float) -> None:
        """Add seconds to a piece and to the whole; negative ones are given back."""
        self.of(piece).seconds += seconds
        self.seconds += seconds
        self.write()

    def end(self, piece: Piece, code: int) -> None:
        """Note the exit code of a piece."""
        progress = self.of(piece)
        progress.is_done = code == FINISHED
        progress.failures = progress.failures + 1 if code not in (FINISHED, CALL_AGAIN) else 0
        self.write()


def add_row(out: Path, row: dict[str, Any]) -> None:
    """Append a measured row to OUT/results.jsonl."""
    append_row(out / "results.jsonl", row)


def read_results(out: Path, kind: str) -> list[dict[str, Any]]:
    """Return the measured rows of a kind."""
    return [row for row in read_rows(out / "results.jsonl") if row["kind"] == kind]
