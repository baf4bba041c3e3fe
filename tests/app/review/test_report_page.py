"""Contents of the review report."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

import numpy as np
import pytest

from napari_bayes_nnunet.app.review.accepted_slices import AcceptedSlices
from napari_bayes_nnunet.app.review.report_page import report_page
from napari_bayes_nnunet.core.heart.normal_ranges import HIGH
from napari_bayes_nnunet.core.heart.volume_curve import VolumeCurve
from napari_bayes_nnunet.core.review.progress import ReviewProgress
from napari_bayes_nnunet.io.study.review_state import Decision
from napari_bayes_nnunet.io.study.usage_log import UseRow, summarise_use

from ...helpers.checks.pages import Page
from ...helpers.data.reviews import AFTER, NORMAL, RULES, STRUCTURES, corrected, review

PREDICTION = {
    "ensemble": "Demo ensemble",
    "ensemble_kind": "checkpoint ensemble",
    "method": "multi",
    "members": [{"epoch": 1}, {"epoch": 2}],
    "mirroring": "full",
    "warnings": ["made warning"],
}

pytestmark = pytest.mark.usefixtures("blank_figures")


def page_of(**changes: Any) -> Page:
    return Page(report_page(review(**changes)))


def test_page_names_the_reader() -> None:
    assert "read by Anna &lt;Berg&gt;" in report_page(review(reader="Anna <Berg>"))
    assert "read by" not in report_page(review())


def test_draft_says_that_its_reader_has_finished() -> None:
    on = {"finished_on": "2026-07-01T10:30:00+02:00"}
    assert "finished early 2026-07-01 10:30" in page_of(**on, accepted=AcceptedSlices(9, 26)).text
    assert "finished 2026-07-01 10:30" in page_of(**on, accepted=AcceptedSlices(26, 26)).text
    assert "finished" not in page_of(accepted=AcceptedSlices(9, 26)).text


def test_patient_is_the_heading_and_the_pseudonym_a_fact() -> None:
    page = page_of(case="dicom-cec14a75", patient="DOE^J · 1957")
    assert "<h1>DOE^J · 1957</h1>" in page.source
    assert "dicom-cec14a75" in page.text
    assert "<h1>dicom-cec14a75</h1>" in page_of(case="dicom-cec14a75").source


def test_page_names_the_files_of_joined_phases() -> None:
    text = page_of(phase_cases=("p_frame01", "p_frame12")).text
    assert "phase 1 is p_frame01" in text
    assert "phase 2 is p_frame12" in text


def test_page_has_name_date_phases_and_limits() -> None:
    page = page_of()
    text = page.text
    assert "patient007" in text
    for part in ("2026-07-01 10:32", "ED is phase 1", "ES is phase 8"):
        assert part in text
    assert "use" in page.classes
    assert all(rule in text for rule in RULES)
    assert page.outside == []


def test_key_figures_come_first() -> None:
    progress = ReviewProgress(done=9, total=24, uncertain_share=0.839)
    text = page_of(progress=progress, accepted=AcceptedSlices(9, 26)).text
    assert "LV EF 57.8 %, 49.5 to 66.0 prediction 55.5" in text
    assert "Slices accepted 9 of 26 83 % of uncertain volume" in text
    assert "±" not in text


def test_draft_is_said_first_and_on_each_printed_page() -> None:
    page = page_of(accepted=AcceptedSlices(3, 20))
    said = "DRAFT, 3 of 20 slices accepted"
    assert page.text.index(said) < page.text.index("patient007")
    assert f'data-state="{said}"' in page.source
    _, printed = page.source.split("@media print", 1)
    _, rule = printed.split(".draft::after", 1)
    rule, _ = rule.split("}", 1)
    assert "content: attr(data-state)" in rule
    assert "position: fixed" in rule
    assert "DRAFT" not in page_of(accepted=AcceptedSlices(20, 20)).text


def test_numbers_stand_under_their_ventricle() -> None:
    table = page_of().tables[0]
    assert [row[0] for row in table if len(row) == 1] == ["Left ventricle", "Right ventricle"]
    assert table[0][1:] == [
        *("Prediction", "After review", "90 % interval", "Open slices", "Change", "Unit", "Normal"),
    ]
    assert table[2] == [
        *("End-diastolic volume LV EDV", "120.0", "118.0", "", "4", "−2.0", "mL"),
        "Men: 93 to 232 mL (abnormal beyond).",
    ]
    assert table[3][3] == "49.5 to 66.0"
    assert table[5][0] == "Cardiac output RV CO"


def test_a_verdict_stands_below_the_number() -> None:
    after = AFTER | {"LV EDV": replace(AFTER["LV EDV"], comparison=replace(NORMAL, verdict=HIGH))}
    page = page_of(after=after)
    assert page.tables[0][2][2] == f"118.0 {HIGH}"
    assert "flagged" in page.classes


def test_every_corrected_slice_has_its_picture() -> None:
    page = page_of()
    assert len(page.pictures) == 2
    assert all(p["src"].startswith("data:image/png;base64,iVBOR") for p in page.pictures)
    changed = np.count_nonzero(corrected(2).before != corrected(2).after)
    assert f"Phase 8 (ES), slice 3 · accepted · {changed} voxels changed base" in page.text
    assert f"Phase 8 (ES), slice 4 · {changed} voxels changed" in page.text
    assert "LV (left ventricle, cavity)" in page.text


def test_decisions_stand_in_the_order_of_the_slices() -> None:
    decisions = page_of(corrected=()).tables[1]
    assert [row[0] for row in decisions[1:]] == ["Phase 1 (ED), slice 1", "Phase 8 (ES), slice 3"]


@pytest.mark.parametrize("name", ["<b>x", '"><img src=//evil>', '"onload="alert(1)'])
def test_names_from_files_are_escaped(name: str) -> None:
    predictions = {None: PREDICTION | {"ensemble": name, "warnings": [name], "method": name}}
    page = page_of(
        case=name, structures={**STRUCTURES, name: 4}, reports=predictions, warnings=(name,),
        decisions={(1, 0): Decision(state="flagged", comment=name)},
    )  # fmt: skip
    assert name not in page.source
    assert page.outside == []


def test_warnings_name_their_phase_and_come_once() -> None:
    warnings = (PREDICTION["warnings"][0], "Moved.", "Moved.")
    for given in (warnings, warnings[1:]):
        text = page_of(reports={8: PREDICTION}, warnings=given).text
        assert text.count("made warning") == 1
        assert text.count("Moved.") == 1
    assert "Phase 8 (ES): made warning" in text


def test_missing_image_is_not_an_unchanged_slice() -> None:
    page = page_of(corrected=None)
    assert page.pictures == []
    assert "not available" in page.text
    unchanged = page_of(corrected=())
    assert "not available" not in unchanged.text
    assert "not available" not in page_of(corrected=None, changes="").text


def test_origin_names_phases_that_differ() -> None:
    stopped = {"ensemble": "Demo ensemble", "method": "single", "mirroring": "full"}
    text = page_of(reports={1: PREDICTION, 8: stopped}).text
    assert "Ensemble Demo ensemble" in text
    assert "Method All cycles (multi) (Phase 1 (ED)); Last cycle (single) (Phase 8 (ES))" in text
    assert "Members 2 " in text
    assert "Mirroring full" in text


def test_curve_needs_several_phases() -> None:
    curve = VolumeCurve(structure="LV", phases=(1, 8), volumes=(120, 60), ed=1, es=8)
    page = page_of(curves=[curve])
    assert len(page.pictures) == 3
    assert "LV" in page.pictures[0]["alt"]
    single = VolumeCurve(structure="LV", phases=(1,), volumes=(9,), ed=None, es=None)
    assert len(page_of(curves=[single]).titles) == len(page.titles) - 1


def test_log_of_use_has_its_numbers() -> None:
    made = datetime(2026, 7, 1)
    looked = UseRow(time=made, phase=1, z=0, seconds=12.4)
    worked = UseRow(time=made, phase=8, z=2, seconds=12.4, tool="level", inside=7, outside=10)
    text = page_of(use=summarise_use([looked, worked])).text
    assert "2 slices viewed in 25 s (12 s per slice)." in text


def test_review_that_changed_nothing_is_short() -> None:
    page = page_of(corrected=(), changes="", decisions={}, use=summarise_use([]))
    assert page.titles == ["Numbers", "Corrected slices"]
    assert "no-changes" in page.classes


def test_image_without_a_heart_has_no_numbers() -> None:
    page = page_of(before={}, after={}, ed=None, es=None)
    assert "no-heart" in page.classes
    assert "ED is" not in page.text


def test_place_counts_slices_from_one() -> None:
    made = review()
    assert made.place(8, 2) == "Phase 8 (ES), slice 3"
    assert made.place(1, 0) == "Phase 1 (ED), slice 1"
    assert made.place(4, 0) == "Phase 4, slice 1"
    assert made.place(None, 0) == "Slice 1"
    assert made.phase_title(None) == ""
