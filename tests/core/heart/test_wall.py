"""Thickness of the wall: made shells of known thickness, and a real heart measured another way."""

import math
from dataclasses import replace

import nibabel
import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial import cKDTree
from skimage.measure import find_contours

from napari_bayes_nnunet.core.heart.wall import (
    CHORDS,
    SEGMENTS,
    Insertions,
    SegmentWall,
    SliceWall,
    measure_wall,
    wall_segments,
)
from napari_bayes_nnunet.sample_data import CINE

HEART = {"RV": 1, "MYO": 2, "LV": 3}
SPACING = (1.4, 1.1)  # (y, x) in mm
HALF_A_PIXEL = 0.7
CENTRE = np.array([70.0, 66.0])  # (y, x) in mm


def shell(
    inner: float = 20, outer: float = 29, *, shift: float = 0, bump: int | None = None
) -> np.ndarray:
    """Return (Y, X) labels of a ring in mm, seen from the apex, with the RV on the left.

    The cavity is shifted to the left. The wall is 3 mm thicker about the degree ``bump``, from
    the right clockwise.
    """
    y, x = np.mgrid[:100, :120] * np.array(SPACING)[:, None, None] - CENTRE[:, None, None]
    radius, degrees = np.hypot(y, x), np.degrees(np.arctan2(y, x))
    around = np.abs((degrees - (bump or 0) + 180) % 360 - 180)
    extra = 0 if bump is None else 3 * np.cos(np.radians(around * 3)) * (around < 30)
    labels = np.zeros(y.shape, np.uint8)
    # A sector from 120 to 240 degrees touches the wall.
    labels[(radius < outer + 8) & (np.abs((degrees % 360) - 180) < 60)] = HEART["RV"]
    labels[radius < outer + extra] = HEART["MYO"]
    labels[np.hypot(y, x + shift) < inner] = HEART["LV"]
    return labels


def test_specks_are_no_wall_and_no_insertion():
    labels = shell()
    spoilt = labels.copy()
    spoilt[50, 100] = spoilt[10, 10] = HEART["RV"]
    spoilt[2:5, 100:103] = HEART["LV"]
    assert np.array_equal(measured(spoilt).thickness, measured(labels).thickness)
    assert measured(spoilt).insertions == measured(labels).insertions


def measured(labels: np.ndarray, *, from_apex: bool = True) -> SliceWall:
    wall = measure_wall(labels, SPACING, HEART, from_apex=from_apex)
    assert wall is not None
    return wall


def segments(
    ed: list[np.ndarray],
    es: list[np.ndarray] | None = None,
    *,
    base_first: bool = True,
    from_apex: bool = True,
) -> dict[str, SegmentWall]:
    phases = []
    for slices in (ed, es or []):
        walls = [measure_wall(s, SPACING, HEART, from_apex=from_apex) for s in slices]
        phases.append({z: wall for z, wall in enumerate(walls) if wall is not None})
    found = wall_segments(*phases, base_first=base_first)
    return dict(zip(SEGMENTS, found, strict=True))


@pytest.mark.parametrize("thickness", [3.0, 6.5, 9.0, 18.0])
def test_thickness_of_even_shell(thickness):
    wall = measured(shell(outer=20 + thickness))
    assert wall.thickness.shape == (CHORDS,)
    assert wall.thickness.mean() == pytest.approx(thickness, abs=0.2)
    of_sectors = wall.thickness.reshape(6, -1).mean(axis=1)
    assert np.abs(of_sectors - thickness).max() < HALF_A_PIXEL / 2


