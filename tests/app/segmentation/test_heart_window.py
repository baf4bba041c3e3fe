"""Only the first member of each cycle sees the whole image; the others see a window."""

import json
from dataclasses import replace

import nibabel
import numpy as np
import pytest

from napari_bayes_nnunet.app.remote.store import BUILT_IN_FOLDER
from napari_bayes_nnunet.app.segmentation import ensemble as ensemble_module
from napari_bayes_nnunet.app.segmentation.calibration import (
    OTHER_SETTINGS,
    calibration_notes,
    find_calibration,
    read_calibrations,
)
from napari_bayes_nnunet.app.segmentation.ensemble import (
    HEART_WINDOW,
    Ensemble,
    PassPlan,
    find_window,
)
from napari_bayes_nnunet.app.segmentation.member_predictions import PredictionCache
from napari_bayes_nnunet.app.segmentation.settings import SegmentationSettings
from napari_bayes_nnunet.core.ensemble.posterior import RunningPosterior
from napari_bayes_nnunet.core.metrics.overlap import dice
from napari_bayes_nnunet.core.steps import drain
from napari_bayes_nnunet.nnunet import Stopped
from napari_bayes_nnunet.sample_data import CINE

RV = 1
"""Its members differ much in it on this scanner."""
SPACING = (8.0, 1.29, 1.29)
SETTINGS = SegmentationSettings(members=5, mirroring="none", calibrated=False, window="whole")
HEART = SegmentationSettings(members=5, mirroring="none", calibrated=False, window="heart")


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    """Two slices of the sample in a wide field of view, dark around them."""
    slices = np.asarray(nibabel.load(CINE).dataobj)[:, :, 4:6, 19].T.astype(np.float32)
    return np.pad(slices, ((0, 0), (60, 68), (98, 30)), "constant", constant_values=3)


@pytest.fixture(scope="module")
def ensemble(tmp_path_factory) -> Ensemble:
    return Ensemble(
        BUILT_IN_FOLDER,
        device="cpu",
        precision="full",
        cache=PredictionCache(tmp_path_factory.mktemp("cache")),
    )


@pytest.fixture(scope="module")
def whole(ensemble, image):
    return drain(ensemble.steps(image, SPACING, SETTINGS))


@pytest.fixture(scope="module")
def windowed(ensemble, image):
    return drain(ensemble.steps(image, SPACING, HEART, keep_members=True))


def test_the_heart_is_in_the_window_and_nearly_as_in_the_whole_image(whole, windowed) -> None:
    inside = np.zeros(whole.labels.shape, bool)
    inside[windowed.window_box] = True
    assert 0 < inside.mean() < 0.5
    ventricle = whole.labels > RV
    assert ventricle[inside].sum() == ventricle.sum()
    same = dice(windowed.labels, whole.labels, windowed.structures)
    assert min(same["MYO"], same["LV"]) > 0.95


def test_outside_of_the_window_the_posterior_is_that_of_the_first_members(
    ensemble, image, windowed
) -> None:
    plan = PassPlan(folder=ensemble.folder, settings=HEART)
    assert plan.first == 3
    first = RunningPosterior()
    for probabilities in ensemble.pass_probabilities(
        image, SPACING, plan.order[:3], mirroring="none"
    ):
        first.add(probabilities)
    outside = np.ones(image.shape, bool)
    outside[windowed.window_box] = False
    for measured, method in (
        (windowed.entropy, RunningPosterior.total_entropy),
        (windowed.mutual_information, RunningPosterior.mutual_information),
        (windowed.labels, RunningPosterior.labels),
    ):
        expected = np.asarray(method(first))
        np.testing.assert_allclose(measured[outside], expected[outside], atol=1e-5)
        if method is not RunningPosterior.labels:
            assert np.abs(measured - expected)[~outside].max() > 0.05
    late = set(plan.passes) - set(plan.order[:3])
    for index, made in enumerate(plan.passes):
        if made in late:
            labels = windowed.member_labels[index]
            np.testing.assert_array_equal(labels[outside], windowed.labels[outside])


