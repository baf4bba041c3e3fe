"""How long an answer takes beside nnU-Net's own predictor, and what it costs in exactness.

python -m benchmarks.speed RUN DATASET [--volumes 2] [--members 30] [--device auto] [--csv FILE]

RUN is a training of `bayes-nnunet train`; the volumes are held back by it (see --split) and nearest
to ten slices. All rows take turns on every volume; what more members and phases cost is measured in
a process each. The machine should be idle. The same command measures a CUDA card. Prints Markdown
tables, and writes the rows as CSV.
"""

from __future__ import annotations

import csv
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from napari_bayes_nnunet.io.dataset.raw_dataset import TrainingCase

from ..held_back import held_back, image_of, parser
from .floor import floor
from .overlay import first_overlays, opening
from .rows import Measured, Row, side_by_side, with_memory
from .tables import agreement_table, floor_table, growth_table, overlay_table, speed_table

SLICES = 10
PHASES = 25


def main() -> None:
    """Measure all rows and print the tables."""
    words = parser(__doc__)
    words.add_argument("--volumes", type=int, default=2)
    words.add_argument("--device", default="auto")
    words.add_argument("--csv", type=Path, default=Path("speed.csv"))
    asked = words.parse_args()
    cases = nearest(list(held_back(asked.dataset, asked.split)), asked.volumes)
    n = asked.members
    stock = [Row(stock=True, mirroring=m, members=n) for m in ("full", "none")]
    ours = [
        Row(mirroring="full", precision="full", members=n),
        Row(mirroring="full", members=n),
        Row(mirroring="none", members=n),
        Row(mirroring="spread", members=n),
        Row(mirroring="spread", members=n, until_stable=True),
    ]
    few = Row(mirroring="spread", members=3)
    growth = [replace(few, members=k) for k in (1, 3, 10, 30)] + [replace(few, phases=PHASES)]
    with tempfile.TemporaryDirectory() as folder:
        arguments = (asked.run, cases, asked.device, Path(folder))
        found = alone(side_by_side, (*stock, *ours), *arguments)
        print(speed_table(found))
        print(agreement_table(found, cases))
        arguments = (asked.run, cases[:1], asked.device, Path(folder))
        grown = [alone(with_memory, row, *arguments) for row in growth]
    print(growth_table(grown))
    print(overlay_table(first_overlays(asked.run, cases[0], asked.device), found[0]))
    opened, read = alone(opening, asked.run)
    print(f"Opening the ensemble: {opened:.2f} s; reading its members: {read:.2f} s\n")
    print(floor_table(alone(floor, asked.run, cases[0], asked.device), found))
    write_csv(asked.csv, [*found, *grown])


def nearest(cases: list[TrainingCase], count: int) -> list[TrainingCase]:
    """The volumes whose number of slices is nearest to ten, of as many patients."""
    first_frames = {case.name.partition("_")[0]: case for case in reversed(cases)}
    found = sorted(first_frames.values(), key=lambda case: case.name)
    return sorted(found, key=lambda case: abs(image_of(case)[0].shape[1] - SLICES))[:count]


def alone(work: Any, *arguments: Any) -> Any:
    """The work in a new process, so that none inherits memory or warm caches of another."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(work, *arguments).result()


def write_csv(file: Path, found: list[Measured]) -> None:
    """A line a row and volume."""
    lines = [
        {
            **asdict(one.row),
            "precision": one.precision,
            "volume": volume,
            "seconds": round(seconds, 3),
            "members_asked": members,
            "peak_anonymous_mb": round(one.peak / 1e6) or "",
        }
        for one in found
        for volume, seconds, members in zip(one.volumes, one.seconds, one.taken, strict=True)
    ]
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(lines[0]))
        writer.writeheader()
        writer.writerows(lines)


if __name__ == "__main__":
    main()
