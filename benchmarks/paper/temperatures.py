"""Temperatures of the vanilla network, fitted on other patients than they are evaluated on."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from napari_bayes_nnunet.core.metrics.calibration import fit_temperature, foreground_box
from napari_bayes_nnunet.io.files.atomic import write_json
from napari_bayes_nnunet.io.images.nifti import read_labels

from .judging import OTHERS, Case, Task, row_statistics
from .rows import Row


def fit_temperatures(
    cases: Sequence[Case], row: Row, output: Path, *, mirroring: str, device: str
) -> dict[str, float]:
    """Return τ by patient, fitted on the half of the patients without this patient.

    `OTHERS` has the τ fitted on all patients. ``row`` is the network without a temperature. The
    result is kept in OUTPUT/temperatures.json.
    """
    file = output / "temperatures.json"
    if not file.exists():
        voxels = [(c.patient, _voxels(c, row, output, mirroring, device)) for c in cases]
        patients = sorted({case.patient for case in cases})
        halves = patients[::2], patients[1::2]
        temperatures = {OTHERS: _fit(part for _, part in voxels)}
        for mine, others in (halves, halves[::-1]):
            fitted = _fit(part for patient, part in voxels if patient in others)
            temperatures |= dict.fromkeys(mine, fitted)
        write_json(file, temperatures)
    return read_temperatures(output)


def read_temperatures(output: Path) -> dict[str, float]:
    """Return the fitted temperatures by patient; empty before they are fitted."""
    file = output / "temperatures.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}


def _voxels(
    case: Case, row: Row, output: Path, mirroring: str, device: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities (C, N) and labels (N,) in the foreground box used for the ECE."""
    task = Task(case, output / "trainings" / row.folder, (row,), mirroring, device)
    probabilities = row_statistics(task)[row].posterior.mean()
    reference = read_labels(case.label).voxels
    box = foreground_box(reference) or (slice(0, 0),) * 3
    inside = np.asarray(probabilities)[(slice(None), *box)]
    return inside.reshape(len(inside), -1), reference[box].ravel()


def _fit(voxels: Iterable[tuple[np.ndarray, np.ndarray]]) -> float:
    probabilities, labels = (np.concatenate(part, axis=-1) for part in zip(*voxels, strict=True))
    return fit_temperature(probabilities, labels)
