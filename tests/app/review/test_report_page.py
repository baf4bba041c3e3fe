"""What a report says, and what it leaves out."""

from __future__ import annotations

import re
from datetime import datetime

import pytest

from napari_bayes_nnunet.app.report.html import RESEARCH_USE
from napari_bayes_nnunet.app.review.report_page import NO_INTERVAL, NO_PICTURES, report_page
from napari_bayes_nnunet.core.heart.volume_curve import VolumeCurve
from napari_bayes_nnunet.core.review.progress import ReviewProgress
from napari_bayes_nnunet.io.study.review_state import Decision
from napari_bayes_nnunet.io.study.usage_log import UseRow, usage_summary

from ...helpers.reviews import PAPILLARY, STRUCTURES, review

PREDICTION = {
    "ensemble": "Demo ensemble",
    "ensemble_kind": "checkpoint ensemble",
    "method": "multi",
    "members": [{"epoch": 1}, {"epoch": 2}],
    "mirroring": "full",
    "warnings": ["LV: the models agree less."],
}


def text_of(page: str) -> str:
    without_style = re.sub(r"<style>.*?</style>", "", page, flags=re.S)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", without_style))


def test_it_says_what_its_numbers_are() -> None:
    text = text_of(report_page(review()))
    assert "patient007" in text
    assert "2026-07-01 10:32 · ED is phase 1 · ES is phase 8" in text
    assert RESEARCH_USE in text
    assert NO_INTERVAL in text
    assert "is not a clinical confidence interval" in NO_INTERVAL
    assert PAPILLARY in text


def test_the_folder_of_the_study_is_not_told() -> None:
    assert "Jane" not in report_page(review(study="/data/Jane Doe/patient007"))


def test_the_first_numbers_seen() -> None:
    progress = ReviewProgress(done=9, total=24, uncertain_share=0.839, ef_spread=1.2)
    text = text_of(report_page(review(progress=progress)))
    assert "LV EF 57.8 ± 1.2 % prediction 55.5" in text
    assert "Slices reviewed 9 of 24 83 % of uncertain volume" in text


def test_every_corrected_slice_has_its_picture() -> None:
    page = report_page(review())
    assert page.count("<img ") == 2
    assert page.count('src="data:image/png;base64,iVBOR') == 2
    text = text_of(page)
    assert re.search(r"Phase 8 \(ES\), slice 3 · accepted · \d+ voxels changed base", text)
    assert re.search(r"Phase 8 \(ES\), slice 4 · \d+ voxels changed", text)
    assert "LV (left ventricle, cavity)" in text


def test_decisions_and_comments_are_escaped() -> None:
    comment = "<script>alert('x')</script>\nsecond line & more"
    decision = Decision(state="flagged", comment=comment)
    page = report_page(review(decisions={(8, 2): decision}))
    assert "<script" not in page
    assert page.count("&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt;") == 2
    assert '<td class="flagged">flagged</td>' in page


def test_decisions_stand_in_the_order_of_the_slices() -> None:
    text = text_of(report_page(review(corrected=())))
    assert text.index("Phase 1 (ED), slice 1") < text.index("Phase 8 (ES), slice 3")


@pytest.mark.parametrize("name", ["<b>x", '"><img src=//evil>'])
def test_names_from_files_are_escaped(name: str) -> None:
    predictions = {None: PREDICTION | {"ensemble": name, "warnings": [name], "method": name}}
    page = report_page(
        review(study=name, structures={**STRUCTURES, name: 4}, predictions=predictions,
               warnings=(name,), decisions={(1, 0): Decision(state="flagged", comment=name)})
    )  # fmt: skip
    assert name not in page


def test_warnings_name_their_phase_and_come_once() -> None:
    text = text_of(report_page(review(predictions={8: PREDICTION}, warnings=("Moved.", "Moved."))))
    assert text.count("Moved.") == 1
    assert "Phase 8 (ES): LV: the models agree less." in text


def test_a_warning_of_a_phase_is_not_told_twice() -> None:
    warnings = (PREDICTION["warnings"][0], "Moved.")
    text = text_of(report_page(review(predictions={8: PREDICTION}, warnings=warnings)))
    assert text.count("LV: the models agree less.") == 1
    assert text.count("Moved.") == 1


def test_without_the_image_it_does_not_claim_that_nothing_was_changed() -> None:
    text = text_of(report_page(review(corrected=None)))
    assert NO_PICTURES in text
    assert "No slice was changed" not in text


def test_how_the_prediction_was_made() -> None:
    stopped = {"ensemble": "Demo ensemble", "method": "single", "mirroring": "full"}
    text = text_of(report_page(review(predictions={1: PREDICTION, 8: stopped})))
    assert "Ensemble Demo ensemble" in text
    assert "Method All cycles (multi) (Phase 1 (ED)); Last cycle (single) (Phase 8 (ES))" in text
    assert "Members 2 " in text
    assert "Mirroring full" in text


def test_the_curve_is_shown_where_there_are_several_phases() -> None:
    curve = VolumeCurve(
        structure="LV", phases=(1, 8), volumes=(120, 60), spreads=(3, 2), ed=1, es=8
    )
    page = report_page(review(curves=[curve]))
    assert page.count("<img ") == 3
    assert "Volume of LV in each phase after the review; the band is the spread" in page
    one = VolumeCurve(structure="LV", phases=(1,), volumes=(9,), spreads=(1,), ed=None, es=None)
    assert "Volume over the heart cycle" not in report_page(review(curves=[one]))


def test_without_spread_the_curve_has_no_band() -> None:
    nan = float("nan")
    curve = VolumeCurve(
        structure="LV", phases=(1, 8), volumes=(120, 60), spreads=(nan, nan), ed=1, es=8
    )
    assert "the band" not in report_page(review(curves=[curve]))


def test_the_log_of_use_in_sentences() -> None:
    made = datetime(2026, 7, 1)
    looked = UseRow(time=made, phase=1, z=0, seconds=12.4)
    worked = UseRow(time=made, phase=8, z=2, seconds=12.4, tool="level", inside=40, outside=10)
    text = text_of(report_page(review(use=usage_summary([looked, worked]))))
    assert "2 slices looked at in 25 s, 12 s a slice; 1 of them corrected." in text
    assert "80 % of the 50 changed voxels were where the models were uncertain (entropy above" in (
        text
    )
    assert "Voxels changed by tool: level 50." in text


def test_a_review_that_changed_nothing() -> None:
    text = text_of(report_page(review(corrected=(), decisions={}, use=usage_summary([]))))
    assert "No slice was changed." in text
    for title in ("Decisions", "Log of use", "How the prediction", "Warnings", "heart cycle"):
        assert title not in text


def test_an_image_without_a_heart() -> None:
    text = text_of(report_page(review(before={}, after={}, ed=None, es=None)))
    assert "No ventricle was found" in text
    assert "ED is" not in text
