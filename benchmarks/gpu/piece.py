"""Arguments and sizes that the pieces share, and the name of the card."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic
from typing import Any, TypeVar

from .progress import CALL_AGAIN, FINISHED, add_row, read_results

Settings = TypeVar("Settings", bound=Any)


@dataclass(frozen=True)
class Size:
    """Sizes of the measurements: of the network, of an image, and of the training.

    ``features`` are those of each stage of the network, ``patch`` is (y, x), ``shape`` (Z, Y, X)
    and ``phases`` the number of such images in a cine. ``epochs`` is the number after which a piece
    of training stops, ``flags`` are those of the training, and ``enlarged`` is the factor to made
    hearts.
    """

    features: tuple[int, ...]
    patch: tuple[int, int]
    shape: tuple[int, int, int]
    phases: int
    members: int
    batches: tuple[int, ...]
    side: int
    epochs: int
    flags: tuple[str, ...]
    enlarged: int
    patients: int


FULL = Size(
    features=(32, 64, 128, 256, 512, 512),
    patch=(256, 224),
    shape=(10, 288, 270),
    phases=25,
    members=30,
    batches=(16, 32, 64, 128, 256),
    side=8192,
    epochs=1200,
    flags=("--preset", "paper"),
    enlarged=5,
    patients=20,
)
TINY = Size(
    features=(4, 8, 8),
    patch=(32, 24),
    shape=(3, 44, 40),
    phases=2,
    members=2,
    batches=(4,),
    side=64,
    epochs=2,
    flags=(
        *("--preset", "tiny", "--epochs", "6", "--cycles", "1", "--gamma", "0.5"),
        *("--batch-size", "2", "--iterations-per-epoch", "2", "--members-per-cycle", "3"),
    ),
    enlarged=1,
    patients=4,
)


@dataclass(frozen=True)
class PieceOptions:
    """Arguments of a piece, and the time at which it ends."""

    out: Path
    device: str
    ends: float
    tiny: bool
    dataset: Path | None
    join: bool

    @property
    def size(self) -> Size:
        """Sizes of the measurements."""
        return TINY if self.tiny else FULL

    @property
    def work(self) -> Path:
        """Folder of what can be made again."""
        return self.out / "work"

    @property
    def seconds_left(self) -> float:
        """Seconds until the piece ends."""
        return self.ends - monotonic()


def parse_options(doc: str | None, words: list[str] | None = None) -> PieceOptions:
    """Return the arguments of a piece."""
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--seconds", type=float, default=500)
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--dataset", type=Path)
    parser.add_argument("--join", action="store_true")
    options = vars(parser.parse_args(words))
    ends = monotonic() + options.pop("seconds")
    return PieceOptions(ends=ends, **options)


def missing(out: Path, kind: str, wanted: Iterable[Settings]) -> Iterator[Settings]:
    """Yield the settings that have no row of a kind in OUT/results.jsonl."""
    measured = read_results(out, kind)
    for settings in wanted:
        if not any(row.items() >= asdict(settings).items() for row in measured):
            yield settings


def measure_missing(
    kind: str,
    wanted: Iterable[Settings],
    measure: Callable[[Settings], dict[str, Any]],
    options: PieceOptions,
) -> int:
    """Write a row for each of the settings that has none, until the time is over."""
    card, longest = card_name(options.device), 0.0
    for settings in missing(options.out, kind, wanted):
        if options.seconds_left < 2 * longest:
            return CALL_AGAIN
        started = monotonic()
        row = {"kind": kind, "card": card, **asdict(settings), **measure(settings)}
        longest = max(longest, monotonic() - started)
        add_row(options.out, row)
        print(row, flush=True)
    return FINISHED


def card_name(device: str) -> str:
    """Return the name of a card, or "CPU"."""
    import torch

    return torch.cuda.get_device_name(device) if device.startswith("cuda") else "CPU"
