"""Measurements as DICOM SR, read back by highdicom."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import highdicom as hd
import pytest

from napari_bayes_nnunet.core.heart.function import Comparison, Measured
from napari_bayes_nnunet.core.heart.normal_ranges import LOW
from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.io.dicom.reader import choose_stack, read_stacks
from napari_bayes_nnunet.io.dicom.seg import LabelOrigin
from napari_bayes_nnunet.io.dicom.series import Stack
from napari_bayes_nnunet.io.dicom.structured_report import NO_MEASUREMENTS, write_structured_report

from ...helpers.checks.problems import says
from ...helpers.data import dicoms
from ...helpers.data.dicoms import write_cine

ORIGIN = LabelOrigin(algorithm="Bayesian nnU-Net (demo)", version="1.2")


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    write_cine(tmp_path / "in")
    return choose_stack(read_stacks(tmp_path / "in"))


def measured(**values: float) -> dict[str, Measured]:
    return {
        name.replace("_", " "): Measured(
            name=name, title="", value=value, spread=1.0, unit="", help=""
        )
        for name, value in values.items()
    }


def found_in(file: Path) -> dict[str, tuple[str, float, str]]:
    content = hd.sr.srread(file).content
    numbers: Any = (
        one for group in content.get_image_measurement_groups() for one in group.get_measurements()
    )
    return {one.name.value: (one.name.meaning, one.value, one.unit.value) for one in numbers}


def test_volumes_ef_and_mass(stack, tmp_path):
    numbers = measured(LV_EDV=150.256, LV_ESV=60, LV_EF=60.07, LV_mass=99.5, RV_EF=55, LV_SV=90)
    images = [images[0] for images in stack.slices]
    write_structured_report(tmp_path / "a.dcm", numbers, images, [], origin=ORIGIN)
    assert found_in(tmp_path / "a.dcm") == {
        "8821-1": ("Left Ventricular ED Volume", 150.26, "mL"),
        "8823-7": ("Left Ventricular ES Volume", 60, "mL"),
        "90096001": ("Stroke Volume", 90, "mL"),
        "8811-2": ("Left ventricular ejection fraction by MR", 60.07, "%"),
        "18087-7": ("Left Ventricle Mass", 99.5, "g"),
        "8818-7": ("Right ventricular ejection fraction by MR", 55, "%"),
    }
    written = hd.sr.srread(tmp_path / "a.dcm")
    assert written.StudyInstanceUID == dicoms.STUDY
    assert written.VerificationFlag == "UNVERIFIED"
    (study,) = written.CurrentRequestedProcedureEvidenceSequence
    (series,) = study.ReferencedSeriesSequence
    uids = {one.ReferencedSOPInstanceUID for one in series.ReferencedSOPSequence}
    assert uids == {image.instance for image in images}


@pytest.mark.parametrize(
    ("reader", "name"),
    [
        ("Anna Berg", "Anna Berg^"),
        ("Berg^Anna", "Berg^Anna"),
        ("a=b\\c", "a b c^"),
        ("x" * 99, "x" * 63 + "^"),
    ],
)
def test_reader_is_the_observer(stack, tmp_path, reader, name):
    images = [images[0] for images in stack.slices]
    origin = replace(ORIGIN, reader=reader)
    write_structured_report(tmp_path / "a.dcm", measured(LV_EF=60), images, [], origin=origin)
    contexts = hd.sr.srread(tmp_path / "a.dcm").content.get_observer_contexts()
    person, device = (context.observer_identifying_attributes for context in contexts)
    assert str(person.name) == name
    assert device.name == "napari-bayes-nnunet"


def test_number_without_a_standard_term_has_our_own(stack, tmp_path):
    number = measured(LV_EF=60)["LV EF"]
    title = "Left ventricle, end-diastolic volume index"
    numbers = {"LV EDVi": replace(number, name="LV EDVi", title=title, value=80, unit="mL/m²")}
    images = [images[0] for images in stack.slices]
    write_structured_report(tmp_path / "a.dcm", numbers, images, [], origin=ORIGIN)
    assert found_in(tmp_path / "a.dcm") == {"LV EDVi": (title, 80, "mL/m2")}


def test_normal_range_and_comment_are_properties_of_a_number(stack, tmp_path):
    normal = Comparison(
        title="Normal", text="48–68", lines=("Men: 48 to 68 %.", "Women: 50 to 70 %."),
        notes=("Normal ranges: Site.",), verdict=LOW,
    )  # fmt: skip
    numbers = measured(LV_EF=18.6, LV_mass=99.5)
    numbers["LV EF"] = replace(numbers["LV EF"], comparison=normal)
    by_other_rule = replace(normal, value=120.0, verdict="", lines=("As muscle: 120 g.",))
    numbers["LV mass"] = replace(numbers["LV mass"], comparison=by_other_rule)
    images = [images[0] for images in stack.slices]
    write_structured_report(
        tmp_path / "a.dcm", numbers, images, [], origin=ORIGIN,
        comments={"LV mass": "Open slices: 3."}, sentences=["DRAFT", "read by Anna"],
    )  # fmt: skip
    document = hd.sr.srread(tmp_path / "a.dcm")
    groups: Any = document.content.get_image_measurement_groups()
    found = {
        number.name.value: [
            part.value.value if part.ValueType == "CODE" else part.value
            for part in number[0].ContentSequence
        ]
        for group in groups for number in group.get_measurements()
    }  # fmt: skip
    abnormally_low = "371880002"
    assert found == {
        "8811-2": [abnormally_low, "Men: 48 to 68 %. Women: 50 to 70 %.", "Normal ranges: Site."],
        "18087-7": ["Open slices: 3."],
    }
    texts = [item.TextValue for item in document.ContentSequence if item.ValueType == "TEXT"]
    assert texts == ["napari-bayes-nnunet", "DRAFT", "read by Anna"]


def test_interval_is_the_uncertainty_of_a_number(stack, tmp_path):
    numbers = measured(LV_EF=18.6, LV_mass=99.5)
    ends = {80: (14.0, 24.0), 90: (8.1, 29.8)}
    numbers["LV EF"] = replace(numbers["LV EF"], intervals=ends)
    images = [images[0] for images in stack.slices]
    write_structured_report(tmp_path / "a.dcm", numbers, images, [], origin=ORIGIN)
    groups: Any = hd.sr.srread(tmp_path / "a.dcm").content.get_image_measurement_groups()
    found = {
        (number.name.value, part.ConceptNameCodeSequence[0].CodeValue): float(
            part.MeasuredValueSequence[0].NumericValue
        )
        for group in groups
        for number in group.get_measurements()
        for part in getattr(number[0], "ContentSequence", ())
        if part.ValueType == "NUM"
    }
    lower, upper = "371885007", "371886008"  # range of measurement uncertainty
    assert found == {("8811-2", upper): 11.2, ("8811-2", lower): 10.5}


def test_numbers_that_are_not_known_are_left_out(stack, tmp_path):
    images = [images[0] for images in stack.slices]
    numbers = measured(LV_EDV=0, LV_EF=float("nan"))
    write_structured_report(tmp_path / "a.dcm", numbers, images, [], origin=ORIGIN)
    assert list(found_in(tmp_path / "a.dcm")) == ["8821-1"]
    with pytest.raises(DataError, check=says(NO_MEASUREMENTS)):
        write_structured_report(tmp_path / "b.dcm", {}, images, [], origin=ORIGIN)


def test_images_of_a_private_class_are_refused(tmp_path):
    write_cine(tmp_path / "in", SOPClassUID="1.3.46.670589.11.0.0.12.1")
    (stack,) = read_stacks(tmp_path / "in")
    images = [images[0] for images in stack.slices]
    with pytest.raises(DataError, check=says(file="a.dcm")):
        write_structured_report(tmp_path / "a.dcm", measured(LV_EDV=1), images, [], origin=ORIGIN)
