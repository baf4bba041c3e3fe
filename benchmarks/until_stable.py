"""Members saved and accuracy lost by ``predict --until-stable`` on validation cases.

python -m benchmarks.until_stable RUN DATASET [--members 30] [--mirroring none]

Every case is segmented by all members. The result at which the rule would have stopped is compared
with the final one. Prints how many volumes would have stopped after how many members.
"""

from __future__ import annotations

from collections import Counter

import numpy as np

from napari_bayes_nnunet.app.segmentation.ensemble import Ensemble
from napari_bayes_nnunet.app.segmentation.forward_pass import stability_interval
from napari_bayes_nnunet.app.segmentation.methods import choose_members
from napari_bayes_nnunet.app.segmentation.settings import SegmentationSettings
from napari_bayes_nnunet.core.ensemble.stability import Stability
from napari_bayes_nnunet.core.metrics.overlap import dice
from napari_bayes_nnunet.io.dataset.raw_dataset import TrainingCase
from napari_bayes_nnunet.io.images.nifti import read_labels

from .held_back import held_back_cases, make_parser, read_image


def main() -> None:
    """Print when the results become stable, and how far they are from the final results."""
    parser = make_parser(__doc__)
    parser.add_argument("--mirroring", default="none")
    options = parser.parse_args()
    ensemble = Ensemble(options.run)
    cases = list(held_back_cases(options.dataset, options.split))
    results = []
    for case in cases:
        results.append(
            measure(ensemble, case, members=options.members, mirroring=options.mirroring)
        )
        print(case.name, *results[-1], flush=True)
    stops, changes, differing = (np.array(column) for column in zip(*results, strict=True))
    print(f"{len(cases)} volumes, {options.members} members, mirroring {options.mirroring}")
    for stop, count in sorted(Counter(stops.tolist()).items()):
        print(f"Stopped after {stop} members: {count} volumes")
    print(f"Members used: {stops.mean():.1f} of {options.members} on average")
    print(
        f"Change of the Dice: {changes.mean():+.4f} on average, "
        f"{changes.min():+.4f} to {changes.max():+.4f}"
    )
    print(
        f"Differing labels: {differing.mean():.2%} of the foreground on average, "
        f"at most {differing.max():.2%}"
    )


def measure(
    ensemble: Ensemble, case: TrainingCase, *, members: int, mirroring: str
) -> tuple[int, float, float]:
    """Return the members used, the change of the mean Dice and the changed foreground share."""
    image, spacing = read_image(case)
    reference = read_labels(case.label).voxels
    stability, stopped, stop = Stability(), None, members
    interval = stability_interval(choose_members(ensemble.folder, "multi", members))
    settings = SegmentationSettings(members=members, mirroring=mirroring)
    for snapshot in ensemble.steps(image, spacing, settings):
        labels = snapshot.labels
        is_checked = stopped is None and snapshot.done % interval == 0
        if is_checked and stability.update(labels, snapshot.entropy):
            stopped, stop = labels, snapshot.done
    stopped = labels if stopped is None else stopped
    foreground = np.count_nonzero((labels > 0) | (stopped > 0))
    change = mean_dice(stopped, reference, ensemble) - mean_dice(labels, reference, ensemble)
    return stop, change, np.count_nonzero(labels != stopped) / max(1, foreground)


def mean_dice(labels: np.ndarray, reference: np.ndarray, ensemble: Ensemble) -> float:
    """Return the Dice averaged over the structures."""
    return float(np.nanmean(list(dice(labels, reference, ensemble.structures).values())))


if __name__ == "__main__":
    main()