def test_the_report_says_what_was_asked(windowed, whole) -> None:
    report = json.loads(json.dumps(windowed.report()))
    assert report["window"] == "heart"
    assert [slice(*side) for side in report["window_box"]] == list(windowed.window_box)
    assert HEART_WINDOW.format(first=3, done=5, were="were") in report["notes"]
    report = whole.report()
    assert (report["window"], report["window_box"]) == ("whole", None)
    assert SegmentationSettings.from_json(windowed.report()) == windowed.settings


def test_the_heart_is_found_in_the_plane_of_the_slices(ensemble, image, monkeypatch) -> None:
    asked = []

    def find(predictor, prepared, found, axis):
        asked.append((axis, found.shape))
        raise Stopped  # before the other members

    monkeypatch.setattr(ensemble_module, "find_window", find)
    moved = np.ascontiguousarray(np.moveaxis(image, 0, 2))
    with pytest.raises(Stopped):
        drain(ensemble.steps(moved, (*SPACING[1:], SPACING[0]), HEART))
    assert asked == [(2, moved.shape)]


def test_kept_predictions_of_a_window_give_the_same(ensemble, image, windowed) -> None:
    again = drain(ensemble.steps(image, SPACING, HEART))
    np.testing.assert_array_equal(again.probabilities, windowed.probabilities)
    assert again.window_box == windowed.window_box


def test_a_window_that_cuts_the_heart_is_widened(ensemble, image, whole, monkeypatch) -> None:
    def cut(predictor, prepared, found, axis):
        left = np.zeros_like(found)
        left[:, 150:200, 110:150] = True
        return predictor.cutout(prepared, left, margin=0)

    monkeypatch.setattr(ensemble_module, "find_window", cut)
    narrow = cut(
        ensemble._predictor, ensemble._predictor.prepare(image[None], SPACING), whole.labels > 0, 0
    )
    last = np.flatnonzero((whole.labels > RV).any(axis=(0, 1)))[-1]
    assert narrow.box[2].stop <= last
    result = drain(ensemble.steps(image, SPACING, HEART))
    assert result.window_box[2].stop > last
    same = dice(result.labels, whole.labels, result.structures)
    assert min(same["MYO"], same["LV"]) > 0.95


@pytest.mark.parametrize("by", [8, 1000])
def test_the_box_is_what_all_members_saw_if_the_window_is_widened_later(
    ensemble, image, windowed, monkeypatch, by
) -> None:
    asked = []

    def widen_for_the_last(predictor, window, probabilities):
        asked.append(window)
        return window.widened(lambda edge: True, by=(by, by)) if len(asked) == 2 else None

    monkeypatch.setattr(ensemble_module, "widened_window", widen_for_the_last)
    result = drain(ensemble.steps(image, SPACING, HEART))
    assert len(asked) == (2 if by == 1000 else 3)
    assert result.window_box == windowed.window_box
    assert HEART_WINDOW.format(first=3, done=5, were="were") in result.notes


def test_nothing_or_two_things_mean_the_whole_image(ensemble, image) -> None:
    predictor = ensemble._predictor
    prepared = predictor.prepare(image[None], SPACING)
    found = np.zeros(image.shape, bool)
    assert find_window(predictor, prepared, found, 0) is None
    found[:, 100:140, 80:120] = True
    window = find_window(predictor, prepared, found, 0)
    assert window is not None
    found[0, 250:260, 300:310] = True  # a sixteenth of the area
    assert find_window(predictor, prepared, found, 0) == window
    found[0, 250:270, 300:310] = True
    assert find_window(predictor, prepared, found, 0) is None


def test_one_network_sees_the_whole_image(ensemble, image) -> None:
    result = ensemble.segment(image, SPACING, method="vanilla", mirroring="none", window="heart")
    assert result.window_box is None


def test_a_calibration_is_for_one_window(ensemble) -> None:
    folder, heart = ensemble.folder, SegmentationSettings(members=9)
    whole = replace(heart, window="whole", largest_component="off")
    found = [find_calibration(folder, settings) for settings in (heart, whole)]
    assert [c and c.window for c in found] == ["heart", "whole"]
    unlike = replace(whole, mirroring="spread")
    assert find_calibration(folder, unlike) is None
    newest, second, *_ = reversed(read_calibrations(folder.path))
    settings = f"{newest.settings}; {second.settings}; …"
    assert calibration_notes(folder, unlike) == (OTHER_SETTINGS.format(settings=settings),)
