"""Volumes that end at the valve planes, and how well valves could be found without a network.

    python -m benchmarks.valve_planes GUIDEPOINTS DICOM STUDY

GUIDEPOINTS and DICOM are folders of the example of biv-me, whose hinges of the valves were found by
networks in all phases (https://github.com/UOA-Heart-Mechanics-Research/biv-me). STUDY is the study
that ``predict --phases ED,ES --save study`` makes of DICOM.
"""

import csv
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pydicom
from skimage.feature import match_template

from napari_bayes_nnunet.app.review.accepted_slices import measure_review
from napari_bayes_nnunet.app.review.session import ReviewSession
from napari_bayes_nnunet.core.heart.valve_plane import (
    Hinges,
    ValvePlane,
    hinges_in_phase,
    kept_share,
)
from napari_bayes_nnunet.io.study.study import read_study

TO_RAS = np.array([-1, -1, 1])
PAIRS = (("mitral", "4CH", 7), ("mitral", "3CH", 8), ("mitral", "2CH", 9), ("tricuspid", "4CH", 7))
"""Valve, long-axis plane, and its number in GUIDEPOINTS."""
PATCH, REACH = 7, 5
"""Half width of a patch that is followed, and how far it may move from image to image, pixels."""
AXES = np.array([28.0, 28.0, 90.0])
"""Half axes of a made ventricle, an ellipsoid with its apex below, mm."""


def main(guidepoints: Path, dicom: Path, study: Path) -> None:
    """Print all tables."""
    made_hearts()
    session = ReviewSession(read_study(study))
    planes, count = read_planes(guidepoints / "SliceInfoFile.txt"), len(session.labels)
    hinges = {
        (phase, valve, view): found
        for valve, view, number in PAIRS
        for phase, found in enumerate(read_hinges(guidepoints, valve, number, planes, count), 1)
    }
    whole_and_by_valve(session, hinges)
    ends = session.state.ed, session.state.es
    up = session.study.info.geometry.affine_in_mm[:3, 2] / session.spacing[0]
    up *= -1 if session.base_is_first else 1
    print("\n| valve | plane | moves between ED and ES | evenly moved: median, largest error |")
    print("|---|---|---|---|")
    for valve, view, _ in PAIRS:
        of_plane = {p: h for (p, v, w), h in hinges.items() if (v, w) == (valve, view)}
        known = {phase: of_plane[phase] for phase in ends}
        moved = [hinges_in_phase(known, phase, count=count) for phase in of_plane]
        errors = np.abs([(middle(m) - middle(of_plane[p])) @ up for p, m in enumerate(moved, 1)])
        between = [error for p, error in enumerate(errors, 1) if p not in ends]
        motion = abs((middle(known[ends[0]]) - middle(known[ends[1]])) @ up)
        shown = f"{np.median(between):.1f}, {max(between):.1f} mm"
        print(f"| {valve} | {view} | {motion:.1f} mm | {shown} |")
    proposals(session, hinges, up)
    followed(dicom, planes, hinges, ends, count)


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


def made_hearts() -> None:
    """Print errors of volumes of ellipsoids cut by oblique planes, in % of the volume."""
    rng = np.random.default_rng(1)
    print("| slices | hinges off by | whole slices | by the valve plane |\n|---|---|---|---|")
    for step in (8.0, 10.0, 17.7):
        for off in (0.0, 3.0):
            errors = np.array([one_made_heart(step, off, rng) for _ in range(100)])
            cells = [
                f"{np.sqrt(np.mean(e**2)):.1f} (up to {np.abs(e).max():.1f})" for e in errors.T
            ]
            print(f"| {step} mm | {off} mm | {' | '.join(cells)} |")


def one_made_heart(step: float, off: float, rng: np.random.Generator) -> tuple[float, float]:
    """Return the errors of both volumes, %; the plane in use lies ``off`` mm up or down."""
    lean, turn = np.radians(rng.uniform(0, 15)), rng.uniform(0, 2 * np.pi)
    normal = np.array([np.sin(lean) * np.cos(turn), np.sin(lean) * np.sin(turn), np.cos(lean)])
    height, size = rng.uniform(0, 20), 30
    used = ValvePlane(point=np.array([0, 0, height + rng.choice([-off, off])]), normal=normal)
    affine = np.diag([1.0, 1.0, step, 1.0])
    affine[:3, 3] = -size, -size, -AXES[2] + rng.uniform(0, step)
    z, y, x = np.indices((int(2 * AXES[2] / step) + 2, 2 * size + 1, 2 * size + 1))
    places = np.stack([x, y, z], axis=-1) @ affine[:3, :3] + affine[:3, 3]
    mask = np.square(places / AXES).sum(axis=-1) < 1
    mask[affine[2, 3] + step * np.arange(len(mask)) > height] = False
    counts, basal = mask.sum(axis=(1, 2)) * step, np.flatnonzero(mask.any(axis=(1, 2)))[-1]
    kept = [
        kept_share(part, n, used, affine, most=2 if n == basal else 1)
        for n, part in enumerate(mask)
    ]
    share = height * normal[2] / np.linalg.norm(normal * AXES)
    true = np.pi * (2 / 3 + share - share**3 / 3) * AXES.prod()
    return 100 * (counts.sum() / true - 1), 100 * (counts @ kept / true - 1)


