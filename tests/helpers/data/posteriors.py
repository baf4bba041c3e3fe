"""Posteriors of members that are certain of their labels."""

from collections.abc import Sequence

import numpy as np

from napari_bayes_nnunet.core.ensemble.maps import MAPS
from napari_bayes_nnunet.core.ensemble.posterior import RunningPosterior
from napari_bayes_nnunet.core.ensemble.stored_posterior import StoredPosterior


def posterior_of(members: Sequence[np.ndarray], *, classes: int = 4) -> StoredPosterior:
    """Return the posterior of members' (Z, Y, X) labels; entropy equals mutual information."""
    running = RunningPosterior()
    for labels in members:
        one_hot = np.stack([labels == label for label in range(classes)])
        running.add(one_hot.astype(np.float32))
    return StoredPosterior.from_members(
        running.mean(),
        members,
        prediction=running.labels(),
        maps={name: entry.measure(running) for name, entry in MAPS.items()},
    )
