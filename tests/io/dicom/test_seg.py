"""DICOM SEG files: codes, references to images, and the same grid when read back."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Final

import highdicom as hd
import numpy as np
import pydicom
import pytest
from pydicom.uid import EnhancedMRImageStorage

from napari_bayes_nnunet.core.heart.function import Measured
from napari_bayes_nnunet.core.heart.structures import structure_colors
from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.io.dicom.headers import DicomImage, tolerant_reading
from napari_bayes_nnunet.io.dicom.reader import choose_stack, read_stacks, stack_geometry
from napari_bayes_nnunet.io.dicom.seg import (
    LabelOrigin,
    find_seg_files,
    is_seg,
    read_seg,
    write_seg,
)
from napari_bayes_nnunet.io.dicom.series import Stack
from napari_bayes_nnunet.io.dicom.structured_report import write_structured_report

from ...helpers.checks.problems import says
from ...helpers.data import dicoms
from ...helpers.data.dicoms import made_voxels, write_cine, write_enhanced

STRUCTURES = {"RV": 1, "MYO": 2, "LV": 3}
CHARACTER_SETS: Final[list[tuple[str | list[str] | None, str]]] = [
    (None, "Doe^J"),
    ("", "Doe^J"),
    ("ISO_IR 6", "Doe^J"),
    ("ISO_IR 100", "Müller^Jürgen"),
    ("ISO 2022 IR 100", "Müller^Jürgen"),
    (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎"),
    (["", "ISO 2022 IR 149"], "Hong^Gildong=洪^吉洞=홍^길동"),
    ("ISO_IR 192", "Ковалёв^Иван"),
]
"""Character sets of images, and a name in each."""
ORIGIN = LabelOrigin(algorithm="Bayesian nnU-Net (demo)", version="1.2", corrected=True)


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    write_cine(tmp_path / "in", series_per_slice=True)
    return choose_stack(read_stacks(tmp_path / "in"))


def labels(stack: Stack) -> np.ndarray:
    shape = stack_geometry(stack).frame().shape
    drawn = np.random.default_rng(2).integers(0, 4, shape).astype(np.uint8)
    drawn[0] = 0
    return drawn


def phase(stack: Stack, number: int) -> Sequence[DicomImage]:
    return [images[number - 1] for images in stack.slices]


@pytest.mark.parametrize("labelmap", [False, True])
def test_labels_are_read_back_on_the_same_grid(stack, tmp_path, labelmap):
    drawn, images = labels(stack), phase(stack, 3)
    write_seg(tmp_path / "a.dcm", drawn, images, STRUCTURES, origin=ORIGIN, labelmap=labelmap)
    assert is_seg(tmp_path / "a.dcm")
    found = read_seg(tmp_path / "a.dcm")
    assert found.voxels.dtype == np.uint8
    assert np.array_equal(found.voxels, drawn)
    assert np.allclose(found.geometry.affine, stack_geometry(stack).affine, atol=1e-4)
    assert found.geometry.same_grid(stack_geometry(stack).frame())


def test_segments_are_coded_and_refer_to_the_images(stack, tmp_path):
    drawn, images = labels(stack), phase(stack, 3)
    write_seg(tmp_path / "a.dcm", drawn, images, STRUCTURES, origin=ORIGIN)
    written = hd.seg.segread(tmp_path / "a.dcm")
    assert [one.SegmentLabel for one in written.SegmentSequence] == ["RV", "MYO", "LV"]
    kinds = [one.segmented_property_type for one in written.SegmentSequence]
    assert [kind.scheme_designator for kind in kinds] == ["SCT"] * 3
    assert [kind.value for kind in kinds] == ["53085002", "49848007", "87878005"]
    first = written.SegmentSequence[0]
    assert first.SegmentAlgorithmType == "SEMIAUTOMATIC"
    assert first.SegmentAlgorithmName == "Bayesian nnU-Net (demo)"
    assert written.StudyInstanceUID == dicoms.STUDY
    assert written.FrameOfReferenceUID == dicoms.ROOM
    assert str(written.PatientName) == dicoms.NAME
    uids = [image.instance for image in images]
    pixels = written.get_pixels_by_source_instance(uids, combine_segments=True)
    assert np.array_equal(pixels, drawn)


def test_each_phase_is_a_series_of_its_own(stack, tmp_path):
    origin, drawn = replace(ORIGIN, review="8 of 10 slices accepted"), labels(stack)
    names = {"A rather long name of a structure": 1, "B": 2, "C": 3}
    for number, structures in ((1, STRUCTURES), (2, names)):
        about = replace(origin, number=number, phase=f"ED, phase {number} of 5")
        write_seg(tmp_path / str(number), drawn, phase(stack, number), structures, origin=about)
    ours = [pydicom.dcmread(tmp_path / str(number)) for number in (1, 2)]
    assert [one.SeriesNumber for one in ours] == [9001, 9002]
    assert len({one.SeriesInstanceUID for one in ours}) == 2
    assert {one.ContentDescription for one in ours} == {origin.review}
    assert [one.SeriesDescription for one in ours] == [
        "ED, phase 1 of 5 · 8 of 10 slices accepted · RV, MYO, LV",
        "ED, phase 2 of 5 · 8 of 10 slices accepted · A rather long name",
    ]


def test_segments_have_the_colors_of_the_layers(stack, tmp_path):
    structures = {"LV": 4, "something else": 9}
    drawn = np.zeros_like(labels(stack))
    write_seg(tmp_path / "a.dcm", drawn, phase(stack, 1), structures, origin=ORIGIN)
    for segment, color in zip(
        hd.seg.segread(tmp_path / "a.dcm").SegmentSequence,
        structure_colors(structures).values(),
        strict=True,
    ):
        stored = hd.color.CIELabColor.from_dicom_value(segment.RecommendedDisplayCIELabValue)
        expected = [int(color[start : start + 2], 16) for start in (1, 3, 5)]
        assert np.allclose(stored.to_rgb(clip=True), expected, atol=1)


def test_label_map_describes_its_background_last(stack, tmp_path):
    file, images = tmp_path / "a.dcm", phase(stack, 1)
    write_seg(file, labels(stack), images, STRUCTURES, origin=ORIGIN, labelmap=True)
    written = pydicom.dcmread(file)
    assert (written.SegmentationType, written.NumberOfFrames) == ("LABELMAP", len(images))
    assert [segment.SegmentNumber for segment in written.SegmentSequence] == [1, 2, 3, 0]


def test_labels_of_a_phase_of_an_enhanced_file(tmp_path):
    write_enhanced(tmp_path / "in.dcm")
    stack = choose_stack(read_stacks(tmp_path / "in.dcm"))
    drawn, images = labels(stack), phase(stack, 2)
    write_seg(tmp_path / "a.dcm", drawn, images, STRUCTURES, origin=ORIGIN)
    assert np.array_equal(read_seg(tmp_path / "a.dcm").voxels, drawn)
    written = hd.seg.segread(tmp_path / "a.dcm")
    frames = [image.frame + 1 for image in images]
    pixels = written.get_pixels_by_source_frame(images[0].instance, frames, combine_segments=True)
    assert np.array_equal(pixels, drawn)


@pytest.mark.parametrize("bounds", [[0, 1, 2, 3, 4], [0, 2, 4], [0, 1]])
@pytest.mark.parametrize("one_series", [True, False])
def test_labels_of_several_enhanced_files(tmp_path, bounds, one_series):
    voxels, series = made_voxels(), {}
    for low, high in pairwise(bounds):
        number = 7 if one_series else 7 + low
        about = {"SeriesInstanceUID": f"1.2.{number}", "SeriesNumber": number}
        write_enhanced(tmp_path / "in" / str(low), voxels[:, low:high], first=low, **about)
        uid = pydicom.dcmread(tmp_path / "in" / str(low)).SOPInstanceUID
        series.setdefault(about["SeriesInstanceUID"], set()).add(uid)
    (stack,) = read_stacks(tmp_path / "in")
    drawn = np.random.default_rng(2).integers(0, 4, voxels[0, : bounds[-1]].shape, np.uint8)
    write_seg(tmp_path / "a.dcm", drawn, phase(stack, 2), STRUCTURES, origin=ORIGIN)
    assert np.array_equal(read_seg(tmp_path / "a.dcm").voxels, drawn)
    written = hd.seg.segread(tmp_path / "a.dcm")
    for image, of_slice in zip(phase(stack, 2), drawn, strict=True):
        (pixels,) = written.get_pixels_by_source_frame(
            image.instance, [image.frame + 1], combine_segments=True
        )
        assert np.array_equal(pixels, of_slice)
    referenced = {
        one.SeriesInstanceUID: {
            of.ReferencedSOPInstanceUID for of in one.ReferencedInstanceSequence
        }
        for one in written.ReferencedSeriesSequence
    }
    assert referenced == series
    kinds = {one.ReferencedSOPClassUID for one in written.SourceImageSequence}
    kinds |= {
        source.ReferencedSOPClassUID
        for groups in written.PerFrameFunctionalGroupsSequence
        for source in groups.DerivationImageSequence[0].SourceImageSequence
    }
    assert kinds == {EnhancedMRImageStorage}
    assert len(written.SourceImageSequence) == len(bounds) - 1


def test_other_numbers_become_segments_in_their_order(stack, tmp_path):
    drawn = labels(stack)
    structures = {"LV": 4, "something else": 9}
    numbers = np.array([0, 4, 9, 0], np.uint8)
    write_seg(tmp_path / "a", numbers[drawn], phase(stack, 1), structures, origin=ORIGIN)
    assert np.array_equal(read_seg(tmp_path / "a").voxels, np.array([0, 1, 2, 0])[drawn])
    described = hd.seg.segread(tmp_path / "a").SegmentSequence
    assert [one.SegmentLabel for one in described] == ["LV", "something else"]


def test_nothing_drawn_at_all(stack, tmp_path):
    nothing = np.zeros_like(labels(stack))
    write_seg(tmp_path / "a", nothing, phase(stack, 1), STRUCTURES, origin=ORIGIN)
    assert np.array_equal(read_seg(tmp_path / "a").voxels, nothing)


def test_images_with_own_frames_of_reference_are_joined(tmp_path):
    write_cine(tmp_path / "in")
    for number, file in enumerate((tmp_path / "in").glob("*/*")):
        image = pydicom.dcmread(file)
        image.FrameOfReferenceUID = f"1.2.{number}"
        image.save_as(file)
    stack = choose_stack(read_stacks(tmp_path / "in"))
    drawn = labels(stack)
    write_seg(tmp_path / "a", drawn, phase(stack, 1), STRUCTURES, origin=ORIGIN)
    assert np.array_equal(read_seg(tmp_path / "a").voxels, drawn)


def test_anonymiser_that_removes_what_it_should_leave_empty(tmp_path):
    gone = {"PatientID": None, "StudyID": None, "PatientBirthDate": None}
    write_cine(tmp_path / "in", **gone)
    stack = choose_stack(read_stacks(tmp_path / "in"))
    drawn = labels(stack)
    write_seg(tmp_path / "a", drawn, phase(stack, 1), STRUCTURES, origin=ORIGIN)
    assert np.array_equal(read_seg(tmp_path / "a").voxels, drawn)


def test_values_that_are_not_allowed_are_left_empty(tmp_path):
    wrong = {"StudyTime": "12:00:00", "PatientSex": "Male", "StudyDate": "19"}
    write_cine(tmp_path / "in")
    for file in (tmp_path / "in").glob("*/*"):
        image = pydicom.dcmread(file)
        with tolerant_reading():
            image.update(wrong)
            image.save_as(file)
    stack = choose_stack(read_stacks(tmp_path / "in"))
    write_seg(tmp_path / "a", labels(stack), phase(stack, 1), STRUCTURES, origin=ORIGIN)
    written = pydicom.dcmread(tmp_path / "a")
    assert not any(written[name].value for name in wrong)
    assert written.PatientBirthDate == "19500101"


@pytest.mark.parametrize("slices", [1, 4])
@pytest.mark.parametrize(
    "about",
    [
        *({"SpacingBetweenSlices": mm} for mm in (6, 2, 8.01)),
        {"SliceThickness": None},
        {"ImageOrientationPatient": [*dicoms.COLUMN, *dicoms.ROW]},  # the normal is to the apex
        {},
    ],
)
def test_grid_of_slices_is_that_of_the_reader(tmp_path, about, slices):
    write_cine(tmp_path / "in", made_voxels((1, slices, 12, 10)), **about)
    check_read_back(tmp_path)


@pytest.mark.parametrize("shift", [0.018 * dicoms.DISTANCE * dicoms.TO_APEX, 0.3 * dicoms.ROW])
def test_slices_that_are_slightly_displaced(tmp_path, shift):
    write_cine(tmp_path / "in", made_voxels((1, 4, 12, 10)))
    for file in (tmp_path / "in").glob("*/*"):
        image = pydicom.dcmread(file)
        if image.InstanceNumber > 2:  # the two slices at the apex
            image.ImagePositionPatient = [*map(float, image.ImagePositionPatient + shift)]
            image.save_as(file)
    check_read_back(tmp_path)


def check_read_back(folder: Path) -> None:
    (stack,) = read_stacks(folder / "in")
    assert not stack.problem
    drawn = labels(stack)
    write_seg(folder / "a", drawn, phase(stack, 1), STRUCTURES, origin=ORIGIN)
    found = read_seg(folder / "a")
    assert np.array_equal(found.voxels, drawn)
    assert found.geometry.same_grid(stack_geometry(stack))


@pytest.mark.parametrize(("charset", "name"), CHARACTER_SETS)
def test_text_survives_the_character_set_of_images(tmp_path, charset, name):
    write_cine(tmp_path / "in", SpecificCharacterSet=charset or "", PatientName=name)
    for file in (tmp_path / "in").glob("*/*"):
        image = pydicom.dcmread(file)
        if charset is None:
            del image.SpecificCharacterSet
        image.ProcedureCodeSequence = [pydicom.Dataset()]
        image.ProcedureCodeSequence[0].CodeMeaning = name
        image.save_as(file)
    images = phase(choose_stack(read_stacks(tmp_path / "in")), 1)
    origin = LabelOrigin(algorithm="心臓 Übung", version="1")
    drawn = np.ones((len(images), *images[0].shape), np.uint8)
    write_seg(tmp_path / "a", drawn, images, {"Миокард": 1}, origin=origin)
    volume = Measured(name="", title="", value=1.0, spread=0.0, unit="", help="")
    write_structured_report(
        tmp_path / "b", {"LV EDV": volume}, images, [tmp_path / "a"], origin=origin
    )
    for file in (tmp_path / "a", tmp_path / "b"):
        written = pydicom.dcmread(file)
        assert written.SpecificCharacterSet == "ISO_IR 192"
        assert written.PatientName == name
        assert written.ProcedureCodeSequence[0].CodeMeaning == name
    (segment,) = pydicom.dcmread(tmp_path / "a").SegmentSequence
    assert (segment.SegmentLabel, segment.SegmentAlgorithmName) == ("Миокард", origin.algorithm)


def test_the_segmentations_of_a_folder(stack, tmp_path):
    for name in ("b.dcm", "a.dcm"):
        file = tmp_path / "out" / name
        file.parent.mkdir(exist_ok=True)
        write_seg(file, labels(stack), phase(stack, 1), STRUCTURES, origin=ORIGIN)
    assert [file.name for file in find_seg_files(tmp_path / "out")] == ["a.dcm", "b.dcm"]
    assert find_seg_files(tmp_path / "in") == []
    assert find_seg_files(tmp_path) == []
    for number in range(62):
        shutil.copy(tmp_path / "out" / "a.dcm", tmp_path / "out" / f"c{number:02}.dcm")
    assert len(find_seg_files(tmp_path / "out")) == 64
    shutil.copy(tmp_path / "out" / "a.dcm", tmp_path / "out" / "d.dcm")
    assert find_seg_files(tmp_path / "out") == []  # more than one export


def test_a_file_that_is_no_segmentation(stack, tmp_path):
    image = stack.first.file
    assert not is_seg(image)
    with pytest.raises(DataError, check=says(file=image.name)):
        read_seg(image)
