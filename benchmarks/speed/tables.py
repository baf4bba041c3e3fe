"""Markdown tables of the speed measurements."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from napari_bayes_nnunet.core.metrics.calibration import expected_calibration_error
from napari_bayes_nnunet.core.metrics.overlap import dice
from napari_bayes_nnunet.io.dataset.raw_dataset import TrainingCase
from napari_bayes_nnunet.io.images.nifti import read_labels

from ..markdown import markdown_table
from .floor import Floor
from .overlay import Overlays
from .rows import Measured, Row

STOCK_DEFAULT, STOCK_PLAIN = 0, 1
"""Indices of nnU-Net with and without mirroring among the rows."""


def describe_row(row: Row, precision: str) -> str:
    """Return a description of a row."""
    who = "nnU-Net" if row.stock else "student" if row.student else "ours"
    mirroring = {"full": "4 mirrors", "none": "no mirrors", "spread": "mirrors spread"}
    stops = ", until stable" if row.until_stable else ""
    return f"{who}, {mirroring[row.mirroring]}, {precision}{stops}"


def speed_table(measured: Sequence[Measured]) -> str:
    """Return seconds per volume, and the speed-up over nnU-Net with equal and full mirroring."""
    rows = []
    for item in measured:
        default, plain = measured[STOCK_DEFAULT], measured[STOCK_PLAIN]
        same = plain if item.row.mirroring == "none" else default
        rows.append(
            [
                describe_row(item.row, item.precision),
                f"{np.mean(item.seconds):.1f}",
                f"{np.mean(item.taken):.1f}",
                "" if item.row.mirroring == "spread" else speed_up(same, item),
                speed_up(default, item),
            ]
        )
    heads = ["", "seconds per volume", "members", "× nnU-Net, same mirrors", "× nnU-Net's default"]
    first = measured[0]
    title = f"{first.row.members} members, {len(first.volumes)} volumes, {first.device}"
    return f"{title}\n\n{markdown_table(heads, rows)}"


def speed_up(slow: Measured, fast: Measured) -> str:
    """Return the mean speed-up over the volumes, with the lowest and the highest."""
    ratios = np.array(slow.seconds) / np.array(fast.seconds)
    return f"{ratios.mean():.2f} ({ratios.min():.2f} to {ratios.max():.2f})"


def agreement_table(measured: Sequence[Measured], cases: Sequence[TrainingCase]) -> str:
    """Return the differences from nnU-Net's results; spread mirroring is compared with full."""
    rows = []
    for item in measured[2:]:
        other = measured[STOCK_PLAIN if item.row.mirroring == "none" else STOCK_DEFAULT]
        differences = np.array([_compare(item, other, case) for case in cases])
        largest, mean, labels, of_dice, ece = (
            *differences[:, 0:1].max(0),
            *differences[:, 1:].mean(0),
        )
        rows.append(
            [
                describe_row(item.row, item.precision),
                "no mirrors" if item.row.mirroring == "none" else "4 mirrors",
                *(f"{largest:.3f}", f"{mean:.5f}", f"{100 * labels:.3f}"),
                *(f"{of_dice:+.4f}", f"{100 * ece:+.3f}"),
            ]
        )
    heads = ["", "compared with nnU-Net with", "largest |Δp|", "mean |Δp|"]
    heads += ["differing labels, % of voxels", "ΔDice", "ΔECE, points"]
    return markdown_table(heads, rows)


def _compare(item: Measured, other: Measured, case: TrainingCase) -> tuple[float, ...]:
    mine, theirs = (np.load(m.folder / f"{case.name}.npy") for m in (item, other))
    difference = np.abs(mine - theirs)
    labels = [probabilities.argmax(0) for probabilities in (mine, theirs)]
    reference = read_labels(case.label).voxels
    scores = [_score(probabilities, reference) for probabilities in (mine, theirs)]
    return (
        float(difference.max()),
        float(difference.mean()),
        float(np.mean(labels[0] != labels[1])),
        scores[0][0] - scores[1][0],
        scores[0][1] - scores[1][1],
    )


def _score(
    probabilities: NDArray[np.float32], reference: NDArray[np.integer]
) -> tuple[float, float]:
    """Return the mean Dice over structures and the ECE."""
    structures = {str(label): label for label in range(1, len(probabilities))}
    scores = dice(probabilities.argmax(0), reference, structures)
    ece = expected_calibration_error(probabilities, reference)
    return float(np.nanmean([*scores.values()])), ece


def growth_table(grown: Sequence[Measured]) -> str:
    """Return the time and memory that more members and more phases take."""
    rows = []
    for item in grown:
        passes = item.row.members * item.row.phases
        rows.append(
            [
                *(str(item.row.members), str(item.row.phases), f"{item.seconds[0]:.1f}"),
                *(f"{item.seconds[0] / passes:.3f}", f"{item.peak / 1e6:.0f}"),
            ]
        )
    heads = ["members", "phases", "seconds", "seconds per member and phase"]
    title = f"{grown[0].volumes[0]}, mirrors spread, {grown[0].precision}"
    return f"{title}\n\n{markdown_table([*heads, 'peak anonymous memory, MB'], rows)}"


def overlay_table(overlays: Overlays, default: Measured) -> str:
    """Return the time to the first overlay, also as a fraction of nnU-Net's default run."""
    waits = {
        "without a child process: start, load, first member": overlays.cold,
        "with the ensemble loaded in a waiting child process": overlays.warm,
        "second image with the same ensemble": overlays.again,
    }
    rows = [
        [state, f"{seconds:.2f}", f"1/{default.seconds[0] / seconds:.0f}"]
        for state, seconds in waits.items()
    ]
    return markdown_table(["time to the first overlay", "seconds", "of nnU-Net's default"], rows)


def floor_table(floor: Floor, measured: Sequence[Measured]) -> str:
    """Return the measured times next to the lower bound given by the matrix rate."""
    passes = {"full": 4, "none": 1, "spread": 1}
    rows = []
    for item in measured:
        if (rate := floor.rates.get(item.precision)) is None:
            continue
        least = floor.operations * item.taken[0] * passes[item.row.mirroring] / rate
        seconds = item.seconds[0]
        description = describe_row(item.row, item.precision)
        rows.append([description, f"{seconds:.1f}", f"{least:.1f}", f"{seconds / least:.1f}"])
    rates = ", ".join(f"{kind} {rate / 1e9:.0f} GFLOP/s" for kind, rate in floor.rates.items())
    title = (
        f"One pass over {measured[0].volumes[0]}: {floor.operations / 1e9:.0f} GFLOP. "
        f"Matrix rate: {rates}."
    )
    return (
        f"{title}\n\n{markdown_table(['', 'measured, s', 'lower bound, s', '× lower bound'], rows)}"
    )
