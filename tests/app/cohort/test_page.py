"""The page of a run: failures first, then the worst; nothing from outside, and never too much."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from napari_bayes_nnunet.app.cohort import page as cohort_page
from napari_bayes_nnunet.app.cohort.page import CohortPage
from napari_bayes_nnunet.app.cohort.row import StudyRow, failed_row, study_row

VOLUMES = {"LV": {"ensemble": 80.0, "members": [78.0, 82.0]}}
REPORT = {"volumes_ml": VOLUMES, "seconds": 1.0, "device": "cpu"}


def row(case: str, quality: float | None = 0.9, **changes) -> StudyRow:
    return replace(study_row(case, "done", {None: REPORT}), quality=quality, **changes)


@pytest.fixture
def page(tmp_path) -> CohortPage:
    (tmp_path / "a.png").write_bytes(b"a picture")
    return CohortPage(
        tmp_path,
        asked={"Ensemble": "<made>"},
        total=9,
        left_out=("Notes: 3",),
        picture_of=lambda row: tmp_path / f"{row.case}.png",
    )


def text(tmp_path: Path) -> str:
    return (tmp_path / "cohort.html").read_text(encoding="utf-8")


def test_failures_come_first_then_the_worst(page, tmp_path):
    page.write([row("good", 0.95), failed_row("lost", "Cut."), row("odd", None), row("bad", 0.2)])
    found = text(tmp_path)
    order = [found.index(f">{case}<") for case in ("lost", "bad", "good", "odd")]
    assert order == sorted(order)
    assert "4 of 9 studies" in found
    assert "Notes: 3." in found


def test_a_row_has_its_numbers_warnings_and_picture(page, tmp_path):
    page.write([row("a", warnings=("Models <disagree>.",))])
    found = text(tmp_path)
    assert '<td class="number">80.0<div class="notes">± 2.8</div></td>' in found
    assert "Models &lt;disagree&gt;." in found
    assert "&lt;made&gt;" in found
    assert found.count("data:image/png") == 1


def test_it_refers_to_nothing_outside(page, tmp_path):
    page.write([row("a"), failed_row("b", "https://elsewhere")])
    assert not re.search(r"""(?:src|href)=["'](?!data:)""", text(tmp_path))
    assert "default-src 'none'" in text(tmp_path)


def test_only_the_worst_have_pictures_and_rows(page, tmp_path, monkeypatch):
    monkeypatch.setattr(cohort_page, "MOST_PICTURES", 2)
    monkeypatch.setattr(cohort_page, "MOST_ROWS", 3)
    cases = [f"c{number}" for number in range(5)]
    for case in cases:
        (tmp_path / f"{case}.png").write_bytes(b"a picture")
    page.write([row(case, 0.1 * number) for number, case in enumerate(cases)])
    found = text(tmp_path)
    assert found.count("data:image/png") == 2
    assert "c2" in found
    assert "c3" not in found
    assert "2 more are in cohort.csv." in found


def test_it_is_not_written_again_at_once(page, tmp_path):
    page.update([row("a")])
    page.update([row("a"), row("b")])
    assert "1 of 9 studies" in text(tmp_path)
    page.write([row("a"), row("b")])
    assert "2 of 9 studies" in text(tmp_path)
