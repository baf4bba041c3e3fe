"""Sentences on images of another kind, and the failure score of a result."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch
from click.testing import CliRunner

from napari_bayes_nnunet.app.segmentation.calibrate import CalibrationCase
from napari_bayes_nnunet.app.segmentation.calibration import (
    Calibration,
    calibration_key,
    read_calibrations,
    write_calibration,
)
from napari_bayes_nnunet.app.segmentation.ensemble import Ensemble
from napari_bayes_nnunet.app.segmentation.image_kind import (
    CHECKS,
    CINE_SCORE,
    FEATURE_DISTANCE,
    MUSCLE_TO_BLOOD,
    NO_HEART,
    OF_THE_IMAGE,
    OTHER_KIND,
    OTHER_SHAPES,
    STRANGE_SCORE,
    UNLIKE_FACTOR,
    HeartLook,
    ImageRule,
    fit_image_rule,
)
from napari_bayes_nnunet.app.segmentation.settings import SegmentationSettings
from napari_bayes_nnunet.cli import main
from napari_bayes_nnunet.core.metrics.cine_rule import CineRule
from napari_bayes_nnunet.core.metrics.conformal import IntervalRule
from napari_bayes_nnunet.core.metrics.failure import FailureAssessment, FailureRule, SignRange
from napari_bayes_nnunet.core.metrics.feature_distance import FeatureRule
from napari_bayes_nnunet.core.steps import drain
from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.io.dataset.raw_dataset import read_dataset
from napari_bayes_nnunet.io.ensemble.fingerprint import CALIBRATION_FILE as FILE
from napari_bayes_nnunet.io.images.nifti import read_channels, read_labels, write_map
from napari_bayes_nnunet.io.study.case_report import interval_rules
from napari_bayes_nnunet.nnunet.inference import PreparedImage

FEATURES = FeatureRule(
    mean=(0.0, 0.0), directions=((1.0, 0.0),), variance=1.0, threshold=10.0, patients=16
)
CINE = CineRule(
    means=(1.0, 2.0), deviations=(2.0, 1.0), weights=(1.0, 0.5), intercept=-1.0, limit=3.0, cines=40
)
RULE = ImageRule(
    features=FEATURES, cine=CINE, muscle_to_blood=(0.3, 0.6), sha256="m", plans_sha256="p"
)
UNLIKE, NO_CINE, NOT_CHECKED = "unlike the training", "not be a short-axis cine", "Not checked"
SETTINGS = SegmentationSettings(mirroring="none", members=2, device="cpu")


def signs(distance: float = 5.0, ratio: float = 0.5, score: float = 0.0) -> dict[str, float]:
    return {FEATURE_DISTANCE: distance, MUSCLE_TO_BLOOD: ratio, CINE_SCORE: score}


def test_distant_features_are_unlike_the_training() -> None:
    assert not RULE.is_unlike_training(signs(10 * UNLIKE_FACTOR - 0.1))
    assert RULE.is_unlike_training(signs(10 * UNLIKE_FACTOR + 0.1))
    assert not RULE.is_unlike_training({})  # a network without features


@pytest.mark.parametrize("ratio", [0.21, 0.3, 0.6, 0.89])
def test_usual_contrast_is_a_cine(ratio: float) -> None:
    assert RULE.why_no_cine(signs(ratio=ratio)) == ""


@pytest.mark.parametrize("ratio", [-0.1, 0.05, 0.19, 0.96, 3.0, math.inf])
def test_other_contrast_is_no_cine(ratio: float) -> None:
    assert RULE.why_no_cine(signs(ratio=ratio)) not in ("", NO_HEART, OTHER_KIND)


def test_missing_heart_features_and_shapes_are_asked_unless_tags_answer() -> None:
    assert RULE.why_no_cine(signs(ratio=math.nan)) == NO_HEART
    assert RULE.why_no_cine(signs(score=3.1)) == OTHER_KIND
    assert RULE.why_no_cine(signs(score=2.9)) == ""
    # A distance, which a new scanner has as well, says nothing of the kind of an image.
    assert RULE.why_no_cine(signs(1000)) == ""
    usual, strange = (
        FailureAssessment(score=STRANGE_SCORE + more, threshold=1.0) for more in (-0.1, 0.1)
    )
    assert RULE.why_no_cine(signs(), usual) == ""
    assert RULE.why_no_cine(signs(), strange) == OTHER_SHAPES
    # Tags of a cine outweigh features, but no shapes.
    assert RULE.why_no_cine(signs(score=3.1), is_cine_by_tags=True) == ""
    assert RULE.why_no_cine(signs(ratio=math.nan), is_cine_by_tags=True) == NO_HEART


def test_signs_are_those_of_the_features() -> None:
    found = RULE.signs(HeartLook(np.array([3.0, 3.0]), 0.4))
    assert found[CINE_SCORE] == pytest.approx((3 - 1) / 2 * 1 + (3 - 2) * 0.5 - 1)
    assert found[MUSCLE_TO_BLOOD] == 0.4
    assert set(RULE.signs(HeartLook(None, math.nan))) == {MUSCLE_TO_BLOOD}


def test_rule_needs_features_and_ratios_of_validation_cases() -> None:
    rng = np.random.default_rng(0)
    sums = {"sha256": "m", "plans_sha256": "p"}

    def looks(count: int, ratio: float = 0.4) -> dict[str, list[HeartLook]]:
        return {f"p{n}": [HeartLook(rng.random(4), ratio + 0.01 * n)] * 2 for n in range(count)}

    training, validation = looks(25), looks(5)
    others = {name: [HeartLook(rng.random(4) + 3, 0.4)] for name in training}
    rule = fit_image_rule(training, validation, others, **sums)
    assert rule.muscle_to_blood == pytest.approx((0.4, 0.44))
    assert rule.cine.cines == 50
    for (cine,) in ([look] for of_patient in validation.values() for look in of_patient):
        found = rule.signs(cine)
        assert rule.is_unlike_training(found) is False
        assert rule.why_no_cine(found) == ""
    for (other,) in others.values():
        assert rule.why_no_cine(rule.signs(other)) == OTHER_KIND
    few = fit_image_rule(looks(19), validation, others={}, **sums)
    assert few.cine is None
    assert few.features is not None
    no_heart = {name: [HeartLook(None, 0.4)] for name in validation}
    assert fit_image_rule(training, no_heart, others, **sums).features is None
    for unusual in (math.nan, math.inf, 2.1):  # the last of a network that has learnt little
        assert fit_image_rule(training, looks(5, unusual), others, **sums) is None


@pytest.fixture(scope="module")
def checked(trained_run: Path, hearts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the run with rules that one heart fulfils."""
    copy = tmp_path_factory.mktemp("checked") / "run"
    shutil.copytree(trained_run, copy, ignore=shutil.ignore_patterns("nnunet_data"))
    ensemble = Ensemble(copy, device="cpu")
    (volume,) = read_channels(image_of(hearts))
    features, ratio = ensemble.heart_look(volume.voxels, volume.spacing)
    result = ensemble.segment(volume.voxels, volume.spacing, members=2, mirroring="none")
    rule = FeatureRule(
        mean=tuple(features),
        directions=(tuple(np.zeros(len(features))),),
        variance=1e-6,
        threshold=1.0,
        patients=16,
    )
    ranges = {
        name: SignRange(median=value, reach=1.0)
        for name, value in result.signs.items()
        if name not in OF_THE_IMAGE
    }
    inverted, _ = ensemble.heart_look(volume.voxels.max() - volume.voxels, volume.spacing)
    offset = inverted - features
    cine = CineRule(  # 0 for this heart, 1 for the inverted one
        means=tuple(features),
        deviations=(1.0,) * len(features),
        weights=tuple(offset / (offset @ offset)),
        intercept=0.0,
        limit=0.5,
        cines=40,
    )
    write_calibration(
        ensemble.folder,
        Calibration(
            temperature=1.2,
            cases=("a",),
            failure=FailureRule(ranges=ranges, threshold=0.0, patients=16),
            volumes={"LV": IntervalRule(bias=0, half_width_80=1, half_width_90=2, patients=16)},
            **calibration_key(ensemble.folder, SETTINGS),
        ),
        image=ImageRule(
            features=rule,
            cine=cine,
            muscle_to_blood=(ratio / 1.2, ratio),
            sha256=ensemble.last_member().sha256,
            plans_sha256=ensemble.folder.plans_sha256,
        ),
    )
    return copy


