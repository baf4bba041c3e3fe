"""Decisions of a reader survive the file, and other files are refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from napari_bayes_nnunet.core.heart.function import Patient
from napari_bayes_nnunet.core.heart.valve_plane import Hinges
from napari_bayes_nnunet.core.heart.wall import Insertions
from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.io.files.json_files import DAMAGED_JSON, NEWER_JSON
from napari_bayes_nnunet.io.study.review_state import (
    Decision,
    ReviewState,
    read_review,
    write_review,
)

from ...helpers.checks.problems import says

FLAGGED = Decision(
    state="flagged", comment="Base? „ja“", seconds=4.5, when="2026-03-01T12:00:00+01:00"
)
ACCEPTED = Decision(state="accepted", edited=True)
HINGES = Hinges(first=(1.5, -2, 30), second=(31, 4, 20.25), normal=(0, 1, 0))
REVIEW = ReviewState(
    decisions={(12, 0): ACCEPTED, (1, 3): FLAGGED},
    ed=1,
    es=12,
    landmarks_chosen=True,
    patient=Patient(sex="f", age=61, height_cm=172, weight_kg=70.5),
    papillary_as_muscle=True,
    score="entropy",
    structure="LV",
    leave_out_border=True,
    all_phases=True,
    protected=("RV",),
    current=(12, 2),
    finished=True,
    insertions={(12, 2): Insertions(anterior=(20.5, 31.25), inferior=(48.0, 30.0))},
    hinges={(12, "mitral", "4CH"): HINGES},
)


def content(folder: Path) -> dict:
    return json.loads((folder / "review.json").read_text(encoding="utf-8"))


def change(folder: Path, **changes: object) -> None:
    (folder / "review.json").write_text(json.dumps(content(folder) | changes), encoding="utf-8")


OF_3D = ReviewState(decisions={(None, 2): ACCEPTED}, current=(None, 2))


@pytest.mark.parametrize("review", [REVIEW, OF_3D, ReviewState()])
def test_a_review_survives_the_file(tmp_path, review):
    assert read_review(tmp_path) is None
    write_review(tmp_path, review)
    assert read_review(tmp_path) == review


def test_the_file_counts_slices_from_1_in_order(tmp_path):
    write_review(tmp_path, REVIEW)
    rows = content(tmp_path)["decisions"]
    assert [(row["phase"], row["slice"], row["state"]) for row in rows] == [
        (1, 4, "flagged"),
        (12, 1, "accepted"),
    ]
    assert rows[0]["comment"] == FLAGGED.comment


def test_entries_of_newer_versions_are_kept(tmp_path):
    write_review(tmp_path, REVIEW)
    rows = [row | {"tool": "brush"} for row in content(tmp_path)["decisions"]]
    change(tmp_path, decisions=rows, second_reader={"name": "B"})
    review = read_review(tmp_path)
    assert review == replace(REVIEW, other={"second_reader": {"name": "B"}})
    write_review(tmp_path, review)
    assert content(tmp_path)["second_reader"] == {"name": "B"}


def test_a_newer_format_is_refused_and_kept(tmp_path):
    write_review(tmp_path, REVIEW)
    change(tmp_path, format=2)
    with pytest.raises(DataError, check=says(NEWER_JSON)) as caught:
        read_review(tmp_path)
    assert caught.value.values == {"file": tmp_path / "review.json"}
    assert content(tmp_path)["format"] == 2


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"format": 1}',
        '{"format": 1, "decisions": [{"phase": 1}]}',
        '{"format": 1, "decisions": [{"phase": 1, "slice": 0, "state": "flagged"}]}',
        '{"format": 1, "decisions": [{"phase": 1, "slice": 1, "state": "perhaps"}]}',
        '{"format": 1, "decisions": [], "patient": {"height_cm": -3}}',
        '{"format": 1, "decisions": [], "patient": {"sex": "w"}}',
        '{"format": 1, "decisions": [], "hinges": [{"phase": 1, "valve": "aortic", "view": "3CH",'
        ' "first": [0, 0, 0], "second": [9, 0, 0], "normal": [0, 1, 0]}]}',
        '{"format": 1, "decisions": [], "hinges": [{"phase": 1, "valve": "mitral", "view": "3CH",'
        ' "first": [0, 0, NaN], "second": [9, 0, 0], "normal": [0, 1, 0]}]}',
    ],
)
def test_a_damaged_file_is_refused(tmp_path, text):
    (tmp_path / "review.json").write_text(text)
    with pytest.raises(DataError, check=says(DAMAGED_JSON, file=tmp_path / "review.json")):
        read_review(tmp_path)


def test_a_decision_changes_one_slice_of_a_copy(tmp_path):
    review = REVIEW.with_decision((1, 3), ACCEPTED).with_decision((1, 0), FLAGGED)
    assert review.decisions == {(12, 0): ACCEPTED, (1, 3): ACCEPTED, (1, 0): FLAGGED}
    assert (review.count("accepted"), review.count("flagged")) == (2, 1)
    assert review.with_decision((1, 0), None).decisions == {(12, 0): ACCEPTED, (1, 3): ACCEPTED}
    assert REVIEW.decisions[1, 3] == FLAGGED


def test_a_review_is_begun_by_work():
    settings = ReviewState(ed=1, es=8, score="entropy", current=(1, 0), all_phases=True)
    assert not settings.is_begun()
    assert replace(settings, finished=True).is_begun()
    assert replace(settings, landmarks_chosen=True).is_begun()
    assert replace(settings, insertions=REVIEW.insertions).is_begun()
    assert replace(settings, hinges=REVIEW.hinges).is_begun()
    assert replace(settings, patient=Patient(heart_rate=60)).is_begun()
    assert settings.with_decision((1, 0), FLAGGED).is_begun()


def test_a_review_of_an_older_version_has_defaults(tmp_path):
    old = '{"format": 1, "decisions": [], "patient": {"height_cm": 172}}'
    (tmp_path / "review.json").write_text(old)
    assert read_review(tmp_path) == ReviewState(patient=Patient(height_cm=172))