def test_thickness_of_uneven_shell():
    """The distance between two circles is known at each point of the inner one."""
    wall = measured(shell(shift=4))
    angles = np.radians(np.arange(CHORDS) * 360 / CHORDS)
    points = 20 * np.stack([np.sin(angles), np.cos(angles)], axis=1) - [0, 4]
    expected = 29 - np.linalg.norm(points, axis=1)
    assert wall.thickness[0] == pytest.approx(13, abs=HALF_A_PIXEL)
    assert wall.thickness[CHORDS // 2] == pytest.approx(5, abs=HALF_A_PIXEL)
    assert np.abs(wall.thickness - expected).max() < HALF_A_PIXEL


def test_insertions_are_the_ends_of_the_rv():
    found = measured(shell()).insertions
    assert found is not None
    for point, degree in ((found.anterior, 240), (found.inferior, 120)):
        y, x = np.array(point) * SPACING - CENTRE
        assert math.degrees(math.atan2(y, x)) % 360 == pytest.approx(degree, abs=5)
        assert math.hypot(y, x) == pytest.approx(29, abs=HALF_A_PIXEL)


@pytest.mark.parametrize("labels", [shell() * 0, np.where(shell() == 2, 0, shell())])
def test_slice_without_closed_wall_does_not_count(labels):
    assert measure_wall(labels, SPACING, HEART, from_apex=True) is None


def test_cavity_without_its_own_centre_is_measured():
    """As of labels that nobody has corrected yet: muscle in the middle of the cavity."""
    labels = shell()
    y, x = np.mgrid[:100, :120] * np.array(SPACING)[:, None, None] - CENTRE[:, None, None]
    labels[(np.hypot(y, x) < 12) & (x < 8)] = HEART["MYO"]
    labels[(np.abs(y) < 5) & (x < 0) & (labels == HEART["LV"])] = HEART["MYO"]
    wall = measured(labels)
    assert np.isfinite(wall.thickness[:20]).all()
    found = segments([labels] * 3)
    assert math.isfinite(found["Mid anterolateral"].ed)


def test_septum_is_between_crossed_insertions():
    """An insertion dragged past the other does not turn the septum to the other side."""
    wall = measured(shell())
    found = wall.insertions
    assert found is not None
    crossed = Insertions(anterior=found.inferior, inferior=found.anterior)
    assert wall.septum is not None
    turned = replace(wall, insertions=crossed).septum
    assert turned is not None
    assert (turned - wall.septum) % 360 == pytest.approx(0, abs=1e-6)


def test_outflow_tract_does_not_count():
    labels = shell()
    labels[:50][labels[:50] == HEART["MYO"]] = 0
    assert measure_wall(labels, SPACING, HEART, from_apex=True) is None


@pytest.mark.parametrize(
    ("degree", "wall", "apical"),
    [
        (270, "anterior", "anterior"),
        (210, "anteroseptal", "septal"),
        (150, "inferoseptal", "septal"),
        (90, "inferior", "inferior"),
        (30, "inferolateral", "lateral"),
        (330, "anterolateral", "lateral"),
    ],
)
def test_thick_wall_is_named(degree, wall, apical):
    """The drawing of the standard: septum on the left, anterior wall on top."""
    found = segments([shell(bump=degree)] * 9)
    for ring, name in (("Basal", wall), ("Mid", wall), ("Apical", apical)):
        ed = {segment: value.ed for segment, value in found.items() if segment.startswith(ring)}
        assert max(ed, key=ed.__getitem__) == f"{ring} {name}"
        assert len(ed) == (4 if ring == "Apical" else 6)


def test_turned_and_mirrored_slices_have_the_same_segments():
    square = [np.pad(shell(bump=210, inner=20 - z), ((10, 10), (0, 0)))[:, :120] for z in range(6)]
    upright = values(segments_of_square(square))
    turned = [np.rot90(s) for s in square]
    mirrored = [s[:, ::-1] for s in square]
    assert values(segments_of_square(turned)) == pytest.approx(upright, abs=0.2)
    from_base = segments_of_square(mirrored, from_apex=False)
    assert values(from_base) == pytest.approx(upright, abs=0.2)
    from_the_apex = segments_of_square(square[::-1], base_first=False)
    assert values(from_the_apex) == pytest.approx(upright)


def segments_of_square(
    slices: list[np.ndarray], *, base_first: bool = True, from_apex: bool = True
) -> tuple[SegmentWall, ...]:
    walls = [measure_wall(s, (1.2, 1.2), HEART, from_apex=from_apex) for s in slices]
    ed = {z: wall for z, wall in enumerate(walls) if wall is not None}
    return wall_segments(ed, {}, base_first=base_first)


def values(found: tuple[SegmentWall, ...]) -> list[float]:
    return [segment.ed for segment in found]


def test_thirds_and_thickening():
    """Of nine slices at ED, the first has no wall at ES, as the base moves towards the apex."""
    ed = [shell(outer=20 + 6 + z // 3) for z in range(9)]
    es = [shell() * 0, *(shell(outer=20 + 2 * (6 + z // 3)) for z in range(1, 9))]
    ed[0] = shell(outer=29)  # counts at ED, but not for the thickening
    found = segments(ed, es)
    assert found["Basal anterior"].ed == pytest.approx((9 + 6 + 6) / 3, abs=0.2)
    assert found["Mid anterior"].ed == pytest.approx(7, abs=0.2)
    assert found["Apical anterior"].ed == pytest.approx(8, abs=0.2)
    assert found["Basal inferior"].es == pytest.approx(12, abs=0.2)
    assert all(segment.thickening == pytest.approx(100, abs=4) for segment in found.values())


def test_slice_without_rv_takes_the_nearest_septum():
    ed = [shell(bump=270)] * 9
    without = [np.where(labels == HEART["RV"], 0, labels) for labels in ed]
    assert values_of(segments(ed[:8] + without[8:])) == pytest.approx(values_of(segments(ed)))


@pytest.mark.parametrize(
    "ed", [[shell()] * 2, [np.where(shell() == 1, 0, shell())] * 9], ids=["two slices", "no RV"]
)
def test_unknown_segments_have_no_value(ed):
    assert all(math.isnan(value) for value in values_of(segments(ed)))


def test_phase_without_labels_has_no_value():
    found = segments([shell()] * 3)
    assert all(math.isnan(segment.es + segment.thickening) for segment in found.values())
    assert all(math.isfinite(segment.ed) for segment in found.values())


def values_of(found: dict[str, SegmentWall]) -> list[float]:
    return values(tuple(found.values()))


def test_real_heart_agrees_with_nearest_distances():
    """Nearest distances between iso-contours of the blurred masks, in sectors of 60 degrees."""
    image = nibabel.load(CINE.parent / "SCD0000301_ED_gt.nii.gz")
    labels = np.asarray(image.dataobj).T.astype(np.uint8)
    spacing = np.array(image.header.get_zooms()[:2], float)[::-1]
    count = 0
    for plane in labels:
        wall = measure_wall(plane, spacing, HEART, from_apex=True)
        if wall is None:
            continue
        points, distances = nearest_distances(plane, spacing)
        y, x = (points - np.array(wall.centre) * spacing).T
        sector = (np.degrees(np.arctan2(y, x)) % 360 // 60).astype(int)
        for number, ours in enumerate(wall.thickness.reshape(6, -1)):
            other = distances[sector == number].mean()
            assert ours.mean() == pytest.approx(other, abs=0.5 * float(spacing.mean()))
            count += 1
    assert count >= 6 * 6


def nearest_distances(plane: np.ndarray, spacing: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (n, 2) middles and (n,) lengths of the shortest lines across the wall, both in mm."""
    contours = []
    for mask in (plane == HEART["LV"], plane >= HEART["MYO"]):
        blurred = ndimage.gaussian_filter(mask.astype(float), 0.8)
        contour = max(find_contours(blurred, 0.5), key=len) * spacing
        way = np.append(0, np.linalg.norm(np.diff(contour, axis=0), axis=1).cumsum())
        steps = np.linspace(0, way[-1], 1000, endpoint=False)
        contours.append(np.stack([np.interp(steps, way, axis) for axis in contour.T], axis=1))
    points, lengths = [], []
    for contour, other in (contours, contours[::-1]):
        length, nearest = cKDTree(other).query(contour)
        points.append((contour + other[nearest]) / 2)
        lengths.append(length)
    return np.concatenate(points), np.concatenate(lengths)
