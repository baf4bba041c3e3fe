"""Temperature scaling: one number that makes probabilities as sure as they are right.

Guo et al., ICML 2017, reference 12 of the paper. Applied to pooled probabilities (`tempered`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

RANGE = (0.1, 10.0)
"""Between them the temperature is sought."""


def fit_temperature(probabilities: NDArray[np.floating], labels: NDArray[np.integer]) -> float:
    """The τ in `RANGE` under which ``labels`` (N,) are the most probable: the lowest NLL.

    ``probabilities`` (C, N) of N voxels. Raises ValueError where there are none, or not as many
    labels.
    """
    from scipy.optimize import minimize_scalar  # a window that only reads temperatures needs none

    if labels.size == 0 or probabilities.shape[1:] != labels.shape:
        raise ValueError(
            f"A temperature is fitted to as many labels (N,) as probabilities (C, N), at least "
            f"one, not to {labels.shape} and {probabilities.shape}."
        )
    logs = np.log(probabilities.clip(np.finfo(np.float32).tiny)).astype(np.float32)

    def loss(log_temperature: float) -> float:
        softened = logs / np.float32(np.exp(log_temperature))
        softened -= softened.max(axis=0)
        of_label = np.take_along_axis(softened, labels[None], axis=0)[0]
        return float((np.log(np.exp(softened).sum(axis=0)) - of_label).mean(dtype=np.float64))

    best = minimize_scalar(loss, bounds=np.log(RANGE), method="bounded", options={"xatol": 1e-4})
    return float(np.exp(best.x))
