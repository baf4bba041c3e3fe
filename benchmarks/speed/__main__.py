"""Speed and agreement compared with nnU-Net's own predictor.

python -m benchmarks.speed RUN DATASET [--volumes 2] [--members 30] [--device auto] [--csv FILE]

RUN is a training of `bayes-nnunet train`. The volumes are validation cases of it (see --split)
with about ten slices. All rows alternate on every volume; the cost of more members and phases is
measured in separate processes. The machine should be idle. With --device cuda the same command
measures a GPU. Prints Markdown tables and writes the rows as CSV.
"""

from __future__ import annotations

import tempfile
from dataclasses import asdict, replace
from pathlib import Path

from napari_bayes_nnunet.io.dataset.raw_dataset import TrainingCase

from ..command_line import write_csv
from ..held_back import held_back_cases, make_parser, read_image
from .floor import measure_floor
from .overlay import first_overlays, time_opening
from .rows import PHASES, SLICES, Measured, Row, run_alone, side_by_side, with_memory
from .tables import agreement_table, floor_table, growth_table, overlay_table, speed_table


def main() -> None:
    """Measure all rows and print the tables."""
    parser = make_parser(__doc__)
    parser.add_argument("--volumes", type=int, default=2)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--csv", type=Path, default=Path("speed.csv"))
    options = parser.parse_args()
    cases = choose_cases(list(held_back_cases(options.dataset, options.split)), options.volumes)
    n = options.members
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
        arguments = (options.run, cases, options.device, Path(folder))
        measured = run_alone(side_by_side, (*stock, *ours), *arguments)
        print(speed_table(measured))
        print(agreement_table(measured, cases))
        arguments = (options.run, cases[:1], options.device, Path(folder))
        grown = [run_alone(with_memory, row, *arguments) for row in growth]
    print(growth_table(grown))
    print(overlay_table(first_overlays(options.run, cases[0], options.device), measured[0]))
    opening, reading = run_alone(time_opening, options.run)
    print(f"Opening the ensemble: {opening:.2f} s; reading its members: {reading:.2f} s\n")
    print(floor_table(run_alone(measure_floor, options.run, cases[0], options.device), measured))
    write_csv(options.csv, volume_lines([*measured, *grown]))


def choose_cases(cases: list[TrainingCase], count: int) -> list[TrainingCase]:
    """Return one case of each of ``count`` patients, with about ten slices each."""
    first_frames = {case.name.partition("_")[0]: case for case in reversed(cases)}
    by_name = sorted(first_frames.values(), key=lambda case: case.name)
    return sorted(by_name, key=lambda case: abs(read_image(case)[0].shape[1] - SLICES))[:count]


def volume_lines(measured: list[Measured]) -> list[dict[str, object]]:
    """Return one line per row and volume."""
    return [
        {
            **asdict(item.row),
            "precision": item.precision,
            "volume": volume,
            "seconds": round(seconds, 3),
            "members_asked": members,
            "peak_anonymous_mb": round(item.peak / 1e6) or "",
        }
        for item in measured
        for volume, seconds, members in zip(item.volumes, item.seconds, item.taken, strict=True)
    ]


if __name__ == "__main__":
    main()
