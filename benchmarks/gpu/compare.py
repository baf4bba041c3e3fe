"""Our predictor and nnU-Net's on the same full-size ensemble and image, from host to host.

python -m benchmarks.gpu.compare OUT [--device cuda] [--seconds 500] [--tiny]

The seconds run from the image in the main memory, before preprocessing, to the results there. The
first time reads the members, the second one finds them on the card where there is room. A row that
is in OUT/results.jsonl is not measured again.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from .model import SPACING, random_ensemble, random_image
from .piece import PieceOptions, Size, measure_missing, parse_options
from .rows import Ours, Row, Stock


def comparison_rows(size: Size) -> list[Row]:
    """Return nnU-Net's rows and ours, with as few as are needed to compare each setting."""
    n = size.members
    return [
        Row(stock=True, mirroring="none", members=n),
        Row(stock=True, mirroring="full", members=n),
        Row(mirroring="none", members=n, precision="full"),
        Row(mirroring="none", members=n),
        Row(mirroring="full", members=n),
        Row(mirroring="spread", members=n),
        Row(mirroring="spread", members=n, phases=size.phases),
    ]


def measure(row: Row, options: PieceOptions) -> dict[str, Any]:
    """Return the seconds of a row, and how its probabilities differ from nnU-Net's."""
    size = options.size
    model = random_ensemble(options.work / "full_size", size)
    predictor = (Stock if row.stock else Ours)(model, row, options.device)
    image, seconds = random_image(size), []
    for _ in range(2):
        started = perf_counter()
        probabilities, members = predictor.predict(image, SPACING)
        seconds.append(round(perf_counter() - started, 3))
    return {
        "computed_in": predictor.precision,
        "slices": row.phases * size.shape[0],
        "members_asked": members,
        "first_seconds": seconds[0],
        "seconds": seconds[1],
        "largest_difference": _difference(row, probabilities, options.work),
    }


def _difference(row: Row, probabilities: np.ndarray, work: Path) -> float | None:
    """Return the largest |Δp| to nnU-Net's result with the same mirrors; None if it is not here."""
    file = work / f"nnunet-{row.mirroring}.npy"
    if row.stock:
        np.save(file, probabilities)
        return None
    if not file.exists():
        return None
    return round(float(np.abs(np.load(file) - probabilities).max()), 5)


def main(words: list[str] | None = None) -> int:
    """Measure the rows that are missing, until the time is over."""
    options = parse_options(__doc__, words)
    rows = comparison_rows(options.size)
    return measure_missing("compare", rows, partial(measure, options=options), options)


if __name__ == "__main__":
    sys.exit(main())
