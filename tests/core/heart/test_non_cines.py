"""Images that are no short-axis cines, made from one."""

from dataclasses import replace

import numpy as np
import pytest

from napari_bayes_nnunet.core.heart.intensity_window import muscle_to_blood
from napari_bayes_nnunet.core.heart.non_cines import NON_CINES, Source

STRUCTURES = {"RV": 1, "MYO": 2, "LV": 3}


@pytest.fixture
def frame():
    """Blood of 80 in muscle of 30 and lung of 5, in six slices 10 mm apart."""
    y, x = np.mgrid[:60, :60] - 30
    radius = np.hypot(y, x)
    labels = np.broadcast_to(np.select([radius < 10, radius < 16], [3, 2]), (6, 60, 60))
    voxels = np.select([labels == 3, labels == 2], [80.0, 30.0], 5.0)
    random = np.random.default_rng(3)
    return Source(voxels=voxels, labels=labels, spacing=(10, 2, 2), muscle=2, random=random)


def test_all_kinds_are_finite_and_differ_from_the_cine(frame):
    for kind, make in NON_CINES.items():
        voxels, spacing = make(frame)
        assert np.isfinite(voxels).all(), kind
        assert voxels.max() > voxels.min(), kind
        if kind == "long axis":
            assert spacing == (8, 2, 2)
            assert voxels.shape == (8, 30, 60)  # 32 columns of heart, 60 mm of slices
        else:
            assert (voxels.shape, spacing) == (frame.voxels.shape, frame.spacing)
    unknown, _ = NON_CINES["late enhancement"](replace(frame, muscle=None))
    assert np.isfinite(unknown).all()


def test_contrast_of_the_kinds_is_that_of_their_name(frame):
    ratio = {
        kind: muscle_to_blood(make(frame)[0], frame.labels, STRUCTURES)
        for kind, make in NON_CINES.items()
        if kind != "long axis"
    }
    assert ratio["late enhancement"] < 0.25
    assert ratio["black blood"] > 1
    assert not 0 < ratio["inverted"] < 1
