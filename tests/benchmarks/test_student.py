"""Table of what a student loses against its ensemble."""

from __future__ import annotations

import json

import numpy as np
import pytest
from benchmarks.paper.stored_cases import bins_to_json
from benchmarks.student import ENSEMBLE, NAMES, losses, spearman, table

from napari_bayes_nnunet.core.metrics.calibration import reliability_bins

SLICES = np.arange(10.0)


def made_row(case: str, *, lost: float, confidence: float, order: int) -> dict:
    """Return a line of the results, in which only the student differs from the others."""
    reference = np.zeros((1, 20, 5), int)
    reference[:, [0, 1, 2, 19]] = 1  # in 20 rows: the accuracy is 80 %

    def scores(dice: float, sure: float, slices: np.ndarray) -> dict:
        probabilities = np.stack(
            [np.full(reference.shape, p, np.float32) for p in (sure, 1 - sure)]
        )
        return {
            "seconds": 1.0,
            "dice": {"LV": dice},
            "bins": bins_to_json(reliability_bins(probabilities, reference)),
            "scores": slices.tolist(),
            "errors": SLICES.tolist(),
        }

    row = {name: scores(0.9, 0.8, SLICES) for name in NAMES}
    row["student"] = scores(0.9 - lost, confidence, SLICES[::order])
    return {"case": case, **row}


@pytest.mark.parametrize(
    ("lost", "confidence", "order", "reached"),
    [(0.002, 0.8, 1, True), (0.004, 0.8, 1, False), (0, 0.79, 1, False), (0, 0.8, -1, False)],
)
def test_a_student_may_be_used_if_it_loses_little(lost, confidence, order, reached, tmp_path):
    rows = [
        made_row(f"patient{n:03d}_frame01", lost=lost, confidence=confidence, order=order)
        for n in range(3)
    ]
    file = tmp_path / "results.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = losses(rows, "student")
    assert found["Dice"] == pytest.approx(lost)
    assert found["ECE, points"] == pytest.approx(100 * (0.8 - confidence), abs=1e-4)
    assert (found["ranking, points"] == pytest.approx(0)) == (order == 1)
    assert spearman(rows, "student") == pytest.approx(order)
    assert spearman(rows, ENSEMBLE) == pytest.approx(1)
    verdicts = [line for line in table(file).splitlines() if "loses" in line]
    assert [line.endswith("may be used") for line in verdicts] == [reached, True]
