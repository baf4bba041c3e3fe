"""Labels and contours of both phases in OHIF, before a real Orthanc."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread

import napari_bayes_nnunet
from napari_bayes_nnunet.core.heart.structures import structure_colors
from napari_bayes_nnunet.io.dicom.seg import read_seg
from napari_bayes_nnunet.io.images.nifti import read_volume
from napari_bayes_nnunet.sample_data import CINE

from ..helpers.data.dicoms import slice_file
from ..helpers.processes.command import bayes_nnunet
from ..helpers.processes.orthanc import HOST, PLUGIN, run_orthanc
from .viewer import OHIF, open_browser, run_site, send

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        not (OHIF.exists() and PLUGIN.exists() and shutil.which("chromium")),
        reason="Orthanc, OHIF or chromium is missing: run tests/browser/install.sh",
    ),
]
DEMO = Path(napari_bayes_nnunet.__file__).parent / "demo_ensemble"
PIXEL_MM = 1.2891
LISTED = """modality => window.services?.displaySetService?.getActiveDisplaySets()
  .filter(series => series.Modality === modality).length === 2"""
SHOWN = "() => window.cornerstoneTools.segmentation.state.getSegmentations().length === 1"
DRAWN = """() => {
  const [shown] = window.cornerstoneTools.segmentation.state.getSegmentations();
  const segments = Object.values(shown.segments).filter(segment => segment.segmentIndex);
  const color = segment => window.cornerstoneTools.segmentation.config.color.getSegmentIndexColor(
    'default', shown.segmentationId, segment.segmentIndex);
  const planes = (shown.representationData.Labelmap?.imageIds || []).map(id => {
    const image = window.cornerstone.cache.getImage(id);
    return [image.referencedImageId, Array.from(image.getPixelData())];
  });
  return {
    label: shown.label,
    colors: Object.fromEntries(segments.map(s => [s.label, Array.from(color(s)).slice(0, 3)])),
    planes: planes.filter(([, labels]) => labels.some(label => label)),
  };
}"""
"""Names and colours of the segments on screen, and the labels of images that have some."""


def write_sample(folder: Path, *, later_by_ms: float) -> None:
    """Write the sample cine as DICOM, each slice ``later_by_ms`` than the one before it."""
    sample = read_volume(CINE)
    voxels, to_dicom = sample.voxels, np.diag([-1.0, -1.0, 1.0])  # from right and front
    columns = to_dicom @ sample.geometry.affine[:3]
    along = columns[:, :2] / np.linalg.norm(columns[:, :2], axis=0)
    orientation = [float(value) for value in along.T.ravel()]
    for t, phase in enumerate(voxels):
        for z, pixels in enumerate(phase):
            trigger = 12 + 46 * t + later_by_ms * z
            slice_file(
                folder / f"{z:02}{t:02}.dcm", pixels.astype(np.int16), z=z, t=t,
                number=1 + z * len(voxels) + t, TriggerTime=trigger, SliceThickness=8,
                PixelSpacing=[PIXEL_MM, PIXEL_MM], PatientName="Sample^Heart",
                ImagePositionPatient=[float(value) for value in columns @ (0, 0, z, 1)],
                ImageOrientationPatient=orientation,
            )  # fmt: skip


@pytest.fixture(scope="module", params=[0.5, 0.0], ids=["stack", "4D"])
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with images and an export; a cine of equal trigger times is 4D for OHIF."""
    folder = tmp_path_factory.mktemp("ohif")
    write_sample(folder / "in", later_by_ms=request.param)
    quick = "--phases", "ED,ES", "--members", 2, "--mirroring", "none", "--save", "study"
    bayes_nnunet("predict", DEMO, folder / "in", "-o", folder / "out", *quick)
    study = next((folder / "out").rglob("study.json")).parent
    bayes_nnunet("export-dicom", study, folder / "in", "-o", folder / "export", "--contours")
    return folder


@pytest.fixture
def opened(exported: Path, tmp_path: Path) -> Iterator[Callable[[str], Any]]:
    """Yield a function that opens the study in OHIF and draws the series with a text."""
    sent = tmp_path / "sent"
    shutil.copytree(exported / "in", sent)
    for file in exported.joinpath("export").glob("*.dcm"):
        shutil.copy(file, sent)
    with run_orthanc(tmp_path) as archive, run_site(archive) as site, open_browser() as page:
        study = send(archive, sent)

        def draw(text: str, modality: str = "SEG") -> Any:
            page.goto(f"http://{HOST}:{site}/viewer?StudyInstanceUIDs={study}")
            page.wait_for_function(LISTED, arg=modality, timeout=60_000)
            page.get_by_text("Skip all").click(timeout=60_000)
            line = page.locator('[data-cy="study-browser-thumbnail-no-image"]')
            line.filter(has_text=modality).filter(has_text=text).dblclick()
            page.wait_for_function(SHOWN, timeout=60_000)
            page.wait_for_timeout(5_000)  # until it is drawn, which nothing tells
            return page

        yield draw


