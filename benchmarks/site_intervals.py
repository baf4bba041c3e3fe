"""How often the test of a site's intervals finds a site whose errors are others than at home.

python -m benchmarks.site_intervals

Intervals at 90 % are fitted on 16 patients, as those of the built-in ensemble, and tested on 10, 20
or 40 studies of a site. All errors are normal; those of the site have another mean or a larger SD.
"""

import numpy as np

from napari_bayes_nnunet.core.heart.site_intervals import LEVEL
from napari_bayes_nnunet.core.metrics.conformal import chance_of_misses, conformal_quantile

PATIENTS = 16
REPEATS = 4000
SITES = {
    "as at home": (0, 1),
    "bias of 1 SD": (1, 1),
    "bias of 2 SD": (2, 1),
    "bias of 3 SD": (3, 1),
    "SD twice as large": (0, 2),
}


def share_found(mean: float, sd: float, studies: int) -> float:
    """Return the share of simulated sites at which the test rejects."""
    random, found = np.random.default_rng(0), 0
    for _ in range(REPEATS):
        bound = conformal_quantile(np.abs(random.normal(size=PATIENTS)), 90)
        missed = np.abs(random.normal(mean, sd, size=studies)) > bound
        found += chance_of_misses(int(missed.sum()), studies, PATIENTS, 90) <= LEVEL
    return found / REPEATS


if __name__ == "__main__":
    print("| Site | 10 studies | 20 studies | 40 studies |\n|---|---|---|---|")
    for name, (mean, sd) in SITES.items():
        shares = (f"{share_found(mean, sd, studies):.0%}" for studies in (10, 20, 40))
        print(f"| {name} | {' | '.join(shares)} |")
