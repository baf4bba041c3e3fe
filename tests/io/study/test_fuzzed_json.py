"""Every change of one entry of a study's JSON files is accepted or refused in a sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from napari_bayes_nnunet.app.cohort.table import read_reports, study_row
from napari_bayes_nnunet.io.dataset.raw_dataset import read_splits
from napari_bayes_nnunet.io.study.info import STUDY_FILE, read_study_info
from napari_bayes_nnunet.io.study.review_state import (
    REVIEW,
    Decision,
    ReviewState,
    read_review,
    write_review,
)
from napari_bayes_nnunet.io.study.summary import summarise_study

from ...helpers.checks.fuzzing import unexpected
from ...helpers.data.studies import made_report, make_study


def assert_read_or_refused(file: Path, read) -> None:
    failed, accepted, refused = unexpected(file, read)
    assert failed == []
    assert accepted > 0
    assert refused > 0


def whole_report() -> dict[str, Any]:
    member = {"training": "a", "fold": "0", "cycle": 0, "epoch": 9}
    volumes = {"LV": {"ensemble": 100.0, "members": [99.0, 101.0]}}
    entries = {"volumes_ml": volumes, "members": [member], "seconds": 1.5, "device": "cpu"}
    return made_report(phases=2, ED=1, ES=3, **entries)


def test_changed_study_is_read_or_refused(tmp_path: Path) -> None:
    reports = {phase: whole_report() for phase in (1, 3)}
    study = make_study(tmp_path / "study", phases=(1, 3), ed=1, es=3, reports=reports)

    def read() -> None:
        info = read_study_info(study)
        summarise_study(study)
        json.dumps([info.quality, info.warnings, info.slices])

    assert_read_or_refused(study / STUDY_FILE, read)


def test_changed_review_is_read_or_refused(tmp_path: Path) -> None:
    review = ReviewState(decisions={(None, 2): Decision(state="accepted")}, current=(None, 1))
    write_review(tmp_path, review)

    def read() -> None:
        changed = read_review(tmp_path)
        assert changed is not None
        changed.count("flagged")
        write_review(tmp_path / "copy", changed)

    (tmp_path / "copy").mkdir()
    assert_read_or_refused(tmp_path / REVIEW, read)


def test_changed_report_is_read_or_refused(tmp_path: Path) -> None:
    file = tmp_path / "case.json"
    file.write_text(json.dumps(whole_report()))
    assert_read_or_refused(file, lambda: study_row("a", "done", read_reports({1: file, 3: file})))


def test_changed_splits_are_read_or_refused(tmp_path: Path) -> None:
    file = tmp_path / "splits_final.json"
    folds = [{"train": ["a", "b"], "val": ["c"]}, {"train": ["c"], "val": ["a"]}]
    file.write_text(json.dumps(folds))
    assert_read_or_refused(file, lambda: read_splits(file, ["a", "b", "c"]))
