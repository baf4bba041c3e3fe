"""Arrays as they are sent to another computer, also damaged and hostile ones."""

import pickle
import random
import tracemalloc
from contextlib import suppress
from dataclasses import replace

import blosc2
import numpy as np
import pytest

from napari_bayes_nnunet.app import AppError
from napari_bayes_nnunet.app.remote import wire_format
from napari_bayes_nnunet.app.remote.wire_format import (
    DAMAGED_DATA,
    PackedArray,
    PackedMaps,
)
from napari_bayes_nnunet.app.segmentation.result import FirstLook
from napari_bayes_nnunet.core.problems import Action, statement
from napari_bayes_nnunet.io.study.arrays import round_map

VOLUME = np.random.default_rng(0).normal(300, 20, (4, 64, 64)).astype(np.int16)


@pytest.mark.parametrize(
    "dtype", ["bool", "uint8", "int16", ">i2", "uint16", "float16", "float32", "float64"]
)
def test_unpacked_array_equals_the_packed_one(dtype):
    array = np.random.default_rng(0).integers(0, 100, (2, 3, 5, 7)).astype(dtype)
    for sent in (array, array[:, ::2], array.transpose(3, 0, 1, 2), array[:0]):
        received = pickle.loads(pickle.dumps(PackedArray.pack(sent))).unpack()
        assert (received.dtype, received.shape) == (sent.dtype, sent.shape)
        np.testing.assert_array_equal(received, sent)


def test_frame_of_many_chunks_is_unpacked():
    frame = blosc2.SChunk(chunksize=4096, data=VOLUME, cparams={"typesize": VOLUME.itemsize})
    assert frame.nchunks == 8
    packed = PackedArray(VOLUME.shape, VOLUME.dtype.str, frame.to_cframe())
    np.testing.assert_array_equal(packed.unpack(), VOLUME)


def test_maps_have_the_steps_of_a_study():
    bits = np.random.default_rng(0).uniform(0, 2, (3, 8, 9)).astype(np.float32)
    look = FirstLook(labels=bits.astype(np.uint8), maps={"entropy": bits}, volumes={"LV": 1.0})
    packed = PackedMaps.pack(FirstLook, look)
    assert packed.maps["entropy"].dtype == "<u2"
    found = packed.unpack()
    np.testing.assert_array_equal(found.entropy, round_map(bits))
    np.testing.assert_array_equal(found.labels, look.labels)
    assert (found.volumes, found.by_student) == (look.volumes, False)


def test_voxels_do_not_appear_in_logs():
    assert "content" not in repr(PackedArray.pack(np.arange(9)))


def test_packed_volume_is_smaller():
    assert len(PackedArray.pack(VOLUME).content) < 0.7 * VOLUME.nbytes


def assert_damaged(packed: PackedArray) -> None:
    with pytest.raises(AppError) as caught:
        packed.unpack()
    assert caught.value.statement == statement(DAMAGED_DATA, Action.START_AGAIN)


@pytest.mark.parametrize("content", [b"", b"no frame", b"\0" * 500, "text", None, 3])
def test_content_that_is_no_frame_raises(content):
    assert_damaged(PackedArray(VOLUME.shape, VOLUME.dtype.str, content))


def test_truncated_frame_raises():
    packed = PackedArray.pack(VOLUME)
    for length in range(0, len(packed.content), 997):
        assert_damaged(replace(packed, content=packed.content[:length]))


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        ((4, 64, 63), "<i2"),
        ((4, 64, 64), "<i4"),
        ((2, 64, 64), "<i4"),
        ((-4, -64, 64), "<i2"),
        ((4, 64, 64.0), "<i2"),
        ("huge", "<i2"),
        (None, "<i2"),
        ((2048,), "|O"),
        ((1024,), "S32"),
        ((1,), "V32768"),
        ((1,), "(4,64,64)i2"),
        ((4, 64, 64), "nonsense"),
        ((4, 64, 64), ["<i2"]),
        ((2**40,), "<i2"),
        ((2**31, 2**31, 2**31), "<f8"),
    ],
)
def test_shape_or_dtype_unlike_the_frame_raises(shape, dtype):
    assert_damaged(replace(PackedArray.pack(VOLUME), shape=shape, dtype=dtype))


def test_small_frame_of_huge_array_raises():
    frame = blosc2.SChunk(chunksize=2**30, cparams={"typesize": 1})
    frame.fill_special(2**34, blosc2.SpecialValue.ZERO)
    content = frame.to_cframe()
    assert len(content) < 10_000
    tracemalloc.start()
    assert_damaged(PackedArray((2**34,), "|u1", content))
    assert_damaged(PackedArray(VOLUME.shape, "<i2", content))
    assert tracemalloc.get_traced_memory()[1] < 10**6
    tracemalloc.stop()


def test_limit_counts_bytes(monkeypatch):
    packed = PackedArray.pack(VOLUME)
    monkeypatch.setattr(wire_format, "LARGEST_ARRAY", VOLUME.nbytes)
    np.testing.assert_array_equal(packed.unpack(), VOLUME)
    monkeypatch.setattr(wire_format, "LARGEST_ARRAY", VOLUME.nbytes - 1)
    assert_damaged(packed)


class Exploit:
    """An object that writes a file when it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


def test_pickle_in_the_content_is_not_loaded(tmp_path):
    file = tmp_path / "written"
    content = blosc2.pack_array(np.array([Exploit(str(file))], object))
    assert_damaged(PackedArray((1,), "|O", content))
    assert_damaged(PackedArray((1,), "<i8", content))
    assert not file.exists()
    blosc2.unpack_array(content)[0].close()
    assert file.exists(), "the exploit is real"


def test_metadata_of_the_frame_are_not_trusted():
    frame = blosc2.SChunk(data=VOLUME, cparams={"typesize": VOLUME.itemsize})
    for claim in (("numpy", [2**50], "|u1"), ("numpy", [8], "|O"), ("torch", [1], "<i2"), b"x"):
        frame.vlmeta["__pack_tensor__"] = claim
        packed = PackedArray(VOLUME.shape, VOLUME.dtype.str, frame.to_cframe())
        np.testing.assert_array_equal(packed.unpack(), VOLUME)


def test_random_damage_gives_the_error_or_an_array():
    packed, chance = PackedArray.pack(VOLUME), random.Random(7)
    for _ in range(300):
        content = bytearray(packed.content)
        for _ in range(chance.choice((1, 4, 16))):
            content[chance.randrange(chance.choice((100, len(content))))] = chance.randrange(256)
        with suppress(AppError):
            found = replace(packed, content=bytes(content)).unpack()
            assert (found.shape, found.dtype) == (VOLUME.shape, VOLUME.dtype)
