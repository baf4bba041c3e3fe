"""DICOM RTSTRUCT files: contours in mm, references to images, names and colours."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread

from napari_bayes_nnunet.core.editing.closed_curve import join_holes
from napari_bayes_nnunet.core.editing.smooth_contours import smooth_contours
from napari_bayes_nnunet.io.dicom.reader import choose_stack, read_stacks
from napari_bayes_nnunet.io.dicom.rtstruct import write_rtstruct
from napari_bayes_nnunet.io.dicom.seg import LabelOrigin

from ...helpers.data import dicoms
from ...helpers.data.dicoms import COLUMN, CORNER, DISTANCE, PIXELS, ROW, TO_APEX

STRUCTURES = {"MYO": 2, "LV": 3}
ORIGIN = LabelOrigin(algorithm="Bayesian nnU-Net (demo)", version="1.2", review="all accepted")


def ring() -> np.ndarray:
    labels = np.zeros(dicoms.SHAPE[1:], np.uint8)
    labels[:3, 2:10, 1:9] = 2
    labels[:3, 4:8, 3:7] = 3
    return labels


Written = tuple[Dataset, list[tuple[str, int]]]


@pytest.fixture(params=["classic", "enhanced"])
def written(request: pytest.FixtureRequest, tmp_path: Path) -> Written:
    """Return a structure set of phase 2, and file and frame of the image of each slice."""
    write = dicoms.write_cine if request.param == "classic" else dicoms.write_enhanced
    write(tmp_path / "in")
    stack = choose_stack(read_stacks(tmp_path / "in"))
    images = [images[1] for images in stack.slices]
    contours = [smooth_contours(plane, STRUCTURES.values()) for plane in ring()]
    file, origin = tmp_path / "a.dcm", replace(ORIGIN, corrected=True, phase="ES", number=2)
    write_rtstruct(file, contours, images, STRUCTURES, origin=origin)
    frames = [image.frame + 1 if request.param == "enhanced" else 0 for image in images]
    return dcmread(file), [
        (image.instance, frame) for image, frame in zip(images, frames, strict=True)
    ]


def test_contours_are_places_in_the_patient(written):
    structures, images = written
    myo, lv = structures.ROIContourSequence
    assert (len(myo.ContourSequence), len(lv.ContourSequence)) == (3, 3)
    contours = smooth_contours(ring()[0], STRUCTURES.values())
    (whole,) = join_holes(contours[2])
    assert len(contours[2]) == 2  # one of them is the hole
    for points, roi in ((whole, myo), (contours[3][0], lv)):
        for z, item in enumerate(roi.ContourSequence):
            assert item.ContourGeometricType == "CLOSED_PLANAR"
            places = np.array(item.ContourData, np.float64).reshape(-1, 3) - CORNER
            assert item.NumberOfContourPoints == len(places)
            found = np.stack([places @ COLUMN / PIXELS[0], places @ ROW / PIXELS[1]], axis=1)
            assert np.allclose(found, points, atol=1e-3)
            assert np.allclose(places @ TO_APEX, z * DISTANCE, atol=1e-3)
            (image,) = item.ContourImageSequence
            found_image = image.ReferencedSOPInstanceUID, image.get("ReferencedFrameNumber", 0)
            assert found_image == images[z]


def test_structures_are_named_and_described(written):
    structures, images = written
    assert [roi.ROIName for roi in structures.StructureSetROISequence] == ["MYO", "LV"]
    kinds = {roi.ROIGenerationAlgorithm for roi in structures.StructureSetROISequence}
    assert kinds == {"SEMIAUTOMATIC"}
    colors = [list(roi.ROIDisplayColor) for roi in structures.ROIContourSequence]
    assert colors == [[0, 158, 115], [240, 228, 66]]
    assert structures.SeriesDescription == "ES · all accepted · MYO, LV"
    assert structures.SeriesNumber == 9102
    assert (structures.StudyInstanceUID, str(structures.PatientName)) == (dicoms.STUDY, dicoms.NAME)
    (frame,) = structures.ReferencedFrameOfReferenceSequence
    (series,) = frame.RTReferencedStudySequence[0].RTReferencedSeriesSequence
    found = [image.ReferencedSOPInstanceUID for image in series.ContourImageSequence]
    assert found == [uid for uid, _ in images]


def test_long_contours_are_whole(tmp_path):
    dicoms.write_cine(tmp_path / "in", dicoms.made_voxels((1, 1, 12, 10)))
    (stack,) = read_stacks(tmp_path / "in")
    angles = np.linspace(0, 2 * np.pi, 5000, endpoint=False)
    points = np.stack([6 + 4 * np.sin(angles), 5 + 4 * np.cos(angles)], axis=1)
    images = [images[0] for images in stack.slices]
    write_rtstruct(tmp_path / "a.dcm", [{3: [points]}], images, {"LV": 3}, origin=ORIGIN)
    (roi,) = dcmread(tmp_path / "a.dcm").ROIContourSequence
    assert len(roi.ContourSequence[0].ContourData) == 3 * len(points)
