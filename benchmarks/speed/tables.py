"""The Markdown tables of what was measured."""

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
"""Places of stock nnU-Net with and without its mirrors among the rows."""


def name(row: Row, precision: str) -> str:
    """What a row is, in words."""
    mirrors = {"full": "4 mirrors", "none": "no mirrors", "spread": "mirrors spread"}
    stops = ", until stable" if row.until_stable else ""
    return f"{'nnU-Net' if row.stock else 'ours'}, {mirrors[row.mirroring]}, {precision}{stops}"


def speed_table(found: Sequence[Measured]) -> str:
    """Seconds a volume, and how many times as fast as nnU-Net with as many mirrors and with all."""
    rows = []
    for one in found:
        default, plain = found[STOCK_DEFAULT], found[STOCK_PLAIN]
        same = plain if one.row.mirroring == "none" else default
        rows.append(
            [
                name(one.row, one.precision),
                f"{np.mean(one.seconds):.1f}",
                f"{np.mean(one.taken):.1f}",
                "" if one.row.mirroring == "spread" else ratio(same, one),
                ratio(default, one),
            ]
        )
    heads = ["", "seconds a volume", "members", "× nnU-Net, same mirrors", "× nnU-Net's default"]
    title = f"{found[0].row.members} members, {len(found[0].volumes)} volumes, {found[0].device}"
    return f"{title}\n\n{markdown_table(heads, rows)}"


def ratio(slow: Measured, fast: Measured) -> str:
    """Mean over the volumes, and from the least to the most."""
    each = np.array(slow.seconds) / np.array(fast.seconds)
    return f"{each.mean():.2f} ({each.min():.2f} to {each.max():.2f})"


def agreement_table(found: Sequence[Measured], cases: Sequence[TrainingCase]) -> str:
    """How far our answers are from those of nnU-Net; spread mirrors from its default."""
    rows = []
    for one in found[2:]:
        other = found[STOCK_PLAIN if one.row.mirroring == "none" else STOCK_DEFAULT]
        each = np.array([_compare(one, other, case) for case in cases])
        largest, mean, labels, of_dice, ece = (*each[:, 0:1].max(0), *each[:, 1:].mean(0))
        rows.append(
            [
                name(one.row, one.precision),
                "no mirrors" if one.row.mirroring == "none" else "4 mirrors",
                *(f"{largest:.3f}", f"{mean:.5f}", f"{100 * labels:.3f}"),
                *(f"{of_dice:+.4f}", f"{100 * ece:+.3f}"),
            ]
        )
    heads = ["", "beside nnU-Net with", "largest |Δp|", "mean |Δp|"]
    heads += ["labels that differ, % of the voxels", "ΔDice", "ΔECE, points"]
    return markdown_table(heads, rows)


def _compare(one: Measured, other: Measured, case: TrainingCase) -> tuple[float, ...]:
    mine, theirs = (np.load(m.answers / f"{case.name}.npy") for m in (one, other))
    difference = np.abs(mine - theirs)
    labels = [answer.argmax(0) for answer in (mine, theirs)]
    reference = read_labels(case.label).voxels
    scores = [_score(answer, reference) for answer in (mine, theirs)]
    return (
        float(difference.max()),
        float(difference.mean()),
        float(np.mean(labels[0] != labels[1])),
        scores[0][0] - scores[1][0],
        scores[0][1] - scores[1][1],
    )


def _score(answer: NDArray[np.float32], reference: NDArray[np.integer]) -> tuple[float, float]:
    """Mean Dice of the structures, and ECE."""
    structures = {str(label): label for label in range(1, len(answer))}
    scores = dice(answer.argmax(0), reference, structures)
    return float(np.nanmean([*scores.values()])), expected_calibration_error(answer, reference)


def growth_table(grown: Sequence[Measured]) -> str:
    """What more members and more phases cost, in time and memory."""
    rows = []
    for one in grown:
        passes = one.row.members * one.row.phases
        rows.append(
            [
                *(str(one.row.members), str(one.row.phases), f"{one.seconds[0]:.1f}"),
                *(f"{one.seconds[0] / passes:.3f}", f"{one.peak / 1e6:.0f}"),
            ]
        )
    heads = ["members", "phases", "seconds", "seconds a member and phase"]
    title = f"{grown[0].volumes[0]}, mirrors spread, {grown[0].precision}"
    return f"{title}\n\n{markdown_table([*heads, 'peak anonymous memory, MB'], rows)}"


def overlay_table(overlays: Overlays, default: Measured) -> str:
    """The wait for the first overlay, and the part it is of nnU-Net's default from start to end."""
    waits = {
        "no child yet: start, load, first member": overlays.cold,
        "the child waits with the ensemble": overlays.warm,
        "another image on the same ensemble": overlays.again,
    }
    rows = [
        [what, f"{seconds:.2f}", f"1/{default.seconds[0] / seconds:.0f}"]
        for what, seconds in waits.items()
    ]
    return markdown_table(["to the first overlay", "seconds", "of nnU-Net's default"], rows)


def floor_table(floor: Floor, found: Sequence[Measured]) -> str:
    """Measured time beside what the machine's matrix products of the same size would take."""
    passes = {"full": 4, "none": 1, "spread": 1}
    rows = []
    for one in found:
        if (rate := floor.rates.get(one.precision)) is None:
            continue
        least = floor.operations * one.taken[0] * passes[one.row.mirroring] / rate
        seconds = one.seconds[0]
        words = name(one.row, one.precision)
        rows.append([words, f"{seconds:.1f}", f"{least:.1f}", f"{seconds / least:.1f}"])
    rates = ", ".join(f"{kind} {rate / 1e9:.0f} GFLOP/s" for kind, rate in floor.rates.items())
    title = (
        f"One pass over {found[0].volumes[0]}: {floor.operations / 1e9:.0f} GFLOP. "
        f"Matrix rate: {rates}."
    )
    return f"{title}\n\n{markdown_table(['', 'measured, s', 'floor, s', '× the floor'], rows)}"
