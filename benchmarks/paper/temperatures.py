"""Temperatures of the rows, fitted on other patients than they are evaluated on."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.optimize import minimize_scalar

from napari_bayes_nnunet.core.metrics.calibration import (
    RANGE,
    foreground_box,
)

from .judging import (
    OTHERS,
    Case,
    Task,
    evaluate_tasks,
    file_of,
    missing_tasks,
    read_lines,
    read_reference,
    row_statistics,
)
from .rows import Row
from .shifts import UNSHIFTED

TEMPERATURES = np.geomspace(*RANGE, 61)
"""Temperatures at which the loss of a case is measured; a fit interpolates between them."""


def measure_losses(
    cases: Sequence[Case],
    rows: Sequence[Row],
    output: Path,
    *,
    mirroring: str,
    device: str,
    processes: int,
) -> None:
    """Write the missing losses of unshifted cases, as soon as a case is finished.

    A line of OUTPUT/temperatures/rows/none/ROW.jsonl has the mean NLL of a case at each of the
    `TEMPERATURES`, and its voxels, those of the box used for the ECE.
    """
    tasks = list(missing_tasks(cases, rows, output, kept_losses(output), mirroring, device))
    evaluate_tasks(tasks, measure_case, kept_losses(output), processes, "Fitting temperatures")


def measure_case(task: Task) -> list[tuple[Row, dict[str, Any]]]:
    """Return the losses of a case for each row of one folder."""
    reference = read_reference(task.case)
    box = foreground_box(reference) or (slice(0, 0),) * 3
    labels = reference[box].ravel()
    lines = []
    for row, statistics in row_statistics(task).items():
        inside = np.asarray(statistics.posterior.mean())[(slice(None), *box)]
        losses = temperature_losses(inside.reshape(len(inside), -1), labels, TEMPERATURES)
        content = {
            "case": task.case.name,
            "patient": task.case.patient,
            "losses": losses.tolist(),
            "voxels": labels.size,
        }
        lines.append((row, content))
    return lines


def read_temperatures(
    output: Path, rows: Sequence[Row], cases: Collection[str]
) -> dict[str, dict[str, float]]:
    """Return τ by name of the row and patient, fitted on the half without this patient.

    `OTHERS` has the τ fitted on all patients. Rows without the losses of all ``cases`` are left
    out.
    """
    fitted = {}
    for row in rows:
        lines = dict(read_lines(file_of(kept_losses(output), UNSHIFTED, row)))
        if lines and lines.keys() >= set(cases):
            fitted[row.name] = _fit_halves([lines[case] for case in cases])
    return fitted


def kept_losses(output: Path) -> Path:
    """Return the folder with the losses of the rows."""
    return output / "temperatures"


def _fit_halves(lines: Sequence[dict[str, Any]]) -> dict[str, float]:
    patients = sorted({line["patient"] for line in lines})
    halves = patients[::2], patients[1::2]
    temperatures = {OTHERS: _fit(lines)}
    for mine, others in (halves, halves[::-1]):
        if others:
            fitted = _fit([line for line in lines if line["patient"] in others])
            temperatures |= dict.fromkeys(mine, fitted)
    return temperatures


def _fit(lines: Sequence[dict[str, Any]]) -> float:
    """Return the τ of the lowest loss; cases with an empty reference have none."""
    known = [line for line in lines if line["voxels"]]
    losses: NDArray[np.float64] = np.array([line["losses"] for line in known])
    total = np.average(losses, axis=0, weights=[line["voxels"] for line in known])
    curve = CubicSpline(np.log(TEMPERATURES), total)
    start = int(total.argmin())
    low, high = max(start - 1, 0), min(start + 1, len(total) - 1)
    bounds = np.log([TEMPERATURES[low], TEMPERATURES[high]])
    best = minimize_scalar(curve, bounds=bounds, method="bounded", options={"xatol": 1e-6})
    return float(np.exp(best.x))


def temperature_losses(
    probabilities: np.ndarray, labels: np.ndarray, temperatures: Sequence[float] | np.ndarray
) -> np.ndarray:
    """Return the mean NLL, nat, of ``labels`` (N,) at each of the temperatures.

    ``probabilities`` are (C, N), of N voxels.
    """
    logs = np.log(probabilities.clip(np.finfo(np.float32).tiny)).astype(np.float32, copy=False)

    def loss(temperature: float) -> float:
        softened = logs / np.float32(temperature)
        softened -= softened.max(axis=0)
        at_label = np.take_along_axis(softened, labels[None], axis=0)[0]
        return float((np.log(np.exp(softened).sum(axis=0)) - at_label).mean(dtype=np.float64))

    return np.array([loss(temperature) for temperature in temperatures])