def image_of(hearts: Path) -> Path:
    return read_dataset(hearts).cases[0].images[0]


def predicted(model: Path, image: Path, output: Path, *flags: str) -> tuple[int, str, list[Any]]:
    start = ["predict", model, image, "-o", output, "--members", 2, "--mirroring", "none"]
    outcome = CliRunner().invoke(main, [*map(str, start), "--device", "cpu", *flags])
    reports = [json.loads(file.read_text()) for file in output.glob("*.json")]
    return outcome.exit_code, outcome.output, reports


def test_usual_image_has_a_score_but_no_warning(checked, hearts, tmp_path) -> None:
    code, text, (report,) = predicted(checked, image_of(hearts), tmp_path, "--strict")
    assert code == 0, text
    assert report["failure"] == {"score": 0.0, "threshold": 0.0, "warned": False}
    assert report["warnings"] == []
    assert report["unlike_training"] is False
    assert report["no_cine"] is False
    assert report["signs"][FEATURE_DISTANCE] == pytest.approx(0, abs=1e-3)
    assert "interval_90" in report["volumes_ml"]["LV"]


def test_inverted_image_is_said_to_be_none(checked, hearts, tmp_path) -> None:
    (volume,) = read_channels(image_of(hearts))
    inverted = tmp_path / "inverted.nii.gz"
    write_map(inverted, (volume.voxels.max() - volume.voxels).astype(np.float32), volume.geometry)
    code, text, (report,) = predicted(checked, inverted, tmp_path / "out")
    assert code == 0, text
    assert any(UNLIKE in sentence for sentence in report["warnings"])
    assert report["unlike_training"] is True
    assert report["no_cine"] is True
    assert any(NO_CINE in sentence for sentence in report["warnings"])
    assert not interval_rules([report])
    assert not any("interval_90" in volume for volume in report["volumes_ml"].values())
    code, text, reports = predicted(checked, inverted, tmp_path / "strict", "--strict")
    assert code == 1
    assert NO_CINE in text
    assert reports == []
    # Nor is a result of an earlier run taken over, which was not strict.
    code, text, reports = predicted(checked, inverted, tmp_path / "out", "--strict", "--continue")
    assert code == 1
    assert NO_CINE in text
    assert reports == [report]


