"""Mean scores of validation cases."""

from __future__ import annotations

import pytest

from napari_bayes_nnunet.app.segmentation.calibrate import mean_scores


def test_mean_scores_leave_unknown_values_out() -> None:
    cases = [{"RV": 0.8, "LV": 0.9}, {"RV": float("nan"), "LV": 0.7}]
    assert mean_scores(cases) == pytest.approx({"RV": 0.8, "LV": 0.8})
