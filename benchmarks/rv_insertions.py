"""Insertions of the RV that are found in contours of biv-me, compared with those of biv-me.

    python -m benchmarks.rv_insertions GUIDEPOINTS

GUIDEPOINTS holds GPFile_NNN.txt and SliceInfoFile.txt of the example of biv-me
(https://github.com/UOA-Heart-Mechanics-Research/biv-me), in patient coordinates (L, P, S), mm.
"""

import csv
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
from skimage.draw import polygon2mask

from napari_bayes_nnunet.core.heart.wall import measure_wall

HEART = {"RV": 1, "MYO": 2, "LV": 3}
SHAPE = (256, 256)
PHASES = (0, 10)
TO_APEX = np.array([1, -1, -1])
"""Left, forward and down."""
NAMES = ("anterior", "inferior")


def main(folder: Path) -> None:
    """Print the difference of each insertion, in degrees about the centre of the cavity."""
    planes = read_planes(folder / "SliceInfoFile.txt")
    print(f"| phase | slice | {' | '.join(NAMES)} | anterior − inferior (L, P, S), mm |")
    print("|---|---|---|---|---|")
    for phase in PHASES:
        contours: dict[tuple[int, str], list[list[float]]] = defaultdict(list)
        with (folder / f"GPFile_{phase:03d}.txt").open() as stream:
            for x, y, z, kind, number, *_ in list(csv.reader(stream, delimiter="\t"))[1:]:
                contours[int(number), kind].append([float(x), float(y), float(z)])
        for number in sorted({n for n, kind in contours if kind == "RV_INSERT"}):
            compare(phase, number, contours, *planes[number])


def compare(
    phase: int,
    number: int,
    contours: dict[tuple[int, str], list[list[float]]],
    origin: np.ndarray,
    right: np.ndarray,
    down: np.ndarray,
    size: float,
) -> None:
    """Print a row for a slice whose first pixel is at ``origin``."""

    def pixels(*kinds: str) -> np.ndarray:
        points = np.array([p for kind in kinds for p in contours[number, kind]]) - origin
        return np.stack([points @ down, points @ right], axis=1) / size

    def mask(*kinds: str) -> np.ndarray:
        points = pixels(*kinds)
        y, x = (points - points.mean(axis=0)).T
        return np.asarray(polygon2mask(SHAPE, points[np.argsort(np.arctan2(y, x))]))

    labels = np.zeros(SHAPE, np.uint8)
    labels[mask("SAX_RV_SEPTUM", "SAX_RV_FREEWALL")] = HEART["RV"]
    labels[mask("SAX_LV_EPICARDIAL", "SAX_RV_SEPTUM")] = HEART["MYO"]
    labels[mask("SAX_LV_ENDOCARDIAL")] = HEART["LV"]
    from_apex = bool(np.cross(right, down) @ TO_APEX < 0)
    wall = measure_wall(labels, (size, size), HEART, from_apex=from_apex)
    if wall is None or wall.insertions is None:
        print(f"| {phase} | {number} | not found | | |")
        return
    found = [np.array(getattr(wall.insertions, name)) for name in NAMES]
    theirs = pixels("RV_INSERT")
    cells = [f"{min(turn(point, other, wall.centre) for other in theirs):.0f}" for point in found]
    y, x = (found[0] - found[1]) * size
    way = ", ".join(f"{part:+.0f}" for part in y * down + x * right)
    print(f"| {phase} | {number} | {' | '.join(cells)} | {way} |")


def turn(first: np.ndarray, second: np.ndarray, centre: tuple[float, float]) -> float:
    """Return the degrees between two points about the centre."""
    angles = [np.degrees(np.arctan2(*(point - centre))) for point in (first, second)]
    return float(abs((angles[0] - angles[1] + 180) % 360 - 180))


def read_planes(file: Path) -> dict[int, tuple[np.ndarray, np.ndarray, np.ndarray, float]]:
    """Return position, directions of columns and rows, and pixel size of each slice."""
    planes = {}
    for line in file.read_text().splitlines():
        words = line.replace("\t", " ").split()
        first = words.index("sliceID:") + 1
        position, right, down = (
            np.array(words[first + n : first + n + 3], float) for n in (2, 6, 9)
        )
        planes[int(words[first])] = position, right, down, float(words[first + 13])
    return planes


if __name__ == "__main__":
    main(Path(sys.argv[1]))