def test_a_refused_cine_keeps_its_earlier_results(checked, hearts, tmp_path) -> None:
    source = nibabel.load(image_of(hearts))
    voxels = np.asarray(source.dataobj)
    inverted = (voxels.max() - voxels).astype(np.float32)
    cine, output = tmp_path / "cine.nii.gz", tmp_path / "out"
    nibabel.save(nibabel.Nifti1Image(np.stack([inverted] * 2, axis=-1), source.affine), cine)
    code, text, _ = predicted(checked, cine, output)
    assert code == 0, text
    before = {file.name: file.read_bytes() for file in output.iterdir()}
    code, text, _ = predicted(checked, cine, output, "--strict", "--overwrite")
    assert code == 1
    assert NO_CINE in text
    assert {file.name: file.read_bytes() for file in output.iterdir()} == before


@pytest.fixture(scope="module")
def judged(checked, hearts, tmp_path_factory) -> tuple[Path, Any]:
    """An inverted image, and the report of its prediction with the usual settings."""
    folder = tmp_path_factory.mktemp("inverted")
    (volume,) = read_channels(image_of(hearts))
    inverted = folder / "inverted.nii.gz"
    write_map(inverted, (volume.voxels.max() - volume.voxels).astype(np.float32), volume.geometry)
    *_, (usual,) = predicted(checked, inverted, folder / "usual")
    return inverted, usual


