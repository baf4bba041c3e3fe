"""The largest component of all structures, from the training data to results and reports."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from click.testing import CliRunner

from napari_bayes_nnunet.app.segmentation.calibrate import measure_training_labels
from napari_bayes_nnunet.app.segmentation.calibration import keeps_largest
from napari_bayes_nnunet.app.segmentation.ensemble import Ensemble
from napari_bayes_nnunet.app.segmentation.result import (
    FirstLook,
    MemberStatistics,
    Segmentation,
    stored_posterior,
)
from napari_bayes_nnunet.app.segmentation.settings import SegmentationSettings
from napari_bayes_nnunet.cli import main
from napari_bayes_nnunet.core.heart.largest_component import largest_component
from napari_bayes_nnunet.core.steps import drain
from napari_bayes_nnunet.io.dataset.raw_dataset import read_dataset
from napari_bayes_nnunet.io.ensemble.ensemble_folder import find_ensemble
from napari_bayes_nnunet.io.ensemble.fingerprint import CALIBRATION_FILE as FILE

from ...helpers.data.hearts import SPACING as FILE_SPACING
from ...helpers.data.hearts import write_nifti

SPACING = FILE_SPACING[::-1]
FAST: dict[str, Any] = {"mirroring": "none", "window": "whole"}


@pytest.fixture(scope="module")
def two_hearts(hearts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an image with a heart, and the upper half of another one 40 voxels beside it."""
    image = nibabel.load(read_dataset(hearts).cases[0].images[0])
    voxels = np.asarray(image.dataobj)
    beside = voxels.copy()
    beside[..., 2:] = voxels[:1, :1, 2:]
    file = tmp_path_factory.mktemp("images") / "two_0000.nii.gz"
    write_nifti(file, np.concatenate([voxels, beside], axis=0))
    return file


def segment(run: Path, image: Path, **settings: Any) -> Segmentation:
    voxels = np.asarray(nibabel.load(image).dataobj).T
    ensemble = Ensemble(run, device="cpu")
    chosen = SegmentationSettings(**FAST, **settings)
    return drain(ensemble.steps(voxels, SPACING, chosen, keep_members=True))


def changed_labels(hearts: Path, folder: Path, change: Any) -> Path:
    """Return a copy of the dataset in which the labels of a training case were changed."""
    shutil.copytree(hearts, folder)
    file = folder / "labelsTr" / "patient001_frame01.nii.gz"
    labels = np.asarray(nibabel.load(file).dataobj).copy()
    change(labels)
    write_nifti(file, labels)
    return folder


def test_result_keeps_the_largest_piece_only(trained_run, two_hearts) -> None:
    kept, whole = (
        segment(trained_run, two_hearts),
        segment(trained_run, two_hearts, largest_component="off"),
    )
    assert (kept.settings.largest_component, whole.settings.largest_component) == ("on", "off")
    mask = largest_component(whole.labels, SPACING)
    assert mask.any()
    assert np.count_nonzero(whole.labels[~mask]) > 100
    assert np.array_equal(kept.labels, whole.labels * mask)
    for map_ in ("probabilities", "entropy", "mutual_information"):
        assert np.array_equal(getattr(kept, map_), getattr(whole, map_))
    for labels, every in zip(kept.member_labels, whole.member_labels, strict=True):
        assert np.array_equal(labels, every * largest_component(every, SPACING))
    voxel = np.prod(SPACING) / 1000
    for name, label in kept.structures.items():
        assert kept.volumes[name] == pytest.approx(np.count_nonzero(kept.labels == label) * voxel)
        volumes = [np.count_nonzero(labels == label) * voxel for labels in kept.member_labels]
        assert kept.member_volumes[name] == pytest.approx(volumes)
    assert whole.removed is None
    lost = np.where(mask, 0, whole.labels)
    assert kept.removed.slices == tuple(np.flatnonzero(lost.any(axis=(1, 2))) + 1)
    volumes = {n: np.count_nonzero(lost == label) * voxel for n, label in kept.structures.items()}
    assert kept.removed.volumes_ml == pytest.approx({n: v for n, v in volumes.items() if v})
    restored = stored_posterior(kept).removed  # but for ties of rounded probabilities
    assert not restored[lost == 0].any()
    assert np.mean(restored[lost > 0] == lost[lost > 0]) > 0.9
    assert not stored_posterior(whole).removed.any()


