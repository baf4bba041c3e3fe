"""Arrays on their way to another computer and back."""

import numpy as np
import pytest

from napari_bayes_nnunet.app.remote.wire_format import PackedArray, pack_map, unpack_map
from napari_bayes_nnunet.io.study.arrays import round_map


@pytest.mark.parametrize("dtype", ["uint8", "int16", ">i2", "uint16", "float32", "float64"])
def test_voxels_arrive_as_they_were(dtype):
    array = np.random.default_rng(0).integers(0, 100, (2, 3, 5, 7)).astype(dtype)
    for sent in (array, array[:, ::2], array.transpose(3, 0, 1, 2)):
        found = PackedArray.pack(sent).unpack()
        assert found.dtype == sent.dtype
        np.testing.assert_array_equal(found, sent)


def test_maps_arrive_in_the_steps_of_a_study():
    bits = np.random.default_rng(0).uniform(0, 2, (3, 8, 9)).astype(np.float32)
    packed = pack_map(bits)
    assert packed.dtype == "<u2"
    np.testing.assert_array_equal(unpack_map(packed), round_map(bits))


def test_no_log_can_show_voxels():
    assert "content" not in repr(PackedArray.pack(np.arange(9)))


def test_a_volume_becomes_smaller():
    volume = np.random.default_rng(0).normal(300, 20, (4, 64, 64)).astype(np.int16)
    assert len(PackedArray.pack(volume).content) < 0.7 * volume.nbytes