@pytest.mark.parametrize(
    "flags",
    [
        ("--window", "whole"),
        ("--members", "1"),
        ("--mirroring", "full"),
        ("--method", "vanilla"),
        ("--uncalibrated",),
    ],
)
def test_the_image_is_judged_whatever_the_settings(checked, judged, tmp_path, flags) -> None:
    inverted, usual = judged
    code, text, (report,) = predicted(checked, inverted, tmp_path / "out", *flags)
    assert code == 0, text
    assert (report["no_cine"], report["unlike_training"]) == (True, True)
    for name in OF_THE_IMAGE:
        assert report["signs"][name] == usual["signs"][name]
    (sentence,) = (sentence for sentence in report["warnings"] if NOT_CHECKED in sentence)
    assert [what in sentence for what in CHECKS] == [False, False, True]
    cine, _, failure = CHECKS.values()
    assert (cine in sentence, failure in sentence) == (False, True)
    assert not any(NOT_CHECKED in sentence for sentence in usual["warnings"])
    assert predicted(checked, inverted, tmp_path / "strict", *flags, "--strict")[0] == 1


@pytest.mark.parametrize("is_changed", [True, False])
def test_without_a_rule_the_kind_is_not_checked(checked, hearts, tmp_path, is_changed) -> None:
    copy = tmp_path / "run"
    shutil.copytree(checked, copy)
    content = json.loads((copy / FILE).read_text())
    if is_changed:
        content["image"]["sha256"] = "of another member"
    else:  # as version 0.2.0 wrote it
        content["calibrations"][0]["image"] = content.pop("image")
    (copy / FILE).write_text(json.dumps(content))
    code, text, (report,) = predicted(copy, image_of(hearts), tmp_path / "out")
    assert code == 0, text
    assert (report["no_cine"], report["unlike_training"]) == (None, None)
    (sentence,) = report["warnings"]
    assert [what in sentence for what in CHECKS] == [True, True, False]
    assert all(needs in sentence for needs in CHECKS.values())
    code, text, reports = predicted(copy, image_of(hearts), tmp_path / "strict", "--strict")
    assert (code, reports) == (1, [])
    assert "--strict" in text


def test_a_word_in_the_name_is_asked_unless_answered(checked, hearts, tmp_path) -> None:
    named = tmp_path / "p01_LGE_0000.nii.gz"
    shutil.copy(image_of(hearts), named)
    code, text, (report,) = predicted(checked, named, tmp_path / "out")
    assert code == 0, text
    assert report["no_cine"] is True
    assert "LGE" in report["warnings"][0]
    assert "interval_90" not in report["volumes_ml"]["LV"]
    assert predicted(checked, named, tmp_path / "strict", "--strict")[0] == 1
    *_, (report,) = predicted(checked, named, tmp_path / "anyway", "--anyway")
    assert (report["no_cine"], report["warnings"]) == (False, [])


def test_tags_of_a_cine_answer_the_question(checked, hearts) -> None:
    (volume,) = read_channels(image_of(hearts))
    inverted = volume.voxels.max() - volume.voxels
    ensemble = Ensemble(checked, device="cpu")
    result, trusted, asked = (
        ensemble.segment(inverted, volume.spacing, members=2, mirroring="none", doubt=doubt)
        for doubt in (None, "", "its tags differ")
    )
    assert OTHER_KIND in result.no_cine
    assert not any(NO_CINE in warning for warning in trusted.warnings)
    assert [NO_CINE in warning for warning in asked.warnings].count(True) == 1
    assert "its tags differ" in asked.no_cine


