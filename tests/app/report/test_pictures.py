"""Pictures of reports: outlines, crop around the heart, volume curve."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from napari_bayes_nnunet.app.report.pictures import crop_around, curve_picture, slice_picture
from napari_bayes_nnunet.core.heart.volume_curve import VolumeCurve

from ...helpers.data.reviews import ring

COLORS = {2: "#009E73", 3: "#F0E442"}
WHOLE = (slice(0, 48), slice(0, 60))


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(BytesIO(png)).convert("RGB")).astype(int)


def colored(picture: np.ndarray, color: str) -> np.ndarray:
    wanted = [int(color[i : i + 2], 16) for i in (1, 3, 5)]
    return np.abs(picture - wanted).max(axis=2) < 40


def draw(before: np.ndarray, after: np.ndarray, **given: object) -> np.ndarray:
    grey = np.full(before.shape, 100, np.int16)
    content = {"spacing": (1.5, 1.5), "colors": COLORS, "box": WHOLE, **given}
    return pixels(slice_picture(grey, before, after, **content))  # type: ignore[arg-type]


def test_before_is_on_left_and_after_on_right() -> None:
    picture = draw(ring(), np.zeros((48, 60), np.uint8))
    middle = picture.shape[1] // 2
    for color in COLORS.values():
        found = colored(picture, color)
        assert found[:, :middle].any()
        assert not found[:, middle:].any()


def test_outlines_lie_around_their_structure() -> None:
    picture = draw(ring(), ring())
    height, width = picture.shape[:2]
    rows, columns = np.nonzero(colored(picture[:, : width // 2], COLORS[3]))
    assert rows.mean() / height * 48 - 0.5 == pytest.approx(24, abs=1)
    assert columns.mean() / (width / 2) * 60 - 0.5 == pytest.approx(30, abs=1)
    assert np.ptp(rows) / height * 48 == pytest.approx(9, abs=1.5)


def test_unchanged_outline_is_not_dotted() -> None:
    same, moved = draw(ring(), ring()), draw(ring(radius=14), ring())
    right = same.shape[1] // 2 + 4
    box = (slice(80, None), slice(right + 60, None))  # without the title
    white = [int((picture[box].min(axis=2) > 200).sum()) for picture in (same, moved)]
    assert white[0] == 0
    assert white[1] > 50


def test_anisotropic_voxels_are_drawn_to_scale() -> None:
    tall = draw(ring(), ring(), spacing=(3.0, 1.5))
    assert tall.shape[0] / (tall.shape[1] / 2) == pytest.approx(48 * 2 / 60, rel=0.02)


def test_patient_directions_are_drawn() -> None:
    plain = draw(ring(), ring())
    lettered = draw(ring(), ring(), letters=(("I", "S"), ("A", "P"), ("R", "L")))
    assert (plain != lettered).any()


def test_blank_image_can_be_drawn() -> None:
    blank = np.zeros((48, 60), np.float32)
    png = slice_picture(blank, ring(), ring(), spacing=(1.5, 1.5), colors=COLORS, box=WHOLE)
    assert colored(pixels(png), COLORS[3]).any()


def test_crop_has_margin_around_structure() -> None:
    mask = np.zeros((200, 300), np.bool_)
    mask[90:110, 100:190] = True
    assert crop_around(mask, (1.0, 1.0)) == (slice(65, 135), slice(88, 202))
    assert crop_around(mask, (2.0, 2.0)) == (slice(82, 118), slice(94, 196))
    mask[0, 299] = True
    assert crop_around(mask, (1.0, 1.0)) == (slice(0, 122), slice(88, 300))
    assert crop_around(np.zeros((40, 30), np.bool_), (1.0, 1.0)) == (slice(0, 40), slice(0, 30))


def test_curve_has_points_and_phase_marks() -> None:
    curve = VolumeCurve(structure="LV", phases=(1, 2, 3), volumes=(120, 60, 90), ed=1, es=2)
    marked = pixels(curve_picture([curve], ed=1, es=2))
    assert colored(marked, "#F0E442").sum() > 100
    unmarked = pixels(curve_picture([curve], ed=None, es=9))
    assert (marked != unmarked).any()


def test_curve_picture_shows_both_ventricles() -> None:
    curves = [
        VolumeCurve(
            structure=side, phases=(1, 2), volumes=(top, 60), ed=1, es=2
        )
        for side, top in (("LV", 120), ("RV", 150))
    ]  # fmt: skip
    picture = pixels(curve_picture(curves, ed=1, es=2))  # type: ignore[arg-type]
    assert colored(picture, "#F0E442").any()
    assert colored(picture, "#56B4E9").any()
