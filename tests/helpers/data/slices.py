"""Made slices of hearts, and possible posteriors of an ensemble."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from napari_bayes_nnunet.core.ensemble.posterior import most_probable
from napari_bayes_nnunet.core.ensemble.stored_posterior import SlicePosterior, StoredPosterior

RV, MYO, LV = 1, 2, 3
HEART = {"RV": RV, "MYO": MYO, "LV": LV}

Labels = NDArray[np.uint8]


def disk(
    radius: float, *, at: tuple[float, float] = (32, 36), shape: tuple[int, int] = (64, 64)
) -> NDArray[np.bool_]:
    """Return the (Y, X) mask of a disk."""
    y, x = np.ogrid[: shape[0], : shape[1]]
    return (y - at[0]) ** 2 + (x - at[1]) ** 2 <= radius**2


def heart(
    *,
    lv: float = 8,
    wall: float = 5,
    rv: float = 13,
    at: tuple[float, float] = (32, 36),
    shape: tuple[int, int] = (64, 64),
) -> Labels:
    """Return (Y, X) labels of an RV next to a ring of myocardium around an LV; radii in voxels."""
    labels = np.zeros(shape, np.uint8)
    if rv:
        labels[disk(rv, at=(at[0], at[1] - 14), shape=shape)] = RV
    labels[disk(lv + wall, at=at, shape=shape)] = MYO
    if lv:
        labels[disk(lv, at=at, shape=shape)] = LV
    return labels


def random_labels(rng: np.random.Generator, shape: tuple[int, ...] = (24, 20)) -> Labels:
    """Return random labels, which do not resemble a heart."""
    return rng.integers(0, 4, shape, dtype=np.uint8)


def slice_of(probabilities: NDArray[np.floating], members: Sequence[Labels]) -> SlicePosterior:
    """Return the stored slice of mean (C, Y, X) probabilities and members' labels."""
    probabilities = np.asarray(probabilities, np.float32)[:, None]
    nothing = np.zeros(probabilities.shape[1:], np.float32)
    stored = StoredPosterior.from_members(
        probabilities,
        np.asarray(members)[:, None],
        prediction=most_probable(probabilities),
        maps={"entropy": nothing, "mutual-information": nothing},
    )
    return stored.slice_at(0)


def slice_of_members(members: Sequence[Labels], *, classes: int = 4) -> SlicePosterior:
    """Return the slice of members certain of their labels, with few levels and many ties."""
    labels = np.asarray(members)
    return slice_of(np.stack([(labels == c).mean(axis=0) for c in range(classes)]), members)


def random_slice(
    rng: np.random.Generator,
    *,
    steps: int = 255,
    classes: int = 4,
    shape: tuple[int, int] = (24, 20),
) -> SlicePosterior:
    """Return random probabilities in ``steps`` levels; ties go to a random class.

    Fewer steps give more ties.
    """
    counts = rng.multinomial(steps, rng.dirichlet(np.ones(classes)), shape)
    probabilities = np.moveaxis(counts / steps, -1, 0)
    slice_ = slice_of(probabilities, [random_labels(rng, shape)])
    highest = slice_.probabilities == slice_.probabilities.max(axis=0)
    drawn = rng.random(highest.shape) * highest
    slice_.prediction[...] = drawn.argmax(axis=0)
    return slice_


def smooth_curve(handles: NDArray[np.float64], points: int = 200) -> NDArray[np.float64]:
    """Return (points, 2) points of a smooth closed curve through (k, 2) handles."""
    closed = np.concatenate([handles, handles[:1]])
    spline = CubicSpline(np.arange(len(closed)), closed, bc_type="periodic")
    curve: NDArray[np.float64] = spline(np.linspace(0, len(handles), points, endpoint=False))
    return curve
