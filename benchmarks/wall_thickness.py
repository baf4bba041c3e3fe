"""Wall thickness in the reference labels of ACDC, compared with two other computations.

    python -m benchmarks.wall_thickness ACDC [EVERY]

ACDC is an nnU-Net raw dataset with ED and ES of each patient; EVERY takes each n-th patient. The
others are the shortest lines between iso-contours of the blurred masks, and the lines of the
solution of Laplace's equation in the wall (Jones et al., Hum Brain Mapp 2000), which are longer
than chords where the wall tapers, as the shortest lines are shorter.
"""

import re
import sys
from collections import defaultdict
from collections.abc import Callable
from dataclasses import astuple, replace
from pathlib import Path

import numpy as np
from scipy import ndimage, sparse
from scipy.spatial import cKDTree
from skimage.measure import find_contours

from napari_bayes_nnunet.core.heart.slice_volumes import base_is_first
from napari_bayes_nnunet.core.heart.wall import CHORDS, SliceWall, measure_wall, wall_segments
from napari_bayes_nnunet.io.images.nifti import read_labels, read_volume

HEART = {"RV": 1, "MYO": 2, "LV": 3}
BLUR = 0.8
"""Standard deviation in voxels that makes contours of masks smooth."""
FINE = 4
"""Nodes for Laplace's equation per voxel and axis."""
MARGIN = 4
Lengths = tuple[np.ndarray, np.ndarray]
"""(n, 2) middles in voxels and (n,) lengths in mm of lines across the wall."""


def main(dataset: Path, every: int = 1) -> None:
    """Print the differences of the segments and of the slices' sectors, in voxels."""
    patients: dict[str, list[Path]] = defaultdict(list)
    for file in sorted((dataset / "labelsTr").glob("*_frame*.nii.gz")):
        patients[re.sub("_frame.*", "", file.name)].append(file)
    print("| compared with | values | mean | SD | within half a voxel | largest |")
    print("|---|---|---|---|---|---|")
    for title, method in (("shortest lines", shortest_lines), ("Laplace", laplace_lines)):
        segments: list[float] = []
        for name in [*patients][::every]:
            segments += differences(dataset, patients[name], method)
        values = np.array(segments)
        values = values[np.isfinite(values)]
        share = 100 * np.mean(np.abs(values) <= 0.5)
        print(
            f"| {title} | {len(values)} | {values.mean():+.2f} | {values.std():.2f} | "
            f"{share:.1f} % | {np.abs(values).max():.2f} |",
            flush=True,
        )


def differences(
    dataset: Path, files: list[Path], method: Callable[[np.ndarray, np.ndarray], Lengths]
) -> list[float]:
    """Return ours − other of ED and ES of the 16 segments of a patient, in voxels."""
    phases: list[tuple[dict[int, SliceWall], dict[int, SliceWall]]] = []
    for file in files:
        like = read_volume(dataset / "imagesTr" / file.name.replace(".nii", "_0000.nii")).geometry
        labels, spacing = read_labels(file, like=like).voxels, np.array(like.spacing[1:])
        ours: dict[int, SliceWall] = {}
        others: dict[int, SliceWall] = {}
        for z, plane in enumerate(labels):
            wall = measure_wall(plane, spacing, HEART, from_apex=True)
            if wall is not None:
                ours[z] = wall
                others[z] = replace(wall, thickness=by_chord(wall, *method(plane, spacing)))
        phases.append((ours, others))
        if len(phases) == 1:
            is_first = bool(base_is_first(labels))
    tables = [
        np.array([astuple(s)[:2] for s in wall_segments(*slices, base_first=is_first)])
        for slices in zip(*phases, strict=True)
    ]
    return [*((tables[0] - tables[1]) / spacing.mean()).ravel()]


