"""Images and labels that belong together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Pair:
    """One labelled image: what will be a case of the dataset.

    ``images`` are its channels. ``image_frame`` and ``label_frame`` are the frames, from 1, to be
    cut out of a cine, None for a volume. ``values`` are the label values that occur, and 0.
    """

    name: str
    images: tuple[Path, ...]
    label: Path
    image_frame: int | None
    label_frame: int | None
    values: tuple[int, ...]


@dataclass(frozen=True)
class Mismatch:
    """A file that will not be used, and why, in words that follow its name."""

    file: Path
    reason: str


@dataclass(frozen=True)
class Match:
    """What two folders hold, by name. ``known_names`` of values are those of a dataset.json."""

    images: Path
    labels: Path
    pairs: tuple[Pair, ...]
    mismatches: tuple[Mismatch, ...]
    known_names: tuple[tuple[int, str], ...] = ()

    @property
    def values(self) -> tuple[int, ...]:
        """Label values that occur in any pair, 0 included."""
        return tuple(sorted({value for pair in self.pairs for value in pair.values}))

    @property
    def suggested_names(self) -> dict[int, str]:
        """Name of every value: that of a dataset.json in or above the folders, else a number."""
        known, names = dict(self.known_names), {0: "background"}
        for value in self.values:
            if value:
                name = known.get(value, "")
                taken = name.casefold() in {"", *(given.casefold() for given in names.values())}
                names[value] = f"structure {value}" if taken else name
        return names
