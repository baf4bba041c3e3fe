"""Tests of the sample cine and its layers."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Image, Layer

from napari_bayes_nnunet import sample_data
from napari_bayes_nnunet.io.images.nifti import Volume, read_info_cfg, read_labels, read_volume
from napari_bayes_nnunet.widgets.layers.sample_data import cine, end_diastole

MYO, LV = 2, 3


@pytest.fixture(scope="module")
def volume() -> Volume:
    return read_volume(sample_data.CINE)


def millilitres(labels: Volume, structure: int) -> float:
    return float((labels.voxels == structure).sum() * np.prod(labels.spacing) / 1000)


def test_the_cine_is_whole(volume: Volume) -> None:
    assert volume.shape == (20, 10, 192, 192)
    assert volume.voxels.dtype == np.int16
    assert volume.spacing == pytest.approx((8, 1.289, 1.289), abs=1e-3)
    assert volume.frame_time == pytest.approx(46)
    assert volume.geometry.letters == (("P", "A"), ("S", "I"), ("R", "L"))


def test_the_manual_labels_lie_on_the_cine(volume: Volume) -> None:
    phases = read_info_cfg(sample_data.FOLDER)
    assert phases == (20, 7)
    ed, es = read_labels(sample_data.ED_LABELS), read_labels(sample_data.ES_LABELS)
    for labels, phase in ((ed, phases.ed), (es, phases.es)):
        assert labels.geometry.same_grid(volume.frame(phase).geometry)
    assert set(np.unique(ed.voxels)) == {0, MYO, LV}
    assert set(np.unique(es.voxels)) == {0, LV}
    assert millilitres(ed, LV) == pytest.approx(231.9, abs=0.1)
    assert millilitres(es, LV) == pytest.approx(181.8, abs=0.1)


def test_blood_is_brighter_than_muscle_under_the_labels(volume: Volume) -> None:
    ed = read_labels(sample_data.ED_LABELS).voxels
    image = volume.frame(20).voxels
    assert np.median(image[ed == LV]) > 2 * np.median(image[ed == MYO])


def test_the_heart_is_well_inside_the_crop() -> None:
    voxels = np.argwhere(read_labels(sample_data.ED_LABELS).voxels)
    assert (voxels[:, 1:].min(axis=0) > 48).all()
    assert (voxels[:, 1:].max(axis=0) < 192 - 24).all()


def test_the_sample_is_small_and_has_its_licence() -> None:
    sizes = [file.stat().st_size for file in sample_data.FOLDER.iterdir() if file.is_file()]
    assert sum(sizes) < 8e6
    assert "CC0 1.0" in (sample_data.FOLDER / "LICENSE").read_text()
    assert "Radau" in (sample_data.FOLDER / "SOURCE.md").read_text()


def test_both_samples_open_as_image_layers(volume: Volume) -> None:
    (four,), (three,) = cine(), end_diastole()
    whole, frame = Layer.create(*four), Layer.create(*three)
    assert isinstance(whole, Image)
    assert isinstance(frame, Image)
    assert whole.data.shape == (20, 10, 192, 192)
    assert whole.scale[0] == pytest.approx(46)
    assert np.array_equal(frame.data, volume.voxels[19])
    assert frame.axis_labels == ("slice", "y", "x")
    assert (whole.name, frame.name) == ("SCD0000301_cine", "SCD0000301_ED")
    assert whole.metadata["bayes"]["source"] == str(sample_data.CINE)
