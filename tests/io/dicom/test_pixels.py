"""Pixels of DICOM images in supported and unsupported compressions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import MPEG2MPML, JPEG2000Lossless, JPEGLSLossless, RLELossless

from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.io.dicom.headers import read_images
from napari_bayes_nnunet.io.dicom.reader import read_pixels

from ...helpers.checks.problems import says
from ...helpers.data.dicoms import made_voxels, slice_file, write_enhanced

PIXELS = made_voxels((80, 64))


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless, JPEGLSLossless])
def test_compressed_pixels(tmp_path, syntax):
    file = slice_file(tmp_path / "a", PIXELS)
    image = pydicom.dcmread(file)
    image.compress(syntax)
    image.save_as(file)
    assert np.array_equal(read_pixels(read_images(file))[0], PIXELS)


@pytest.mark.parametrize(
    ("kind", "bits", "total"), [(np.uint16, 16, 65535), (np.uint16, 13, 8191), (np.int16, 16, -1)]
)
def test_dark_high_values_are_read_bright(tmp_path, kind, bits, total):
    """The lowest and the highest possible value, whose sum is ``total``, change places."""
    about = {"PhotometricInterpretation": "MONOCHROME1", "BitsStored": bits, "HighBit": bits - 1}
    file = slice_file(tmp_path / "a", PIXELS.astype(kind), **about)
    read = read_pixels(read_images(file))[0]
    assert read.dtype == kind
    assert np.array_equal(read.astype(int), total - PIXELS.astype(int))


@pytest.mark.parametrize("name", ["JPGExtended.dcm", "SC_rgb_jpeg_gdcm.dcm"])
def test_older_jpeg_where_its_decoder_is_installed(tmp_path, name):
    pytest.importorskip("libjpeg")
    real = Path(pydicom.__file__).parent / "data" / "test_files" / name
    if not real.exists():
        pytest.skip("pydicom came without its test files")
    (image,) = read_images(slice_file(tmp_path / "a", PIXELS))
    assert read_pixels([replace(image, file=real)]).any()


def test_pixels_that_cannot_be_unpacked(tmp_path):
    file = slice_file(tmp_path / "a", PIXELS)
    image = pydicom.dcmread(file)
    image.file_meta.TransferSyntaxUID = MPEG2MPML
    image.PixelData = encapsulate([b"film"])
    image["PixelData"].is_undefined_length = True
    image.save_as(file)
    with pytest.raises(DataError) as error:
        read_pixels(read_images(file))
    assert error.value.values["file"] == "a"
    assert error.value.values["syntax"].startswith("MPEG2")


def test_pixels_that_are_cut_short(tmp_path):
    file = slice_file(tmp_path / "a", PIXELS)
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(DataError, check=says(file="a")):
        read_pixels(read_images(file))


def test_every_frame_has_its_own_slope(tmp_path):
    voxels = made_voxels((1, 2, 6, 5))
    write_enhanced(tmp_path / "a", voxels)
    image = pydicom.dcmread(tmp_path / "a")
    for number, groups in enumerate(image.PerFrameFunctionalGroupsSequence, 1):
        scaling = pydicom.Dataset()
        scaling.RescaleSlope, scaling.RescaleIntercept = 2 * number, -number
        groups.PixelValueTransformationSequence = [scaling]
    image.save_as(tmp_path / "a")
    found = read_pixels(read_images(tmp_path / "a"))
    assert found.dtype == np.float32
    assert np.array_equal(found[0], 2 * voxels[0, 0] - 1)
    assert np.array_equal(found[1], 4 * voxels[0, 1] - 2)


@pytest.mark.parametrize(
    ("tags", "padded"),
    [
        ({"PixelPaddingValue": -2000}, [-2000]),
        ({"PixelPaddingValue": -2000, "PixelPaddingRangeLimit": -1990}, [-2000, -1995, -1990]),
        ({"PixelPaddingValue": -1990, "PixelPaddingRangeLimit": -2000}, [-2000, -1995, -1990]),
        ({"PixelPaddingValue": 63536}, [-2000]),  # the same bits without a sign
    ],
)
def test_padding_becomes_the_lowest_real_value(tmp_path, tags, padded):
    pixels = PIXELS.copy()
    pixels[: len(padded), :9] = np.array(padded)[:, None]
    file = slice_file(tmp_path / "a", pixels)
    image = pydicom.dcmread(file)
    for name, value in tags.items():
        image.add_new(name, "SS" if value < 0 else "US", value)
    image.save_as(file)
    expected = PIXELS.copy()
    expected[: len(padded), :9] = 10  # the first pixel that is not padded
    assert np.array_equal(read_pixels(read_images(file))[0], expected)


def test_padding_of_reversed_pixels_is_dark(tmp_path):
    pixels = PIXELS.astype(np.uint16)
    pixels[0, :9] = 0
    file = slice_file(tmp_path / "a", pixels, PhotometricInterpretation="MONOCHROME1")
    image = pydicom.dcmread(file)
    image.add_new("PixelPaddingValue", "US", 0)
    image.save_as(file)
    expected = 65535 - pixels
    expected[0, :9] = 65535 - int(PIXELS.max())
    assert np.array_equal(read_pixels(read_images(file))[0], expected)


def test_slice_of_padding_gets_lowest_value_of_series(tmp_path):
    padded = np.full_like(PIXELS, -32768)
    images = []
    for name, pixels in (("a", padded), ("b", PIXELS + 5), ("c", PIXELS)):
        file = slice_file(tmp_path / name, pixels)
        image = pydicom.dcmread(file)
        image.add_new("PixelPaddingValue", "SS", -32768)
        image.save_as(file)
        images += read_images(file)
    read = read_pixels(images)
    assert np.array_equal(read, [np.full_like(PIXELS, PIXELS.min()), PIXELS + 5, PIXELS])
    assert np.array_equal(read_pixels(images[:1]), [padded])


def test_padding_of_left_aligned_values_is_as_stored(tmp_path):
    pixels = (PIXELS % 2048).astype(np.uint16)
    stored = (pixels + 1) << 4
    stored[:3] = 65520
    file = slice_file(tmp_path / "a", stored, BitsStored=12, HighBit=15)
    image = pydicom.dcmread(file)
    image.add_new("PixelPaddingValue", "US", 65520)
    image.save_as(file)
    (read,) = read_pixels(read_images(file))
    assert np.array_equal(read[3:], pixels[3:] + 1)
    assert (read[:3] == read[3:].min()).all()


@pytest.mark.parametrize("kind", [np.int16, np.uint16])
def test_left_aligned_values_keep_their_bits(tmp_path, kind):
    pixels = (PIXELS - 2000 if kind is np.int16 else PIXELS % 4096).astype(kind) % 2048
    stored = {"BitsStored": 12, "HighBit": 15}
    (image,) = read_images(slice_file(tmp_path / "a", pixels << 4, **stored))
    assert image.unused_bits == 4
    assert np.array_equal(read_pixels([image])[0], pixels)
