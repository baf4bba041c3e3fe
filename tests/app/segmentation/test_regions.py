"""Labels that overlap (regions): trained, predicted as nnU-Net does, reviewed and evaluated."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

from napari_bayes_nnunet.app import AppError
from napari_bayes_nnunet.app.prediction.request import PredictionRequest, check_request
from napari_bayes_nnunet.app.review.session import ReviewSession
from napari_bayes_nnunet.app.segmentation.calibrate import calibrate
from napari_bayes_nnunet.app.segmentation.calibration import NOT_OF_REGIONS, uncalibrated_notes
from napari_bayes_nnunet.app.segmentation.ensemble import Ensemble
from napari_bayes_nnunet.app.segmentation.inspection import inspection_text
from napari_bayes_nnunet.app.segmentation.methods import (
    NOT_FOR_REGIONS,
    ForwardPass,
    refused_methods,
)
from napari_bayes_nnunet.app.segmentation.settings import SegmentationSettings
from napari_bayes_nnunet.cli import main
from napari_bayes_nnunet.core.ensemble.maps import MAPS
from napari_bayes_nnunet.io.ensemble.ensemble_folder import find_ensemble
from napari_bayes_nnunet.io.study.study import read_study

from ...helpers.checks.problems import says
from ...helpers.data.hearts import make_dataset
from ...helpers.data.models import made_image, make_model

# Not in the order of the labels, so that a mixed-up order is seen.
REGIONS = {
    "labels": {"background": 0, "epi": [2, 3], "heart": [1, 2, 3], "LV": 3},
    "regions_class_order": [2, 1, 3],
}
NAMES = {"epi only": 2, "heart only": 1, "LV": 3}
SPACING = (6.0, 1.5, 1.5)
PLAIN = {"mirroring": "none", "window": "whole", "largest_component": "off"}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return make_model(tmp_path, members=3, **REGIONS)


def test_one_member_predicts_as_nnunet_does(model) -> None:
    image = made_image((3, 40, 36))
    stock = nnUNetPredictor(use_mirroring=False, device=torch.device("cpu"), allow_tqdm=False)
    stock.initialize_from_trained_model_folder(str(model), (0,), "checkpoint_epoch_3.pth")
    properties = {"spacing": [*SPACING], "sitk_stuff": {}}
    labels, expected = stock.predict_single_npy_array(image[None], properties, None, None, True)
    result = Ensemble(model, device="cpu", precision="full").segment(
        image, SPACING, method="vanilla", **PLAIN
    )
    np.testing.assert_allclose(result.probabilities, expected, atol=1e-2)  # it sums in float16
    certain = (abs(expected - 0.5) > 1e-2).all(axis=0)
    np.testing.assert_array_equal(result.labels[certain], labels[certain])
    assert {*np.unique(labels)} > {0, 1}
    p = np.asarray(result.probabilities, np.float64).clip(1e-12, 1 - 1e-12)
    binary = -p * np.log2(p) - (1 - p) * np.log2(1 - p)
    np.testing.assert_allclose(result.entropy, binary.mean(axis=0), atol=1e-5)


def test_members_are_averaged_region_by_region(model) -> None:
    image, ensemble = made_image((3, 40, 36)), Ensemble(model, device="cpu", precision="full")
    passes = [ForwardPass((member,)) for member in ensemble.folder.members]
    each = np.stack(
        [
            np.asarray(p)
            for p in ensemble.pass_probabilities(image, SPACING, passes, mirroring="none")
        ]
    )
    result = ensemble.segment(image, SPACING, **PLAIN)
    np.testing.assert_allclose(result.probabilities, each.mean(axis=0), atol=1e-6)
    expected = np.zeros(image.shape)
    for mean, label in zip(result.probabilities, (2, 1, 3), strict=True):
        expected[mean > 0.5] = label
    np.testing.assert_array_equal(result.labels, expected)
    assert result.mutual_information.min() >= 0 < result.mutual_information.max() <= 1
    # Each region has two classes, inside and outside, so that the ends of the scales hold.
    binary = [of(axis=0) for of in (each.var, (1 - each).var)]
    np.testing.assert_allclose(result.maps["variance"], sum(binary).mean(axis=0), atol=1e-6)
    ends = {name: entry.end(ensemble.folder.classes) for name, entry in MAPS.items()}
    assert ends == {"entropy": 1, "mutual-information": 1, "variance": 0.5}
    assert result.structures == NAMES
    assert (result.failure, result.calibration) == (None, None)
    assert NOT_OF_REGIONS in result.findings


def test_what_needs_one_label_a_voxel_is_off(model, tmp_path) -> None:
    ensemble, settings = Ensemble(model, device="cpu"), SegmentationSettings()
    image = made_image((3, 40, 36))
    with pytest.raises(AppError, check=says(NOT_FOR_REGIONS, what="temperature")):
        ensemble.segment(image, SPACING, temperature=1.5)
    with pytest.raises(AppError, check=says(NOT_FOR_REGIONS, what="calibration")):
        next(calibrate(ensemble, tmp_path, settings))
    asked = PredictionRequest(
        images=(), output=tmp_path, settings=settings, save=frozenset({"probabilities"})
    )
    with pytest.raises(AppError, check=says(NOT_FOR_REGIONS)):
        check_request(ensemble.folder, asked)
    check_request(ensemble.folder, replace(asked, save=frozenset({"entropy", "study"})))
    assert "temperature" in refused_methods(ensemble.folder)
    assert uncalibrated_notes(ensemble.folder, settings) == (NOT_OF_REGIONS,)
    assert NOT_OF_REGIONS in inspection_text(ensemble.folder)


@pytest.mark.usefixtures("few_resamples", "blank_figures")
def test_regions_are_trained_predicted_reviewed_and_evaluated(warm_command, tmp_path) -> None:
    hearts = make_dataset(tmp_path / "hearts", patients=3, frames=1, **REGIONS)
    run, out, report = (tmp_path / name for name in ("run", "out", "report"))
    small = ("--epochs", 3, "--iterations-per-epoch", 2, "--batch-size", 2)
    flags = ("--preset", "demo", *small, "--seed", 1, "--device", "cpu", "--jsonl")
    done = warm_command.run("train", hearts, "--output", run, *flags, folder=tmp_path)
    assert done.code == 0, done.errors
    lines = [json.loads(line) for line in done.output.splitlines()]
    assert {*next(line["pseudo_dice"] for line in lines if line.get("pseudo_dice"))} == {
        *("epi", "heart", "LV")
    }
    folder = find_ensemble(run)
    assert {n: v for n, v in folder.labels.items() if v} == NAMES
    assert folder.class_order == (2, 1, 3)
    assert {*folder.validation_dice} == {*NAMES}
    images = map(str, sorted((hearts / "imagesTr").iterdir()))
    saved = ["--save", "entropy,study", "--device", "cpu"]
    for arguments in (
        ["predict", str(run), *images, "-o", str(out), *saved],
        ["evaluate", str(out), str(hearts / "labelsTr"), "-o", str(report)],
    ):
        answer = CliRunner().invoke(main, arguments)
        assert answer.exit_code == 0, answer.output
    with (report / "cases.csv").open() as file:
        assert {row["structure"] for row in csv.DictReader(file)} >= {*NAMES}
    study = read_study(out / "patient001_frame01")
    assert not study.problems
    assert study.info.classes == 2  # the scale of the entropy ends at 1 bit
    session = ReviewSession(study)
    place = (session.phases[0], 1)
    for answer in session.alternatives_in(place):  # the prediction itself
        np.testing.assert_array_equal(answer.labels, session.predicted_in(place))
    assert session.entropy_in(place).max() > 0
    before = session.labels_in(place).copy()
    session.labels_in(place)[:4, :5] = 3
    session.note_change([place], tool="brush", before={place: before})
    assert session.edited_places() == [place]
