"""Pairs of images and labels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ...core.problems import Statement


@dataclass(frozen=True)
class Pair:
    """One labelled image, a future case of the dataset.

    ``images`` are its channels. ``image_frame`` and ``label_frame`` are the frames, from 1, to
    extract from a cine, None for a volume. ``values`` are the label values that occur, and 0.
    """

    name: str
    images: tuple[Path, ...]
    label: Path
    image_frame: int | None
    label_frame: int | None
    values: tuple[int, ...]


@dataclass(frozen=True)
class Mismatch:
    """A file that will not be used.

    ``reason`` is a whole statement, or words that follow the name of the file.
    """

    file: Path
    reason: Statement | str

    @property
    def sentence(self) -> Statement | str:
        """Sentence that names the file and the reason."""
        if isinstance(self.reason, Statement):
            return self.reason
        return f"{self.file.name} {self.reason}."


@dataclass(frozen=True)
class Match:
    """Pairs and other files of two folders. ``known_names``: names of values in a dataset.json."""

    images: Path
    labels: Path
    pairs: tuple[Pair, ...]
    mismatches: tuple[Mismatch, ...]
    known_names: tuple[tuple[int, str], ...] = ()

    @property
    def values(self) -> tuple[int, ...]:
        """Label values that occur in any pair, including 0."""
        return tuple(sorted({value for pair in self.pairs for value in pair.values}))

    @property
    def suggested_names(self) -> dict[int, str]:
        """Name of every value, from a dataset.json in or above the folders, else its number."""
        known, names = dict(self.known_names), {0: "background"}
        for value in self.values:
            if value:
                name = known.get(value, "")
                taken = name.casefold() in {"", *(given.casefold() for given in names.values())}
                names[value] = f"structure {value}" if taken else name
        return names
