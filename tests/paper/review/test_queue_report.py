"""Table, figure and summary of a queue evaluation."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest

from napari_bayes_nnunet.core.review.queue import DEFAULT_SCORE, REVIEW_SCORES
from napari_bayes_nnunet.core.review.queue_yield import ReviewedSlices, queue_yield
from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.paper.review.queue import (
    BEST,
    KINDS,
    RANDOM,
    SLICES,
    STYLES,
    OrderResult,
    QueueEvaluation,
    queue_text,
    report_csv,
    write_queue_report,
)

from ...helpers.checks.problems import says


def result(errors, order, slices, *, border=False):
    studies = [
        ReviewedSlices(patient=name, errors=np.array(counts, float), order=np.array(slices))
        for name, counts in zip("abcdef", [[0, 6, 3, 1], [0, 10, 0, 0]] * 3, strict=True)
    ]
    found = queue_yield(studies)
    at = found.at_share
    return OrderResult(
        errors=errors,
        order=order,
        leaves_out_border=border,
        queue_yield=found,
        times_random=at,
        of_best=at,
    )


@pytest.fixture
def evaluation():
    rows = []
    for kind in KINDS:
        rows.append(result(kind, BEST, [1, 2, 3, 0]))
        rows += [
            result(kind, s, [2, 1, 0, 3], border=b) for s in REVIEW_SCORES for b in (False, True)
        ]
        rows += [result(kind, order, [0, 1, 2, 3]) for order in (SLICES, RANDOM)]
    return QueueEvaluation(
        results=tuple(rows),
        studies=6,
        patients=6,
        slices=24,
        errors={"all": 60, "gross": 60},
        notes=("a note",),
    )


def test_table_has_a_row_for_every_order(evaluation):
    rows = list(csv.DictReader(io.StringIO(report_csv(evaluation))))
    assert len(rows) == len(evaluation.results)
    best = rows[0]
    assert (best["errors"], best["order"], best["border"]) == ("gross", BEST, "counted")
    assert float(best["found_at_30_percent"]) == pytest.approx(0.83, abs=1e-4)
    assert 0.66 <= float(best["found_at_30_percent_low"]) < 0.83
    assert 0.83 < float(best["found_at_30_percent_high"]) <= 1
    assert [float(best[f"found_at_{step}"]) for step in (0, 50, 100)] == [0, 0.95, 1]
    assert {row["border"] for row in rows if row["order"] == "entropy"} == {"counted", "left out"}


def test_text_has_yield_of_default_score(evaluation):
    text = queue_text(evaluation).splitlines()
    for part in ("6 studies", "6 patients", "24 slices", "60 wrong voxels", "60 of them"):
        assert part in text[0]
    assert f"30 % of the slices by “{REVIEW_SCORES[DEFAULT_SCORE].title}”: 31 %" in text[1]
    assert "Best possible: 83 %. Random order: 30 %." in text[1]
    assert text[-1] == "a note"


def test_error_names_the_file_that_failed(evaluation, tmp_path):
    (tmp_path / "queue.png").mkdir()
    with pytest.raises(DataError, check=says(file=tmp_path / "queue.png")):
        write_queue_report(evaluation, tmp_path / "queue")
    assert (tmp_path / "queue.csv").read_text(encoding="utf-8") == report_csv(evaluation)
    assert {path.name for path in tmp_path.iterdir()} == {"queue.csv", "queue.png"}


def test_every_order_has_its_own_line():
    assert set(STYLES) == {BEST, SLICES, RANDOM, *REVIEW_SCORES}
    looks = {(s["color"], s.get("linestyle", "-")) for s in STYLES.values()}
    assert len(looks) == len(STYLES)