def read_hinges(
    folder: Path, valve: str, number: int, planes: dict[int, tuple], count: int
) -> list[Hinges]:
    """Return the hinges of a valve on a plane in each phase, in the order of the first one."""
    _, right, down, _ = planes[number]
    found: list[np.ndarray] = []
    for phase in range(count):
        with (folder / f"GPFile_{phase:03d}.txt").open() as stream:
            rows = list(csv.reader(stream, delimiter="\t"))[1:]
        kinds = f"{valve.upper()}_VALVE", str(number)
        points = np.array([row[:3] for row in rows if (row[3], row[4]) == kinds], float) * TO_RAS
        is_turned = found and np.linalg.norm(points - found[0]) > np.linalg.norm(
            points[::-1] - found[0]
        )
        found.append(points[::-1] if is_turned else points)
    normal = tuple(np.cross(right, down) * TO_RAS)
    return [Hinges(first=tuple(a), second=tuple(b), normal=normal) for a, b in found]


def middle(hinges: Hinges) -> np.ndarray:
    """Return the middle between both hinges, mm."""
    return np.add(hinges.first, hinges.second) / 2


def whole_and_by_valve(session: ReviewSession, hinges: dict) -> None:
    """Print the numbers of the study by whole slices and by the valve planes."""
    print("\n| long axes | number | whole slices | by the valve plane |\n|---|---|---|---|")
    for views in (("4CH", "3CH", "2CH"), ("4CH", "2CH"), ("4CH",), ("2CH",)):
        ends = session.state.ed, session.state.es
        marked = {k: h for k, h in hinges.items() if k[0] in ends and k[2] in views}
        session.change(hinges=marked, by_valve_plane=True)
        for name, number in measure_review(session)[0].items():
            if number.comparison is not None and name.split()[1] in ("EDV", "ESV", "EF", "mass"):
                beside = f"{number.comparison.value:.1f} {number.unit}"
                print(f"| {', '.join(views)} | {name} | {number.value:.1f} | {beside} |")


def proposals(session: ReviewSession, hinges: dict, up: np.ndarray) -> None:
    """Print how far the basal end of the labels is from the hinges, along the stack."""
    affine = session.study.info.geometry.affine_in_mm
    print("\n| phase | valve | plane | basal slice − hinges | its upper face − hinges |")
    print("|---|---|---|---|---|")
    for phase in (session.state.ed, session.state.es):
        for valve, view, _ in PAIRS:
            structure = "LV" if valve == "mitral" else "RV"
            volumes = session.numbers.volumes[phase].labels[structure]
            drawn = np.flatnonzero(volumes > 1)
            z = drawn[0 if session.base_is_first else -1]
            off = ((affine @ (0, 0, z, 1))[:3] - middle(hinges[phase, valve, view])) @ up
            face = off + session.spacing[0] / 2
            print(
                f"| {session.name_of(phase)} | {valve} | {view} | {off:+.1f} mm | {face:+.1f} mm |"
            )


def followed(dicom: Path, planes: dict, hinges: dict, ends: tuple[int, int], count: int) -> None:
    """Print the errors at ES of hinges that are followed from ED by matching patches."""
    print("\n| valve | plane | moved | followed: error |\n|---|---|---|---|")
    series: dict[tuple, list] = {}
    for file in dicom.rglob("*.dcm"):
        image = pydicom.dcmread(file)
        series.setdefault(tuple(np.round(image.ImagePositionPatient, 1)), []).append(image)
    for valve, view, number in PAIRS:
        position, right, down, size = planes[number]
        images = sorted(series[tuple(np.round(position, 1))], key=lambda i: float(i.TriggerTime))
        voxels = np.array([image.pixel_array for image in images], np.float32)
        known = [hinges[phase, valve, view] for phase in ends]
        places = [np.array([pair.first, pair.second]) * TO_RAS - position for pair in known]
        pixels = [np.stack([place @ down, place @ right], axis=-1) / size for place in places]
        frames = [(ends[0] - 1 + step) % count for step in range((ends[1] - ends[0]) % count + 1)]
        for start, end in zip(*pixels, strict=True):
            found = follow(voxels[frames], start)
            moved, error = (np.linalg.norm(end - at) * size for at in (start, found))
            print(f"| {valve} | {view} | {moved:.1f} mm | {error:.1f} mm |")


def follow(voxels: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Return where a patch about (y, x) of the first image lies in the last one."""
    place = np.array(start)
    for before, after in pairwise(voxels):
        y, x = np.round(place).astype(int)
        patch = before[y - PATCH : y + PATCH + 1, x - PATCH : x + PATCH + 1]
        wide = PATCH + REACH
        match = match_template(after[y - wide : y + wide + 1, x - wide : x + wide + 1], patch)
        place = place + np.unravel_index(match.argmax(), match.shape) - REACH
    return place


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
