"""Temperatures of the vanilla network, fitted on patients other than those they are judged by."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from napari_bayes_nnunet.core.metrics.calibration import fit_temperature, foreground_box
from napari_bayes_nnunet.io.files.atomic import write_json
from napari_bayes_nnunet.io.images.nifti import read_labels

from .judging import OTHERS, Case, Task, tallies
from .rows import Row


def fitted_temperatures(
    cases: Sequence[Case], row: Row, output: Path, *, mirroring: str, device: str
) -> dict[str, float]:
    """Patient → τ, fitted on that half of the patients of ``cases`` to which it does not belong.

    `OTHERS` get what was fitted on all. ``row`` is the network without a temperature. Kept in
    OUTPUT/temperatures.json.
    """
    file = output / "temperatures.json"
    if not file.exists():
        voxels = [(c.patient, _voxels(c, row, output, mirroring, device)) for c in cases]
        patients = sorted({case.patient for case in cases})
        halves = patients[::2], patients[1::2]
        found = {OTHERS: _fit(part for _, part in voxels)}
        for mine, others in (halves, halves[::-1]):
            fitted = _fit(part for patient, part in voxels if patient in others)
            found |= dict.fromkeys(mine, fitted)
        write_json(file, found)
    return read_temperatures(output)


def read_temperatures(output: Path) -> dict[str, float]:
    """Those that were fitted; none before the first training is finished."""
    file = output / "temperatures.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}


def _voxels(
    case: Case, row: Row, output: Path, mirroring: str, device: str
) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (C, N) and labels (N,) in the box around the reference, as for the ECE."""
    task = Task(case, output / "trainings" / row.folder, (row,), mirroring, device)
    probabilities = tallies(task)[row].posterior.mean()
    reference = read_labels(case.label).voxels
    box = foreground_box(reference) or (slice(0, 0),) * 3
    inside = np.asarray(probabilities)[(slice(None), *box)]
    return inside.reshape(len(inside), -1), reference[box].ravel()


def _fit(voxels: Iterable[tuple[np.ndarray, np.ndarray]]) -> float:
    probabilities, labels = (np.concatenate(part, axis=-1) for part in zip(*voxels, strict=True))
    return fit_temperature(probabilities, labels)
