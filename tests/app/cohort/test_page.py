"""The page of a run: failures first, then the worst; nothing from outside, and never too much."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from napari_bayes_nnunet.app.cohort import table as cohort_page
from napari_bayes_nnunet.app.cohort.table import CohortPage, StudyRow, failed_row, study_row

from ...helpers.checks.pages import Page

VOLUMES = {"LV": {"ensemble": 80.0, "members": [78.0, 82.0]}}
REPORT = {"volumes_ml": VOLUMES, "seconds": 1.0, "device": "cpu"}


def row(case: str, quality: float | None = 0.9, **changes) -> StudyRow:
    return replace(study_row(case, "done", {None: REPORT}), quality=quality, **changes)


@pytest.fixture
def page(tmp_path) -> CohortPage:
    (tmp_path / "a.png").write_bytes(b"a picture")
    return CohortPage(
        folder=tmp_path,
        settings={"Ensemble": "<made>"},
        total=9,
        left_out=("Notes: 3",),
        picture_of=lambda row: tmp_path / f"{row.case}.png",
    )


def written(tmp_path: Path) -> Page:
    return Page((tmp_path / "cohort.html").read_text(encoding="utf-8"))


def test_failures_come_first_then_the_worst(page, tmp_path):
    rows = [row("good", 0.95), failed_row("lost", "Cut."), row("odd", None), row("bad", 0.2)]
    page.write(rows, void=("The intervals do not hold.",))
    found = written(tmp_path)
    failed, others = found.tables
    assert failed[1:] == [["lost", "Cut."]]
    assert [line[1] for line in others[1:]] == ["bad", "good", "odd"]
    assert [line[2] for line in others[1:]] == ["0.200", "0.950", "–"]
    assert "4 of 9 studies" in found.text
    assert "Notes: 3." in found.text
    assert "The intervals do not hold." in found.text


def test_row_has_its_numbers_warnings_and_picture(page, tmp_path):
    page.write([row("a", warnings=("Models <disagree>.",)), row("b", numbers={})])
    found = written(tmp_path)
    assert found.tables[0][1:] == [
        ["", "a Models <disagree>.", "0.900", "80.0"],
        ["", "b", "0.900", "–"],
    ]
    assert "<made>" in found.text
    assert [picture["src"][:14] for picture in found.pictures] == ["data:image/png"]


def test_only_what_the_table_has_is_explained(page, tmp_path):
    made = row("a")
    page.write([made])
    plain = written(tmp_path).text
    numbers = {name: replace(n, intervals={90: (1.0, 2.0)}) for name, n in made.numbers.items()}
    page.write([replace(made, numbers=numbers)])
    found = written(tmp_path).text
    assert "90 % intervals" in found
    assert "90 % intervals" not in plain
    assert "1.0 to 2.0" in found
    assert "±" not in plain + found


def test_tiles_count_the_studies(page, tmp_path):
    page.write([row("a", warnings=("W.",)), failed_row("b", "Cut."), row("c")])
    assert "Segmented 2 Failed 1 With warnings 1 Not done yet 6" in written(tmp_path).text


def test_page_refers_to_nothing_outside(page, tmp_path):
    page.write([row("a"), failed_row("b", "https://elsewhere"), row('"onload="x')])
    assert written(tmp_path).outside == []


def test_only_the_worst_have_pictures_and_rows(page, tmp_path, monkeypatch):
    monkeypatch.setattr(cohort_page, "MOST_PICTURES", 2)
    monkeypatch.setattr(cohort_page, "MOST_ROWS", 3)
    cases = [f"c{number}" for number in range(5)]
    for case in cases:
        (tmp_path / f"{case}.png").write_bytes(b"a picture")
    page.write([row(case, 0.1 * number) for number, case in enumerate(cases)])
    found = written(tmp_path)
    assert len(found.pictures) == 2
    assert [line[1] for line in found.tables[0][1:]] == ["c0", "c1", "c2"]
    assert "2 more are in cohort.csv." in found.text
