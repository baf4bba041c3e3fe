"""Reports of finished cases that another ensemble, or another image of the name, made."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from napari_bayes_nnunet.app import AppError
from napari_bayes_nnunet.app.prediction.resume_check import (
    MADE_BY_OTHER_TRAINING,
    MADE_FROM_OTHER_IMAGE,
    MADE_WITH_OTHER_CALIBRATION,
    MADE_WITH_OTHER_LABELS,
    MADE_WITH_OTHER_MEMBERS,
    MADE_WITH_OTHER_PLANS,
    matches_request,
    may_be_of_one_ensemble,
)
from napari_bayes_nnunet.app.segmentation.calibration import (
    Calibration,
    calibration_key,
    write_calibration,
)
from napari_bayes_nnunet.app.segmentation.ensemble import Ensemble
from napari_bayes_nnunet.app.segmentation.settings import SegmentationSettings
from napari_bayes_nnunet.core.metrics.conformal import IntervalRule
from napari_bayes_nnunet.core.problems import Action, Remedy
from napari_bayes_nnunet.core.review.stop_rule import RemainingChange
from napari_bayes_nnunet.core.steps import drain
from napari_bayes_nnunet.io.files.checksum import sha256
from tests.helpers.data.models import made_image, make_model

MULTI = SegmentationSettings(members=2, mirroring="none")
DROPOUT = replace(MULTI, method="mc-dropout")
IMAGE = {"image_sha256": "abc"}
Content = dict[str, Any]
Finished = Callable[[Content, SegmentationSettings], bool]


@pytest.fixture(scope="module")
def ensemble(tmp_path_factory: pytest.TempPathFactory) -> Ensemble:
    model = make_model(tmp_path_factory.mktemp("model"), members=2, dropout=0.1)
    return Ensemble(model, device="cpu", precision="full")


@pytest.fixture(scope="module")
def reports(ensemble: Ensemble) -> dict[str, Content]:
    """Return method → report of a made image."""
    image = made_image((2, 32, 24))
    results = (drain(ensemble.steps(image, (8, 1.5, 1.5), s)) for s in (MULTI, DROPOUT))
    return {r.settings.method: json.loads(json.dumps(r.report())) | IMAGE for r in results}


@pytest.fixture
def finished(ensemble: Ensemble, tmp_path: Path) -> Finished:
    """Return a function that says if a report of this content needs no repetition."""

    def check(content: Content, settings: SegmentationSettings = MULTI) -> bool:
        file = tmp_path / "case.json"
        file.write_text(json.dumps(content))
        return matches_request(file, ensemble.folder, settings, image=IMAGE)

    return check


def changed(report: Content, member: int, **entries: Any) -> Content:
    members = [m | (entries if n == member else {}) for n, m in enumerate(report["members"])]
    return report | {"members": members}


def with_other_plans(folder: Path, copy: Path) -> Path:
    """Return a copy of a model whose plans have another spacing, but the same weights."""
    shutil.copytree(folder, copy)
    plans = json.loads((copy / "plans.json").read_text())
    plans["configurations"]["2d"]["spacing"] = [2.0, 2.0]
    (copy / "plans.json").write_text(json.dumps(plans))
    return copy


def without_checksums(report: Content) -> Content:
    unknown = ("plans_sha256", "image_sha256")
    members = [{k: v for k, v in m.items() if k != "sha256"} for m in report["members"]]
    return {k: v for k, v in report.items() if k not in unknown} | {"members": members}


def refusal(finished: Finished, *asked: Any) -> AppError:
    with pytest.raises(AppError) as caught:
        finished(*asked)
    assert caught.value.remedies == (Remedy(Action.OVERWRITE),)
    return caught.value


def test_report_has_the_checksums_of_its_members(ensemble, reports, finished) -> None:
    files = [member.path for member in ensemble.folder.usable_members]
    assert [m["sha256"] for m in reports["multi"]["members"]] == [sha256(file) for file in files]
    assert finished(reports["multi"])
    assert finished(reports["mc-dropout"], DROPOUT)


def test_weights_of_another_training_are_refused(finished, reports) -> None:
    error = refusal(finished, changed(reports["multi"], 1, sha256="0" * 64))
    assert error.statement.template == MADE_BY_OTHER_TRAINING
    training = reports["multi"]["members"][1]["training"]
    assert error.values["members"] == f"{training} fold 0 epoch 2"


def test_other_members_are_refused_with_the_difference(finished, reports) -> None:
    error = refusal(finished, changed(reports["multi"], 0, epoch=101))
    assert error.statement.template == MADE_WITH_OTHER_MEMBERS
    training = reports["multi"]["members"][0]["training"]
    assert error.values["used"] == f"{training} fold 0 epoch 101"
    assert error.values["requested"] == f"{training} fold 0 epoch 1"


def test_other_plans_are_refused(ensemble, reports, tmp_path) -> None:
    file = tmp_path / "case.json"
    file.write_text(json.dumps(reports["multi"]))
    folder = ensemble.folder.path
    other = with_other_plans(folder, tmp_path / "other" / folder.name)
    with pytest.raises(AppError) as caught:
        matches_request(file, Ensemble(other, device="cpu").folder, MULTI, image=IMAGE)
    assert caught.value.statement.template == MADE_WITH_OTHER_PLANS
    assert caught.value.remedies == (Remedy(Action.OVERWRITE),)
    file.write_text(json.dumps(without_checksums(reports["multi"])))
    assert matches_request(file, Ensemble(other, device="cpu").folder, MULTI, image=IMAGE)


def test_another_calibration_is_refused(ensemble, reports, tmp_path) -> None:
    model = tmp_path / "model"
    shutil.copytree(ensemble.folder.path, model)
    folder = replace(ensemble.folder, path=model)
    rule = IntervalRule(bias=0.0, half_width_80=2.0, half_width_90=None, patients=5)
    key = calibration_key(folder, MULTI)
    report = tmp_path / "report.json"

    def is_accepted(calibration, settings=MULTI) -> bool:
        report.write_text(json.dumps(reports["multi"] | {"calibration": calibration}))
        return matches_request(report, folder, settings, image=IMAGE)

    assert is_accepted(None)
    change = RemainingChange(spreads=(0.0,), bounds_80=(1.0,), bounds_90=(2.0,), patients=9)
    rules = {"volumes": {"LV": rule}, "review": {"LV EF": change}}
    calibration = Calibration(temperature=1.0, cases=("a",), **rules, **key)
    write_calibration(folder, calibration)
    content = json.loads(json.dumps(calibration.to_report()))
    assert is_accepted(content)
    assert is_accepted(None, replace(MULTI, calibrated=False))
    for other in (None, content | {"cases": 2}):
        with pytest.raises(AppError) as caught:
            is_accepted(other)
        assert caught.value.statement.template == MADE_WITH_OTHER_CALIBRATION


@pytest.mark.parametrize(
    "entry", [{"expected_dice": []}, {"volumes_ml": {"LV": {"ensemble": -5.0}}}, {"phase": "ED"}]
)
def test_case_with_damaged_report_is_not_finished(finished, reports, entry) -> None:
    assert finished(reports["multi"])
    assert not finished(reports["multi"] | entry)


def test_reports_of_phases_show_their_ensemble(reports) -> None:
    report = reports["multi"]
    fewer = report | {"members": report["members"][:1]}
    for same in (report, fewer, without_checksums(report)):
        assert may_be_of_one_ensemble(report, same)
        assert may_be_of_one_ensemble(same, report)
    for other in (
        changed(report, 1, sha256="0" * 64),
        changed(report, 0, epoch=101),
        report | {"plans_sha256": "0" * 64},
        report | {"labels": {"LV": 1}},
    ):
        assert not may_be_of_one_ensemble(report, other)


def test_swapped_labels_are_refused(finished, reports) -> None:
    error = refusal(finished, reports["multi"] | {"labels": {"LV": 1, "MYO": 2, "RV": 3}})
    assert error.statement.template == MADE_WITH_OTHER_LABELS
    assert error.values["used"] == "LV 1, MYO 2, RV 3"


@pytest.mark.parametrize("other", [{"image_sha256": "def"}, {**IMAGE, "channels_sha256": ["x"]}])
def test_another_image_is_refused(ensemble, reports, tmp_path, other) -> None:
    file = tmp_path / "case.json"
    file.write_text(json.dumps(reports["multi"] | {"channels_sha256": ["y"]}))
    with pytest.raises(AppError) as caught:
        matches_request(file, ensemble.folder, MULTI, image=other)
    assert caught.value.statement.template == MADE_FROM_OTHER_IMAGE