def take(page: Any, name: str) -> None:
    """Keep a picture for the documentation if a folder is given for it."""
    if folder := os.environ.get("OHIF_PICTURES"):
        picture = Image.open(BytesIO(page.screenshot())).convert("RGB")
        picture.quantize(256).save(Path(folder) / f"{name}.png", optimize=True)


def colored(page: Any) -> int:
    """Return the number of pixels with colour in the middle of the image."""
    pane = page.locator('[data-cy="viewport-pane"]').first.bounding_box()
    middle = {"x": pane["x"] + 150, "y": pane["y"] + 150, "width": 650, "height": 480}
    pixels = np.asarray(Image.open(BytesIO(page.screenshot(clip=middle))).convert("RGB"), int)
    return int((np.ptp(pixels, axis=-1) > 40).sum())


def scroll(page: Any, steps: int) -> None:
    """Turn the wheel over the image, downwards for positive steps."""
    pane = page.locator('[data-cy="viewport-pane"]').first.bounding_box()
    page.mouse.move(pane["x"] + pane["width"] / 2, pane["y"] + pane["height"] / 2)
    for _ in range(abs(steps)):
        page.mouse.wheel(0, 120 if steps > 0 else -120)
        page.wait_for_timeout(500)


def colored_slices(page: Any, slices: int) -> int:
    """Scroll through the slices of a volume and return in how many something is drawn."""
    scroll(page, -slices - 3)  # OHIF may begin outside the volume
    found = 0
    for _ in range(slices):
        found += bool(colored(page))
        scroll(page, 1)
    return found


def seg_of(exported: Path, role: str) -> Path:
    """Return the SEG of ED or ES."""
    files = exported.joinpath("export").glob("*_seg.dcm")
    return next(file for file in files if dcmread(file).SeriesDescription.startswith(f"{role}, "))


@pytest.mark.parametrize("exported", [0.5], indirect=True, ids=["stack"])
@pytest.mark.parametrize("role", ["ED", "ES"])
def test_labels_of_each_phase_are_drawn_in_place(exported, opened, role) -> None:
    file = seg_of(exported, role)
    header, labels = dcmread(file), read_seg(file).voxels
    page = opened(f"{role}, phase")
    drawn = page.evaluate(DRAWN)
    assert drawn["label"] == header.SeriesDescription
    names = [segment.SegmentLabel for segment in header.SegmentSequence]
    colors = structure_colors({name: label for label, name in enumerate(names, 1)})
    expected = {
        name: [int(color[start : start + 2], 16) for start in (1, 3, 5)]
        for name, color in zip(names, colors.values(), strict=True)
    }
    assert {*drawn["colors"]} == {*expected}
    assert all(np.allclose(drawn["colors"][name], expected[name], atol=2) for name in names)
    uids = [one.ReferencedSOPInstanceUID for one in header.SourceImageSequence]
    planes = {uids[z]: plane for z, plane in enumerate(labels) if plane.any()}
    found = {image.split("/instances/")[1].split("/")[0]: flat for image, flat in drawn["planes"]}
    assert {*found} == {*planes}
    for uid, plane in planes.items():
        assert np.array_equal(np.reshape(found[uid], plane.shape), plane)
    assert colored(page)
    lines = page.locator('[data-cy="study-browser-thumbnail-no-image"]').all_inner_texts()
    roles = [re.findall(r"\b(E[DS]), ", text) for text in lines if "SEG" in text]
    assert sorted(roles) == [["ED"], ["ES"]]
    take(page, f"ohif_{role.lower()}")


@pytest.mark.parametrize("exported", [0.0], indirect=True, ids=["4D"])
@pytest.mark.parametrize(("modality", "is_whole"), [("RTSTRUCT", True), ("SEG", False)])
def test_only_contours_are_whole_in_a_4d_cine(exported, opened, modality, is_whole) -> None:
    """If the part of SEG fails with a newer OHIF, docs/how-to/dicom.md has good news to tell."""
    labels = read_seg(seg_of(exported, "ED")).voxels
    page = opened("ED, phase", modality)
    drawn, in_slices = colored_slices(page, len(labels)), sum(bool(p.any()) for p in labels)
    assert (drawn == in_slices) == is_whole
    scroll(page, -len(labels) // 2)
    take(page, f"ohif_4d_{modality.lower()}")
