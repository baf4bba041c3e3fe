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
from click.testing import CliRunner

from napari_bayes_nnunet.app.segmentation.calibrate import CalibrationCase
from napari_bayes_nnunet.app.segmentation.calibration import (
    FILE,
    Calibration,
    calibration_key,
    read_calibrations,
    write_calibration,
)
from napari_bayes_nnunet.app.segmentation.case_signs import (
    FEATURE_DISTANCE,
    MUSCLE_TO_BLOOD,
)
from napari_bayes_nnunet.app.segmentation.ensemble import Ensemble
from napari_bayes_nnunet.app.segmentation.image_kind import (
    NO_HEART,
    OTHER_FACTOR,
    OTHER_FEATURES,
    OTHER_SHAPES,
    STRANGE_SCORE,
    UNLIKE_FACTOR,
    ImageRule,
    fit_image_rule,
)
from napari_bayes_nnunet.app.segmentation.settings import SegmentationSettings
from napari_bayes_nnunet.cli import main
from napari_bayes_nnunet.core.metrics.failure import FailureAssessment, FailureRule, SignRange
from napari_bayes_nnunet.core.metrics.feature_distance import FeatureRule
from napari_bayes_nnunet.core.steps import drain
from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.io.dataset.raw_dataset import read_dataset
from napari_bayes_nnunet.io.images.nifti import read_channels, read_labels, write_map

FEATURES = FeatureRule(
    mean=(0.0, 0.0), directions=((1.0, 0.0),), variance=1.0, threshold=10.0, patients=16
)
RULE = ImageRule(features=FEATURES, muscle_to_blood=(0.3, 0.6))
UNLIKE, NO_CINE = "unlike the training images", "like a short-axis cine"
SETTINGS = SegmentationSettings(mirroring="none", members=2, device="cpu")


def signs(distance: float = 5.0, ratio: float = 0.5) -> dict[str, float]:
    return {FEATURE_DISTANCE: distance, MUSCLE_TO_BLOOD: ratio}


def test_distant_features_are_unlike_the_training() -> None:
    assert not RULE.is_unlike_training(signs(10 * UNLIKE_FACTOR - 0.1))
    assert RULE.is_unlike_training(signs(10 * UNLIKE_FACTOR + 0.1))
    assert not RULE.is_unlike_training({})  # a network without features


@pytest.mark.parametrize("ratio", [0.21, 0.3, 0.6, 0.89])
def test_usual_contrast_is_a_cine(ratio: float) -> None:
    assert RULE.why_no_cine(signs(ratio=ratio)) == ""


@pytest.mark.parametrize("ratio", [-0.1, 0.05, 0.19, 0.96, 3.0, math.inf])
def test_other_contrast_is_no_cine(ratio: float) -> None:
    assert RULE.why_no_cine(signs(ratio=ratio)) not in ("", NO_HEART, OTHER_FEATURES)


def test_missing_heart_and_strange_features_are_no_cine() -> None:
    assert RULE.why_no_cine(signs(ratio=math.nan)) == NO_HEART
    assert RULE.why_no_cine(signs(10 * OTHER_FACTOR + 0.1)) == OTHER_FEATURES


def test_strange_shapes_are_no_cine() -> None:
    usual, strange = (
        FailureAssessment(score=STRANGE_SCORE + more, threshold=1.0) for more in (-0.1, 0.1)
    )
    assert RULE.why_no_cine(signs(), usual) == ""
    assert RULE.why_no_cine(signs(), strange) == OTHER_SHAPES


def test_rule_needs_features_and_ratios_of_validation_cases() -> None:
    rng = np.random.default_rng(0)
    training, validation = list(rng.random((20, 4))), list(rng.random((10, 4)))
    ratios, patients = list(rng.uniform(0.3, 0.5, 10)), [f"p{n // 2}" for n in range(10)]
    rule = fit_image_rule(training, validation, ratios, patients)
    assert rule.muscle_to_blood == (min(ratios), max(ratios))
    cases = zip(validation, ratios, strict=True)
    for features, ratio in cases:  # never said of a validation case
        found = signs(rule.features.distance(features), ratio)
        assert not rule.is_unlike_training(found)
        assert rule.why_no_cine(found) == ""
    assert fit_image_rule([], validation, ratios, patients) is None
    assert fit_image_rule(training, [None] * 10, ratios, patients) is None
    assert fit_image_rule(training, validation, [math.nan] * 10, patients) is None


@pytest.fixture(scope="module")
def checked(trained_run: Path, hearts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the run with rules that one heart fulfils."""
    copy = tmp_path_factory.mktemp("checked") / "run"
    shutil.copytree(trained_run, copy, ignore=shutil.ignore_patterns("nnunet_data"))
    ensemble = Ensemble(copy, device="cpu")
    (volume,) = read_channels(image_of(hearts))
    features = ensemble.features(volume.voxels, volume.spacing, SETTINGS)
    result = ensemble.segment(volume.voxels, volume.spacing, members=2, mirroring="none")
    ratio = result.signs[MUSCLE_TO_BLOOD]
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
        if name != MUSCLE_TO_BLOOD
    }
    write_calibration(
        ensemble.folder,
        Calibration(
            temperature=1.2,
            cases=("a",),
            failure=FailureRule(ranges=ranges, threshold=0.0, patients=16),
            image=ImageRule(features=rule, muscle_to_blood=(ratio / 1.2, ratio)),
            **calibration_key(ensemble.folder, SETTINGS),
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


def test_without_a_rule_a_strict_run_is_refused(checked, hearts, tmp_path) -> None:
    flags = "--strict", "--window", "whole"
    code, text, reports = predicted(checked, image_of(hearts), tmp_path, *flags)
    assert code == 1
    assert "--strict" in text
    assert reports == []
    assert predicted(checked, image_of(hearts), tmp_path, *flags[1:])[0] == 0
    assert predicted(checked, image_of(hearts), tmp_path, *flags, "--continue")[0] == 1


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
    *_, (report,) = predicted(copy, image_of(hearts), tmp_path / "plain", "--uncalibrated")
    assert report["failure"] is None
    assert report["unlike_training"] is None
    assert report["no_cine"] is None
    assert FEATURE_DISTANCE not in report["signs"]
    # A damaged calibration does not matter then.
    (copy / FILE).write_text("[]")
    code, text, (again,) = predicted(copy, image_of(hearts), tmp_path / "again", "--uncalibrated")
    assert code == 0, text
    assert again["volumes_ml"] == report["volumes_ml"]
    assert predicted(copy, image_of(hearts), tmp_path / "none")[0] == 1
    # Else it is refused before the long work, also if the temperature is given.
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
    assert set(case.failure_signs) == set(result.signs) - {FEATURE_DISTANCE, MUSCLE_TO_BLOOD}


def test_features_hardly_depend_on_the_precision(checked, hearts) -> None:
    (volume,) = read_channels(image_of(hearts))
    half, full = (
        Ensemble(checked, device="cpu", precision=precision).features(
            volume.voxels, volume.spacing, SETTINGS
        )
        for precision in ("auto", "full")
    )
    assert half == pytest.approx(full, rel=0.02, abs=0.02)
