"""Speed, memory and accuracy for whole cines, compared with nnU-Net's own predictor.

python -m benchmarks.speed.cine RUN DATASET [--volumes 2] [--members 30] [--phases 25]
    [--device auto] [--csv FILE]

RUN is a training of `bayes-nnunet train`. A cine alternates the ED and the ES frame of a validation
patient (see --split) with about ten slices, because other phases have no reference. Each row is
measured in a process of its own, without the time to open the ensemble. nnU-Net's default is timed
on the first three phases of every cine, and its time is scaled to all phases. Prints a Markdown
table and writes a CSV file. The machine should be idle.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_bayes_nnunet.core.metrics.calibration import ReliabilityBins, reliability_bins
from napari_bayes_nnunet.core.metrics.overlap import dice
from napari_bayes_nnunet.io.dataset.raw_dataset import TrainingCase
from napari_bayes_nnunet.io.images.nifti import read_labels
from napari_bayes_nnunet.nnunet.device import choose_device

from ..held_back import held_back_cases, make_parser, read_image
from ..markdown import markdown_table
from .memory import PeakMemory
from .rows import PHASES, SLICES, Ours, Row, Stock, run_alone
from .tables import describe_row

TIMED_PHASES = 3
"""Phases on which nnU-Net is timed."""
FRAMES = 2
"""Different frames of a cine: ED and ES."""
Frames = tuple[TrainingCase, ...]


@dataclass(kw_only=True)
class MeasuredCines:
    """Row with the seconds of each cine, the members asked per slice, and the labels of its frames.

    ``bins`` pool the voxels of all frames. ``peak`` is in bytes.
    """

    row: Row
    precision: str
    device: str
    peak: int = 0
    seconds: list[float] = field(default_factory=list)
    asked: list[float] = field(default_factory=list)
    labels: list[NDArray[np.uint8]] = field(default_factory=list)
    dice: list[float] = field(default_factory=list)
    bins: ReliabilityBins = field(default_factory=ReliabilityBins.empty)


def cine_rows(members: int, phases: int) -> list[Row]:
    """Return nnU-Net's default, and ours: whole, in the heart's window, and by slice, too."""
    ours: dict[str, Any] = {"members": members, "phases": phases, "mirroring": "spread"}
    return [
        Row(stock=True, mirroring="full", members=members, phases=phases),
        Row(mirroring="full", members=members, phases=phases),
        Row(**ours),
        Row(**ours, window="heart"),
        Row(**ours, window="heart", until_stable=True),
    ]


def choose_cines(cases: Iterable[TrainingCase], count: int) -> list[Frames]:
    """Return the two frames of each of ``count`` patients, with about ten slices."""
    of_patient: dict[str, list[TrainingCase]] = defaultdict(list)
    for case in sorted(cases, key=lambda case: case.name):
        of_patient[case.name.partition("_")[0]].append(case)
    cines = [tuple(frames) for frames in of_patient.values() if len(frames) == FRAMES]
    return sorted(cines, key=lambda cine: abs(read_image(cine[0])[0].shape[1] - SLICES))[:count]


def measure_cines(row: Row, run: Path, cines: Sequence[Frames], device: str) -> MeasuredCines:
    """Measure one row on all cines, with the peak memory of this process."""
    with PeakMemory(str(choose_device(device))) as peak:
        predictor = (Stock if row.stock else Ours)(run, row, device)
        measured = MeasuredCines(row=row, precision=predictor.precision, device=predictor.device)
        for cine in cines:
            read = [read_image(case) for case in cine]
            images, spacing = [image for image, _ in read], read[0][1]
            phases = [images[number % FRAMES] for number in range(row.phases)]
            segment = _segment_stock if isinstance(predictor, Stock) else _segment_ours
            seconds, asked, found = segment(predictor, phases, spacing)
            measured.seconds.append(seconds)
            measured.asked.append(asked)
            for probabilities, case in zip(found, cine, strict=True):
                _score(measured, probabilities, read_labels(case.label).voxels)
    measured.peak = peak.bytes
    return measured


def _segment_stock(
    predictor: Stock, phases: list[NDArray[Any]], spacing: Any
) -> tuple[float, float, list[NDArray[np.float32]]]:
    """Return the scaled seconds, the members, and the probabilities of the first two phases."""
    timed = phases[:TIMED_PHASES]
    started = perf_counter()
    results = [predictor.predict(image, spacing) for image in timed]
    seconds = (perf_counter() - started) * len(phases) / len(timed)
    return seconds, float(results[0][1]), [found for found, _ in results[:FRAMES]]


def _segment_ours(
    predictor: Ours, phases: list[NDArray[Any]], spacing: Any
) -> tuple[float, float, list[NDArray[np.float32]]]:
    started = perf_counter()
    results = predictor.segment_phases(phases, spacing)
    seconds = perf_counter() - started
    asked = [r.members_by_slice or [len(r.members)] * len(r.labels) for r in results]
    return seconds, float(np.mean(asked)), [result.probabilities for result in results[:FRAMES]]


def _score(
    measured: MeasuredCines, probabilities: NDArray[np.float32], reference: NDArray[Any]
) -> None:
    labels = probabilities.argmax(0).astype(np.uint8)
    structures = {str(label): label for label in range(1, len(probabilities))}
    measured.labels.append(labels)
    measured.dice.append(float(np.nanmean([*dice(labels, reference, structures).values()])))
    measured.bins = measured.bins + reliability_bins(probabilities, reference)


def cine_table(measured: Sequence[MeasuredCines]) -> str:
    """Return seconds per cine, speed-up, members, memory, and differences from nnU-Net's default.

    The speed-up is the mean over the cines, with the lowest and the highest.
    """
    default = measured[0]
    rows = []
    for item in measured:
        ratios = np.array(default.seconds) / np.array(item.seconds)
        foreground = [(a > 0) | (b > 0) for a, b in zip(item.labels, default.labels, strict=True)]
        differing = sum(
            np.count_nonzero(a != b) for a, b in zip(item.labels, default.labels, strict=True)
        ) / max(1, sum(map(np.count_nonzero, foreground)))
        window = ", window" if item.row.window == "heart" else ""
        rows.append(
            [
                describe_row(item.row, item.precision) + window,
                f"{np.mean(item.seconds):.1f}" + (" (scaled)" if item.row.stock else ""),
                f"{ratios.mean():.1f} ({ratios.min():.1f} to {ratios.max():.1f})",
                f"{np.mean(item.asked):.1f}",
                f"{item.peak / 1e6:.0f}",
                f"{100 * differing:.2f}",
                f"{np.mean(item.dice):.4f} ({np.mean(item.dice) - np.mean(default.dice):+.4f})",
                f"{100 * item.bins.ece:.2f} ({100 * (item.bins.ece - default.bins.ece):+.2f})",
            ]
        )
    heads = ["", "seconds per cine", "× nnU-Net's default", "members per slice", "peak MB"]
    heads += ["differing labels, % of foreground", "Dice (Δ)", "pooled ECE, % (Δ)"]
    row = default.row
    title = f"{row.members} members, {len(default.seconds)} cines of {row.phases} phases"
    return f"{title}, {default.device}\n\n{markdown_table(heads, rows)}"


def write_cine_csv(file: Path, measured: Sequence[MeasuredCines], cines: Sequence[Frames]) -> None:
    """Write one line per row and cine."""
    lines = [
        {
            **asdict(item.row),
            "precision": item.precision,
            "cine": cine[0].name.partition("_")[0],
            "seconds": round(seconds, 3),
            "timed_phases": TIMED_PHASES if item.row.stock else item.row.phases,
            "members_per_slice": round(asked, 2),
            "peak_mb": round(item.peak / 1e6),
        }
        for item in measured
        for cine, seconds, asked in zip(cines, item.seconds, item.asked, strict=True)
    ]
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(lines[0]))
        writer.writeheader()
        writer.writerows(lines)


def main() -> None:
    """Measure all rows, print the table and write the rows."""
    parser = make_parser(__doc__)
    parser.add_argument("--volumes", type=int, default=2)
    parser.add_argument("--phases", type=int, default=PHASES)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--csv", type=Path, default=Path("cine.csv"))
    options = parser.parse_args()
    cines = choose_cines(held_back_cases(options.dataset, options.split), options.volumes)
    measured = [
        run_alone(measure_cines, row, options.run, cines, options.device)
        for row in cine_rows(options.members, options.phases)
    ]
    print(cine_table(measured))
    write_cine_csv(options.csv, measured, cines)


if __name__ == "__main__":
    main()
