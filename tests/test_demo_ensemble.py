"""Tests of the demo ensemble on the sample heart and against nnU-Net's own predictor."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

import napari_bayes_nnunet
from napari_bayes_nnunet import Ensemble, dice, find_ensemble, read_volume
from napari_bayes_nnunet.app.segmentation.calibration import find_image_rule, keeps_largest
from napari_bayes_nnunet.app.segmentation.methods import ForwardPass
from napari_bayes_nnunet.app.segmentation.settings import SegmentationSettings
from napari_bayes_nnunet.core.types import Spacing
from napari_bayes_nnunet.io.ensemble.ensemble_folder import Member
from napari_bayes_nnunet.io.images.nifti import read_labels
from napari_bayes_nnunet.sample_data import CINE, ED_LABELS, ES_LABELS

FOLDER = Path(napari_bayes_nnunet.__file__).parent / "demo_ensemble"
ED, ES = 20, 7


@pytest.fixture(scope="module")
def ensemble() -> Ensemble:
    return Ensemble(FOLDER, device="cpu")


@pytest.fixture(scope="module")
def heart() -> tuple[np.ndarray, Spacing]:
    """Return three slices in the middle of the heart at end systole, and their spacing."""
    volume = read_volume(CINE).frame(ES)
    middle = len(volume.voxels) // 2
    return volume.voxels[middle - 1 : middle + 2], volume.spacing


@pytest.fixture(scope="module")
def exported(heart) -> Callable[[Member], tuple[np.ndarray, np.ndarray]]:
    """Return the labels and probabilities of the heart by nnU-Net's own predictor and a member.

    With full mirroring; each member predicts only once. Logits are summed in float32, as by this
    package: float16, in which nnU-Net sums them, changes some probabilities by more than 0.01.
    """

    @cache
    def predict(member: Member) -> tuple[np.ndarray, np.ndarray]:
        predictor = nnUNetPredictor(device=torch.device("cpu"), allow_tqdm=False)
        checkpoint = f"members/{member.path.name}"
        predictor.initialize_from_trained_model_folder(str(FOLDER), (0,), checkpoint)
        voxels, spacing = heart
        properties = {"spacing": list(spacing), "sitk_stuff": {}}
        image = voxels[None].astype(np.float32)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch, "half", torch.float32)
            return predictor.predict_single_npy_array(image, properties, None, None, True)

    return predict


def test_members_of_three_cycles_fit_in_20_mb():
    folder = find_ensemble(FOLDER)
    assert folder.kind == "checkpoint ensemble"
    cycles = [member.cycle for member in folder.usable_members]
    assert all(cycles.count(cycle) >= 3 for cycle in (3, 4, 5))
    assert sum(f.stat().st_size for f in FOLDER.rglob("*") if f.is_file()) <= 20e6
    assert folder.record.licence == "CC BY-NC-SA 4.0"
    assert keeps_largest(folder, SegmentationSettings())
    assert min(folder.validation_dice.values()) > 0.8


def test_no_training_image_or_path_is_shipped():
    assert not [f for f in FOLDER.rglob("*") if f.name.endswith((".nii", ".nii.gz", ".b2nd"))]
    assert "/" not in json.dumps(json.loads((FOLDER / "dataset.json").read_text()))


@pytest.fixture(params=["full", "half"])
def precise(request) -> tuple[Ensemble, float, float]:
    """Return the ensemble in either precision, tolerance of probabilities and least Dice."""
    precision = "full" if request.param == "full" else "auto"
    tolerance, least = {"full": (0.0001, 0.9999), "auto": (0.06, 0.99)}[precision]
    return Ensemble(FOLDER, device="cpu", precision=precision), tolerance, least


def test_a_member_equals_nnunets_own_predictor(precise, heart, exported):
    """The trained weights need a resampled volume (1.29 mm to 1.56 mm)."""
    ensemble, tolerance, least = precise
    member = ensemble.folder.usable_members[-1]
    labels, probabilities = exported(member)
    (own,) = map(np.asarray, ensemble.pass_probabilities(*heart, [ForwardPass((member,))]))
    assert np.abs(own - probabilities).max() <= tolerance
    scores = dice(own.argmax(0), labels, ensemble.structures)
    assert min(scores.values()) >= least


def test_an_ensemble_equals_the_mean_of_nnunets_exports(precise, heart, exported):
    ensemble, tolerance, least = precise
    result = ensemble.segment(*heart, members=3)
    assert [m.cycle for m in result.members] == [3, 4, 5]
    mean = np.mean([exported(member)[1] for member in result.members], axis=0)
    assert np.abs(result.probabilities - mean).max() <= tolerance
    scores = dice(result.labels, mean.argmax(0), ensemble.structures)
    assert min(scores.values()) >= least


@pytest.mark.parametrize("mirroring", ["none", pytest.param("full", marks=pytest.mark.slow)])
def test_lv_of_the_sample_matches_manual_label(mirroring, ensemble):
    cine = read_volume(CINE)
    for phase, file, least in ((ED, ED_LABELS, 0.85), (ES, ES_LABELS, 0.8)):
        voxels = cine.frame(phase).voxels
        result = ensemble.segment(voxels, cine.spacing, mirroring=mirroring)
        reference = read_labels(file).voxels
        assert dice(result.labels, reference, {"LV": 3})["LV"] >= least


def test_ed_and_es_of_the_sample_are_found(ensemble):
    cine = read_volume(CINE)
    every_second_slice = cine.voxels[None, :, ::2]
    ed, es = ensemble.find_phases(every_second_slice, cine.spacing)
    # Frames 46 ms apart look alike at rest, so two of 20 frames are an acceptable error.
    assert min(abs(ed - ED), abs(ed + cine.phases - ED)) <= 2
    assert abs(es - ES) <= 1


def test_a_lost_heart_is_said_if_the_settings_are_not_calibrated(ensemble, heart):
    noise = np.random.default_rng(0).normal(size=(2, 64, 64)).astype(np.float32)
    result = ensemble.segment(noise, heart[1], method="vanilla", members=1, mirroring="none")
    assert result.failure is None
    assert result.no_cine
    assert result.no_cine in result.warnings


def test_a_cine_cropped_around_the_heart_is_a_cine(ensemble):
    cine, labels = read_volume(CINE), read_labels(ED_LABELS).voxels
    rows, columns = (
        slice(places.min() - 20, places.max() + 20)
        for places in np.nonzero((labels > 0).any(axis=0))
    )
    image = cine.voxels[ED - 1][np.newaxis, :, rows, columns]
    assert max(image.shape[2:]) * cine.spacing[1] < 160
    rule, _ = find_image_rule(ensemble.folder)
    look = ensemble.heart_look(image, cine.spacing)
    assert rule.why_no_cine(rule.signs(look)) == ""