def by_chord(wall: SliceWall, middles: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Return the mean length at each chord, that of the nearest lines where none is."""
    y, x = ((middles - wall.centre) * wall.spacing).T
    chord = np.round(np.degrees(np.arctan2(y, x)) * CHORDS / 360).astype(int) % CHORDS
    count = np.bincount(chord, minlength=CHORDS)
    known = np.flatnonzero(count)
    mean = np.bincount(chord, lengths, CHORDS)[known] / count[known]
    return np.interp(np.arange(CHORDS), known, mean, period=CHORDS)


def shortest_lines(plane: np.ndarray, spacing: np.ndarray) -> Lengths:
    """Return the shortest lines from each of both contours to the other."""
    contours = []
    for mask in (plane == HEART["LV"], plane >= HEART["MYO"]):
        blurred = ndimage.gaussian_filter(np.pad(mask, MARGIN).astype(float), BLUR)
        contour = (max(find_contours(blurred, 0.5), key=len) - MARGIN) * spacing
        way = np.append(0, np.linalg.norm(np.diff(contour, axis=0), axis=1).cumsum())
        steps = np.linspace(0, way[-1], 2000, endpoint=False)
        contours.append(np.stack([np.interp(steps, way, axis) for axis in contour.T], axis=1))
    middles, lengths = [], []
    for contour, other in (contours, contours[::-1]):
        length, nearest = cKDTree(other).query(contour)
        middles.append((contour + other[nearest]) / 2 / spacing)
        lengths.append(length)
    return np.concatenate(middles), np.concatenate(lengths)


def laplace_lines(plane: np.ndarray, spacing: np.ndarray) -> Lengths:
    """Return the lines along the gradient of the potential, through points half-way across."""
    padded = np.pad(plane, MARGIN)
    rows, columns = np.nonzero(padded >= HEART["MYO"])
    low = np.array([rows.min(), columns.min()]) - MARGIN
    box = padded[low[0] : rows.max() + MARGIN + 1, low[1] : columns.max() + MARGIN + 1]
    cavity, whole = (fine_mask(mask) for mask in (box == HEART["LV"], box >= HEART["MYO"]))
    step = spacing / FINE
    potential = solve(whole & ~cavity, whole | cavity, step)
    slopes = np.gradient(potential, *step)
    size = np.maximum(np.hypot(*slopes), 1e-12)
    points = np.argwhere((np.abs(potential - 0.5) < 0.04) & whole & ~cavity).astype(float)
    lengths = np.zeros(len(points)) - step.mean()  # nodes of the border lie outside the wall
    stride = 0.1 * step.min()
    for sign in (1, -1):
        at, inside = points.copy(), np.ones(len(points), bool)
        while inside.any():
            way = [ndimage.map_coordinates(s / size, at[inside].T, order=1) for s in slopes]
            way = np.stack(way, axis=1) / np.linalg.norm(way, axis=0)[:, None]
            at[inside] += sign * stride * way / step
            lengths[inside] += stride
            now = ndimage.map_coordinates(potential, at.T, order=1)
            inside &= (now > 1e-3) & (now < 1 - 1e-3) & (lengths < 100)
    return (points + 0.5) / FINE - 0.5 + low - MARGIN, lengths


def fine_mask(mask: np.ndarray) -> np.ndarray:
    """Return a mask with smooth borders on the finer grid."""
    blurred = ndimage.gaussian_filter(mask.astype(float), BLUR)
    return np.asarray(ndimage.zoom(blurred, FINE, order=1, grid_mode=True, mode="nearest") > 0.5)


def solve(wall: np.ndarray, whole: np.ndarray, step: np.ndarray) -> np.ndarray:
    """Return the potential: 0 in the cavity, 1 outside the heart, harmonic in the wall."""
    number = np.full(wall.shape, -1)
    nodes = np.argwhere(wall)
    number[wall] = np.arange(len(nodes))
    every = np.arange(len(nodes))
    entries, right = [], np.zeros(len(nodes))
    for shift in ((0, 1), (0, -1), (1, 0), (-1, 0)):
        near = tuple((nodes + shift).T)
        weight = 1 / step[0 if shift[0] else 1] ** 2
        inner = np.flatnonzero(number[near] >= 0)
        entries.append((np.full(len(nodes), weight), every, every))
        entries.append((np.full(len(inner), -weight), inner, number[near][inner]))
        right += weight * ((number[near] < 0) & ~whole[near])
    values, *places = (np.concatenate(part) for part in zip(*entries, strict=True))
    matrix = sparse.coo_array((values, tuple(places)), shape=(len(nodes),) * 2).tocsc()
    potential = np.where(whole, 0.0, 1.0)
    potential[wall] = sparse.linalg.spsolve(matrix, right)
    return potential


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:3]))