def test_report_names_what_was_removed(trained_run, two_hearts, tmp_path) -> None:
    def predict(*options: str) -> int:
        words = ["predict", str(trained_run), str(two_hearts), "-o", str(tmp_path)]
        words += ["--mirroring", "none", "--window", "whole", "--device", "cpu", *options]
        return CliRunner().invoke(main, words).exit_code

    def report() -> dict[str, Any]:
        return json.loads((tmp_path / "two.json").read_text())

    assert predict() == 0
    first = report()
    assert first["largest_component"] == "on"
    assert sum(first["removed"]["volumes_ml"].values()) > 2
    assert first["removed"]["slices"]
    assert predict("--continue") == 0
    assert report() == first
    assert predict("--continue", "--largest-component", "off") == 1
    assert report() == first
    assert predict("--overwrite", "--largest-component", "off") == 0
    assert (report()["largest_component"], report()["removed"]) == ("off", None)


def test_first_look_keeps_the_largest_piece_only(trained_run, two_hearts) -> None:
    voxels = np.asarray(nibabel.load(two_hearts).dataobj).T
    (look,) = Ensemble(trained_run, device="cpu").first_looks(voxels[None, None], SPACING)
    assert look.labels.any()
    assert np.array_equal(look.labels > 0, largest_component(look.labels, SPACING))
    probabilities = np.zeros((2, 1, 9, 9), np.float32)
    probabilities[1, :, :3, :3] = probabilities[1, :, 8, 8] = 1
    probabilities[0] = 1 - probabilities[1]
    box = (slice(0, 1), slice(0, 9), slice(0, 9))
    options: dict[str, Any] = {"spacing": SPACING, "structures": {"LV": 1}}
    looks = [
        FirstLook.in_box(probabilities, box, (1, 9, 9), largest_only=only, **options)
        for only in (True, False)
    ]
    assert [np.count_nonzero(look.labels) for look in looks] == [9, 10]
    assert looks[0].cavity < looks[1].cavity


def test_members_agree_without_what_was_removed() -> None:
    members = np.zeros((2, 2, 2, 12, 12), np.float32)  # members, classes, z, y, x
    members[:, 1, :, :6, :6] = 1
    members[1, 1, 0, 10:, 10:] = 1
    members[:, 0] = 1 - members[:, 1]
    agreement = []
    for only in (True, False):
        options: dict[str, Any] = {"structures": {"LV": 1}, "spacing": (8.0, 1.0, 1.0)}
        statistics = MemberStatistics(largest_only=only, **options)
        for probabilities in members:
            statistics.add(probabilities)
        agreement.append(statistics.agreement.mean()["LV"])
    assert agreement[0] == 1 > agreement[1]


def test_training_records_that_labels_are_one_component(trained_run, hearts) -> None:
    assert json.loads((trained_run / FILE).read_text())["one_component"] is True
    folder = find_ensemble(trained_run)
    assert keeps_largest(folder, SegmentationSettings())
    assert not keeps_largest(folder, SegmentationSettings(largest_component="off"))


@pytest.mark.parametrize("complete", [True, False])
def test_calibration_measures_complete_labels_only(trained_run, hearts, tmp_path, complete) -> None:
    def add_piece(labels: np.ndarray) -> None:
        labels[:2, :2] = 1
        if not complete:
            labels[labels == 3] = 0

    dataset = changed_labels(hearts, tmp_path / "data", add_piece)
    run = tmp_path / "run"
    shutil.copytree(trained_run, run, ignore=shutil.ignore_patterns("nnunet_data"))
    folder = find_ensemble(run)
    is_trained_on = "patient001_frame01" in folder.record.training_cases("0")
    assert is_trained_on
    found, _ = measure_training_labels(folder, read_dataset(dataset), folder.members)
    assert found is not complete
    words = ["calibrate", str(run), str(dataset), "--mirroring", "none", "--device", "cpu"]
    assert CliRunner().invoke(main, words).exit_code == 0
    content = json.loads((run / FILE).read_text())
    assert content["one_component"] is found
    kept = {row["mirroring"]: row["largest_component"] for row in content["calibrations"]}
    assert kept == {"full": "on", "none": "on" if found else "off"}


def test_ensemble_of_an_earlier_version_keeps_all_pieces(trained_run, two_hearts, tmp_path) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained_run, run, ignore=shutil.ignore_patterns("nnunet_data"))
    content = json.loads((run / FILE).read_text())
    del content["one_component"]
    for row in content["calibrations"]:
        del row["largest_component"]
    (run / FILE).write_text(json.dumps(content))
    result = segment(run, two_hearts)
    assert (result.settings.largest_component, result.removed) == ("off", None)
    assert not np.array_equal(result.labels > 0, largest_component(result.labels, SPACING))