def test_score_above_the_threshold_warns(checked, hearts, tmp_path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(checked, copy)
    folder = Ensemble(copy, device="cpu").folder
    (calibration,) = (c for c in read_calibrations(copy) if c.failure is not None)
    failure = replace(calibration.failure, threshold=-1.0)
    write_calibration(folder, replace(calibration, failure=failure))
    code, text, (report,) = predicted(copy, image_of(hearts), tmp_path / "out")
    assert code == 0, text
    assert report["failure"] == {"score": 0.0, "threshold": -1.0, "warned": True}
    assert len(report["warnings"]) == 1
    assert not any("interval_90" in volume for volume in report["volumes_ml"].values())
    *_, (report,) = predicted(copy, image_of(hearts), tmp_path / "plain", "--uncalibrated")
    assert report["failure"] is None
    assert (report["unlike_training"], report["no_cine"]) == (False, False)
    # A damaged calibration is refused before the long work, also if its temperature is not used.
    (copy / FILE).write_text("[]")
    for flags in ((), ("--uncalibrated",)):
        assert predicted(copy, image_of(hearts), tmp_path / "none", *flags)[::2] == (1, [])
    (volume,) = read_channels(image_of(hearts))
    settings = replace(SETTINGS, temperature=1.0)
    with pytest.raises(DataError):
        next(Ensemble(copy, device="cpu").steps(volume.voxels, volume.spacing, settings))


def test_earlier_calibration_adds_no_sign_of_failure(checked, hearts) -> None:
    (volume,) = read_channels(image_of(hearts))
    ensemble = Ensemble(checked, device="cpu")
    settings = replace(SETTINGS, temperature=1)
    result = drain(ensemble.steps(volume.voxels, volume.spacing, settings, keep_members=True))
    assert FEATURE_DISTANCE in result.signs
    reference = read_labels(read_dataset(hearts).cases[0].label).voxels
    case = CalibrationCase.compare("a", "p", result, reference, volume.spacing)
    assert set(case.failure_signs) == set(result.signs) - {*OF_THE_IMAGE}


@pytest.mark.parametrize("is_heart", [True, False])
def test_features_are_means_and_deviations_in_the_heart(checked, hearts, is_heart) -> None:
    """All pixels are heart, or none is, by the bias of the background."""
    ensemble = Ensemble(checked, device="cpu", precision="full")
    predictor, members = ensemble._ready
    weights = {**members.open((ensemble.last_member(),)).weights}
    for name in [name for name in weights if "seg_layers" in name and name.endswith("bias")]:
        weights[name] = weights[name].clone()
        weights[name][0] = -1e4 if is_heart else 1e4
    patches = np.random.default_rng(0).random((1, 3, *predictor.patch_size), np.float32)
    features = predictor.heart_features(PreparedImage(torch.from_numpy(patches), (), {}), weights)
    if not is_heart:
        assert features is None
        return
    module = predictor.network.module
    with torch.inference_mode():
        module.load_state_dict(weights)
        values = module.encoder(torch.from_numpy(patches).transpose(0, 1))[-2].numpy()
    expected = [*values.mean(axis=(0, 2, 3)), *values.std(axis=(0, 2, 3))]
    np.testing.assert_allclose(features, expected, rtol=1e-3, atol=1e-4)


def test_features_hardly_depend_on_the_precision(checked, hearts) -> None:
    (volume,) = read_channels(image_of(hearts))
    half, full = (
        Ensemble(checked, device="cpu", precision=precision)
        .heart_look(volume.voxels, volume.spacing)
        .features
        for precision in ("auto", "full")
    )
    assert half == pytest.approx(full, rel=0.02, abs=0.02)
