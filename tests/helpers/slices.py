"""Made slices of hearts, and what an ensemble might say of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from napari_bayes_nnunet.core.ensemble.posterior import most_probable
from napari_bayes_nnunet.core.ensemble.stored_posterior import SlicePosterior, StoredPosterior

RV, MYO, LV = 1, 2, 3
HEART = {"RV": RV, "MYO": MYO, "LV": LV}

Labels = NDArray[np.uint8]


def disk(
    radius: float, *, at: tuple[float, float] = (32, 36), shape: tuple[int, int] = (64, 64)
) -> NDArray[np.bool_]:
    """(Y, X) mask of a disk."""
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
    """(Y, X) labels: an RV that leans on a ring of myocardium around an LV; radii in voxels."""
    labels = np.zeros(shape, np.uint8)
    if rv:
        labels[disk(rv, at=(at[0], at[1] - 14), shape=shape)] = RV
    labels[disk(lv + wall, at=at, shape=shape)] = MYO
    if lv:
        labels[disk(lv, at=at, shape=shape)] = LV
    return labels


def random_labels(rng: np.random.Generator, shape: tuple[int, ...] = (24, 20)) -> Labels:
    """Labels with nothing of a heart in their order."""
    return rng.integers(0, 4, shape, dtype=np.uint8)


def slice_of(probabilities: NDArray[np.floating], members: Sequence[Labels]) -> SlicePosterior:
    """A slice as kept and reopened, from mean (C, Y, X) probabilities and members' labels."""
    probabilities = np.asarray(probabilities, np.float32)[:, None]
    nothing = np.zeros(probabilities.shape[1:], np.float32)
    stored = StoredPosterior.from_members(
        probabilities,
        np.asarray(members)[:, None],
        prediction=most_probable(probabilities),
        entropy=nothing,
        mutual_information=nothing,
    )
    return stored.slice_at(0)


def slice_of_members(members: Sequence[Labels], *, classes: int = 4) -> SlicePosterior:
    """A slice of members that are certain of their labels: few levels of probability, many ties."""
    labels = np.asarray(members)
    return slice_of(np.stack([(labels == c).mean(axis=0) for c in range(classes)]), members)


def random_slice(
    rng: np.random.Generator,
    *,
    steps: int = 255,
    classes: int = 4,
    shape: tuple[int, int] = (24, 20),
) -> SlicePosterior:
    """Probabilities in some ``steps``: the fewer, the more ties; ties fall to any class of them."""
    counts = rng.multinomial(steps, rng.dirichlet(np.ones(classes)), shape)
    probabilities = np.moveaxis(counts / steps, -1, 0)
    slice_ = slice_of(probabilities, [random_labels(rng, shape)])
    highest = slice_.probabilities == slice_.probabilities.max(axis=0)
    drawn = rng.random(highest.shape) * highest
    slice_.prediction[...] = drawn.argmax(axis=0)
    return slice_
