"""DICOM SEG, RTSTRUCT and SR read by dcmqi, dcmtk and plastimatch, and checked by dciodvfy."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from napari_bayes_nnunet.core.editing.smooth_contours import smooth_contours
from napari_bayes_nnunet.core.heart.function import Measured
from napari_bayes_nnunet.core.heart.structures import structure_colors
from napari_bayes_nnunet.io.dicom.headers import DicomImage
from napari_bayes_nnunet.io.dicom.reader import choose_stack, read_stacks, stack_geometry
from napari_bayes_nnunet.io.dicom.rtstruct import write_rtstruct
from napari_bayes_nnunet.io.dicom.seg import LabelOrigin, write_seg
from napari_bayes_nnunet.io.dicom.structured_report import CONCEPTS, write_structured_report
from napari_bayes_nnunet.io.images.nifti import write_labels

from ...helpers.data import dicoms
from ...helpers.data.dicoms import write_cine, write_enhanced

SUNNYBROOK = Path(__file__).parents[4] / "shared" / "data" / "sunnybrook" / "dicom"
STRUCTURES = {"RV": 1, "MYO": 2, "LV": 3}
ORIGIN = LabelOrigin(
    algorithm="Bayesian nnU-Net (a long name of an ensemble)",
    version="1.2",
    review="8 of 20 slices accepted",
)
COMMENT = "90 % interval: 48.2 to 59.1. Open slices: 3."
SENTENCE = "Phase 8 (ES), slice 3: flagged. Apex unclear, trabeculae"
UID_OF_A_SOURCE = "Referenced SOP Instance UID"
SUMMARY = "Dicom dataset contains invalid data values"


@dataclass(frozen=True)
class Export:
    """DICOM files in ``folder``, and what they hold; ``labels`` is a NIfTI of the same labels."""

    folder: Path
    seg: Path
    labelmap: Path
    contours: Path
    sr: Path
    labels: Path
    values: dict[str, float]


def run_tool(name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a program of the environment or the system; skip the test if it is missing."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    tool = shutil.which(name, path=path)
    if tool is None:
        pytest.skip(f"{name} is not installed (pip install dcmqi; see .ci/packages)")
    return subprocess.run(
        [tool, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=60
    )


def export(source: Path, folder: Path) -> Export:
    """Write labels in every corner of every slice, and all measurements."""
    stack = choose_stack(read_stacks(source))
    geometry = stack_geometry(stack).frame()
    labels = np.zeros(geometry.shape, np.uint8)
    for z, plane in enumerate(labels):
        plane[: 2 + z % 3, :4] = 1 + z % 3
        plane[5:, 3:7] = 3
        plane[7:10, 4:6] = z % 2  # a hole, or another structure in it
    values = {name: round(20 + 7.31 * place, 2) for place, name in enumerate(CONCEPTS)}
    measured = {
        name: Measured(name=name, title="", value=value, spread=1.0, unit="", help="")
        for name, value in values.items()
    }
    images: Sequence[DicomImage] = [images[0] for images in stack.slices]
    files = (
        folder / name for name in ("seg.dcm", "labelmap.dcm", "rt.dcm", "sr.dcm", "own.nii.gz")
    )
    made = Export(folder, *files, values)
    folder.mkdir()
    write_labels(made.labels, labels, geometry)
    origin = replace(ORIGIN, phase="ED, phase 1 of 5")
    write_seg(made.seg, labels, images, STRUCTURES, origin=origin)
    write_seg(made.labelmap, labels, images, STRUCTURES, origin=origin, labelmap=True)
    contours = [smooth_contours(plane, STRUCTURES.values()) for plane in labels]
    write_rtstruct(made.contours, contours, images, STRUCTURES, origin=origin)
    about: dict[str, Any] = {"comments": {"LV EF": COMMENT}, "sentences": [SENTENCE]}
    write_structured_report(made.sr, measured, images, [made.seg], origin=ORIGIN, **about)
    return made


@pytest.fixture(scope="module", params=["classic", "enhanced", "several", "real"])
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Export:
    """Export of a classic cine, one or several enhanced files, or a real heart if there is one."""
    folder = tmp_path_factory.mktemp("other")
    source = folder / "in"
    if request.param == "real":
        if not SUNNYBROOK.exists():
            pytest.skip("the Sunnybrook files are not here")
        source = SUNNYBROOK
    elif request.param == "enhanced":
        write_enhanced(source)
    elif request.param == "several":
        for z in range(dicoms.SHAPE[1]):
            write_enhanced(source / str(z), dicoms.made_voxels()[:, z : z + 1], first=z)
    else:
        write_cine(source, series_per_slice=True)
    return export(source, folder / "out")


def test_dciodvfy_finds_no_error_of_ours(exported):
    for file in (exported.seg, exported.contours, exported.sr):
        done = run_tool("dciodvfy", file)
        lines = (done.stdout + done.stderr).splitlines()
        errors = [line for line in lines if line.startswith("Error")]
        # References repeat the UIDs of the images, also those that an anonymiser made invalid.
        assert [
            line for line in errors if UID_OF_A_SOURCE not in line and SUMMARY not in line
        ] == []


@pytest.mark.parametrize("kind", ["seg", "labelmap"])
def test_dcmqi_reads_the_same_labels(exported, kind):
    done = run_tool(
        "segimage2itkimage", "--inputDICOM", getattr(exported, kind),
        "--outputDirectory", exported.folder,
        "--prefix", "read", "--mergeSegments", "--outputType", "nii",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    own = nib.as_closest_canonical(nib.load(exported.labels))
    found = nib.as_closest_canonical(nib.load(exported.folder / "read-1.nii.gz"))
    assert np.array_equal(found.get_fdata(), own.get_fdata())
    assert np.allclose(found.affine, own.affine, atol=2e-3)
    about = json.loads((exported.folder / "read-meta.json").read_text())
    (segments,) = about["segmentAttributes"]
    assert {one["SegmentLabel"]: one["labelID"] for one in segments} == STRUCTURES
    colors = ["#{:02X}{:02X}{:02X}".format(*one["recommendedDisplayRGBValue"]) for one in segments]
    assert colors == list(structure_colors(STRUCTURES).values())


def test_dcmqi_reads_the_same_measurements(exported):
    file = exported.folder / "read.json"
    done = run_tool("tid1500reader", "--inputDICOM", exported.sr, "--outputMetadata", file)
    assert done.returncode == 0, done.stdout + done.stderr
    items = [
        item for group in json.loads(file.read_text())["Measurements"]
        for item in group["measurementItems"]
    ]  # fmt: skip
    found = {item["quantity"]["CodeValue"]: float(item["value"]) for item in items}
    units = {item["quantity"]["CodeValue"]: item["units"]["CodeValue"] for item in items}
    assert found == {CONCEPTS[name][0].value: value for name, value in exported.values.items()}
    assert units == {concept.value: unit.value for concept, unit in CONCEPTS.values()}


def test_dsrdump_prints_numbers_and_sentences(exported):
    done = run_tool("dsrdump", "--print-long-values", exported.sr)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [line.strip() for line in done.stdout.splitlines()]
    for (concept, unit), value in zip(CONCEPTS.values(), exported.values.values(), strict=True):
        number = f'"{value}" ({unit.value},UCUM,"{unit.meaning}")'
        assert f'<contains NUM:(,,"{concept.meaning}")={number}>' in lines
    assert f'<has properties TEXT:(,,"Comment")="{COMMENT}">' in lines
    assert f'<contains TEXT:(,,"Comment")="{SENTENCE}">' in lines


def test_plastimatch_reads_contours_around_the_same_pixels(exported):
    done = run_tool(
        "plastimatch", "convert", "--input", exported.contours, "--fixed", exported.labels,
        "--output-prefix", exported.folder / "rt", "--prefix-format", "nii.gz",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    own = nib.as_closest_canonical(nib.load(exported.labels)).get_fdata()
    for name, label in STRUCTURES.items():
        found = nib.as_closest_canonical(nib.load(exported.folder / "rt" / f"{name}.nii.gz"))
        assert np.array_equal(found.get_fdata() > 0, own == label), name
