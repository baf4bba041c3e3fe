"""DICOM files whose headers ask for more memory than their pixels need."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.io.dicom import limits
from napari_bayes_nnunet.io.dicom.headers import read_images
from napari_bayes_nnunet.io.dicom.reader import read_pixels

from ...helpers.checks.problems import says_only
from ...helpers.data.dicoms import made_voxels, slice_file

PIXELS = made_voxels((80, 64))


@pytest.fixture
def image_file(tmp_path: Path) -> Path:
    return slice_file(tmp_path / "a", PIXELS)


def assert_pixels_refused(file: Path) -> None:
    with pytest.raises(DataError, check=says_only(file="a", reason="ValueError")):
        read_pixels(read_images(file))


def test_deflated_file_is_read_up_to_a_limit(image_file, monkeypatch):
    image = pydicom.dcmread(image_file)
    image.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    image.save_as(image_file)
    assert np.array_equal(read_pixels(read_images(image_file))[0], PIXELS)
    monkeypatch.setattr(limits, "MOST_UNPACKED", 10_000)
    assert read_images(image_file) == []


def test_damaged_deflated_file_is_left_out(image_file):
    image = pydicom.dcmread(image_file)
    image.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    image.save_as(image_file)
    length = pydicom.dcmread(image_file).file_meta.FileMetaInformationGroupLength
    begin = 144 + length  # after the preamble and the length itself
    image_file.write_bytes(image_file.read_bytes()[:begin] + b"\xff" * 100)
    assert read_images(image_file) == []


def test_endlessly_nested_sequences_are_left_out(image_file):
    image = pydicom.dcmread(image_file, stop_before_pixels=True)
    image.save_as(image_file)
    nested = b"\x40\x00\x75\x02SQ\0\0" + b"\xff" * 4 + b"\xfe\xff\x00\xe0" + b"\xff" * 4
    with image_file.open("ab") as stream:
        stream.write(nested * 5000)
    assert read_images(image_file) == []


def test_file_with_billions_of_frames_is_left_out(image_file):
    image = pydicom.dcmread(image_file)
    image.NumberOfFrames = 2**31 - 1
    image.save_as(image_file)
    assert read_images(image_file) == []


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless, JPEGLSLossless])
def test_frame_with_too_many_pixels_is_refused(image_file, syntax):
    image = pydicom.dcmread(image_file)
    image.compress(syntax)
    image.Rows = image.Columns = 65535
    image.save_as(image_file)
    assert_pixels_refused(image_file)


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLSLossless])
def test_frame_of_another_size_is_refused(image_file, syntax):
    image = pydicom.dcmread(image_file)
    image.compress(syntax)
    frame = next(pydicom.encaps.generate_frames(image.PixelData, number_of_frames=1))
    size = b"".join(n.to_bytes(2) for n in PIXELS.shape)
    wide = b"".join(n.to_bytes(4) for n in PIXELS.shape[::-1])
    changed = frame.replace(size, b"\xea\x60\xea\x60", 1).replace(wide, b"\0\0\xea\x60" * 2, 1)
    assert changed != frame
    image.PixelData = encapsulate([changed])
    image.save_as(image_file)
    assert_pixels_refused(image_file)
