"""Tests that a result counts as the requested one if, and only if, one recipe made it."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from napari_bayes_nnunet.app.segmentation.calibration import (
    Calibration,
    calibration_key,
    write_calibration,
)
from napari_bayes_nnunet.app.segmentation.ensemble import Ensemble
from napari_bayes_nnunet.app.segmentation.recipe import Recipe, are_of_one_examination
from napari_bayes_nnunet.app.segmentation.settings import SegmentationSettings
from napari_bayes_nnunet.core.metrics.conformal import IntervalRule, RemainingChange
from napari_bayes_nnunet.core.steps import drain
from napari_bayes_nnunet.io.files.checksum import sha256
from tests.helpers.data.models import made_image, make_model

MULTI = SegmentationSettings(members=2, mirroring="none")
IMAGE = {"image_sha256": "1" * 64, "channels_sha256": ["2" * 64]}
GIVEN = {"spacing_from": "given", "spacing_mm": [8.0, 1.5, 1.5]}
OTHER = "0" * 64
Content = dict[str, Any]


@pytest.fixture(scope="module")
def ensemble(tmp_path_factory: pytest.TempPathFactory) -> Ensemble:
    model = make_model(tmp_path_factory.mktemp("model"), members=2, dropout=0.1)
    return Ensemble(model, device="cpu", precision="full")


@pytest.fixture(scope="module")
def report(ensemble: Ensemble) -> Content:
    return made_report(ensemble, MULTI)


def made_report(ensemble: Ensemble, settings: SegmentationSettings) -> Content:
    """Return the report of a made image."""
    steps = ensemble.steps(made_image((2, 32, 24)), (8, 1.5, 1.5), settings)
    return dict(json.loads(json.dumps(drain(steps).report())) | IMAGE)


def with_member(report: Content, number: int, **entries: Any) -> Content:
    members = [m | (entries if n == number else {}) for n, m in enumerate(report["members"])]
    return report | {"members": members}


def without(report: Content, *keys: str) -> Content:
    return {key: value for key, value in report.items() if key not in keys}


def without_checksums(report: Content) -> Content:
    members = [without(member, "sha256") for member in report["members"]]
    return without(report, "plans_sha256", *IMAGE) | {"members": members}


def differing(report: Content, requested: Recipe) -> str:
    """Return what the report differs in first, "" for nothing."""
    found = Recipe.of_report(report).difference(requested, Path("out/case.json"))
    return str(found.values["what"]) if found else ""


def request(ensemble: Ensemble, **changes: Any) -> Recipe:
    settings = replace(MULTI, **changes)
    return Recipe.of_request(ensemble.folder, settings, image=IMAGE)


def test_report_has_the_recipe_of_its_request(ensemble, report) -> None:
    files = [member.path for member in ensemble.folder.usable_members]
    assert [m["sha256"] for m in report["members"]] == [sha256(file) for file in files]
    for settings in (MULTI, replace(MULTI, method="mc-dropout")):
        made = made_report(ensemble, settings)
        assert differing(made, request(ensemble, method=settings.method)) == ""


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda r: r | {"ensemble": "x"}, "another ensemble"),
        (lambda r: r | {"method": "vanilla"}, "other settings"),
        (lambda r: r | {"members_asked": 1}, "other settings"),
        (lambda r: r | {"mirroring": "full"}, "other settings"),
        (lambda r: r | {"window": "whole"}, "other settings"),
        (lambda r: r | {"until_stable": True}, "other settings"),
        (lambda r: r | {"temperature": 1.5}, "other settings"),
        (lambda r: r | {"largest_component": "on"}, "other settings"),
        (lambda r: r | {"labels": {"LV": 1, "MYO": 2, "RV": 3}}, "other labels"),
        (lambda r: with_member(r, 0, epoch=101), "other members"),
        (lambda r: r | {"members": r["members"][:1]}, "other members"),
        (lambda r: with_member(r, 1, sha256=OTHER), "other weights"),
        (lambda r: r | {"plans_sha256": OTHER}, "another plans.json or dataset.json"),
        (lambda r: r | {"calibration": {"cases": 2}}, "another calibration"),
        (lambda r: r | {"profile": {"drawn": "site 0"}}, "another profile"),
        (lambda r: r | {"image_sha256": OTHER}, "another image"),
        (lambda r: r | {"channels_sha256": [OTHER]}, "another image"),
        (lambda r: r | GIVEN, "another voxel size"),
        (lambda r: r | {"precision": "bfloat16"}, ""),
        (lambda r: without(r, "largest_component"), ""),
        (without_checksums, ""),
    ],
)
def test_first_difference_is_named(ensemble, report, change, what) -> None:
    assert differing(change(report), request(ensemble)) == what


def test_values_of_a_difference_are_shown(ensemble, report) -> None:
    made = Recipe.of_report(with_member(report, 0, epoch=101))
    found = made.difference(request(ensemble), Path("out/case.json"))
    training = report["members"][0]["training"]
    assert found is not None
    assert (found.values["report"], found.values["folder"]) == ("case.json", Path("out"))
    assert found.values["used"] == f"{training} fold 0 epoch 101"
    assert found.values["requested"] == f"{training} fold 0 epoch 1"


def test_full_precision_is_only_one_number_type(ensemble, report) -> None:
    full, half = request(ensemble, precision="full"), report | {"precision": "bfloat16"}
    assert [differing(made, full) for made in (report, half)] == ["", "another precision"]


def test_some_members_are_unused_until_stable(ensemble, report) -> None:
    stable, requested = report | {"until_stable": True}, request(ensemble, until_stable=True)
    fewer = stable | {"members": stable["members"][:1]}
    assert [differing(made, requested) for made in (stable, fewer)] == ["", ""]
    assert differing(with_member(stable, 0, epoch=101), requested) == "other members"


def test_another_calibration_is_a_difference(ensemble, report, tmp_path) -> None:
    model = Path(shutil.copytree(ensemble.folder.path, tmp_path / "model"))
    folder = replace(ensemble.folder, path=model)
    rule = IntervalRule(bias=0.0, half_width_80=2.0, half_width_90=None, patients=5)
    change = RemainingChange(spreads=(0.0,), bounds_80=(1.0,), bounds_90=(2.0,), patients=9)
    rules = {"volumes": {"LV": rule}, "review": {"LV EF": change}}
    key = calibration_key(folder, MULTI)
    calibration = Calibration(temperature=1.0, cases=("a",), **rules, **key)
    write_calibration(folder, calibration)
    content = json.loads(json.dumps(calibration.to_report()))
    requested = Recipe.of_request(folder, MULTI)
    assert differing(report | {"calibration": content}, requested) == ""
    assert differing(report, Recipe.of_request(folder, replace(MULTI, calibrated=False))) == ""
    for other in (None, content | {"cases": 2}):
        assert differing(report | {"calibration": other}, requested) == "another calibration"


@pytest.mark.parametrize(
    "entries", [{"members": None}, {"members": [{}]}, {"temperature": 0}, {"labels": [1]}]
)
def test_damaged_entries_are_no_recipe(report, entries) -> None:
    for damaged in (report | entries, without(report, "mirroring")):
        with pytest.raises(ValueError, match="recipe"):
            Recipe.of_report(damaged)


def test_phases_of_one_examination_have_one_recipe(report) -> None:
    device = {"precision": "bfloat16", "image_sha256": OTHER}
    stable = report | {"until_stable": True}
    fewer = stable | {"members": stable["members"][:1]}
    for first, second in (
        *((report, report | device), (report, report | GIVEN), (stable, fewer), (fewer, stable)),
        (report, without_checksums(report)),
    ):
        assert are_of_one_examination(first, second)
    for other in (
        *(with_member(report, 1, sha256=OTHER), with_member(report, 0, epoch=101)),
        *(report | {"plans_sha256": OTHER}, report | {"labels": {"LV": 1}}, {}),
        *(report | {"mirroring": "full"}, report | {"temperature": 1.5}),
    ):
        assert not are_of_one_examination(report, other)


def test_digest_changes_with_recipe_and_further_values(ensemble) -> None:
    same = request(ensemble).digest("a")
    assert request(ensemble, device="cpu").digest("a") == same
    others = {request(ensemble).digest("b"), request(ensemble, mirroring="full").digest("a")}
    assert len(others | {same}) == 3
