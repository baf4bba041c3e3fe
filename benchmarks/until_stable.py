"""What ``predict --until-stable`` saves and costs: on the validation cases of a training.

python -m benchmarks.until_stable RUN DATASET [--members 30] [--mirroring none]

Every case is segmented by all members, and what the rule would have stopped at is compared with the
end. Prints after how many members how many volumes would have stopped.
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

from .held_back import held_back, image_of, parser


def main() -> None:
    """Print when the answers come to rest, and how far they are from the end then."""
    words = parser(__doc__)
    words.add_argument("--mirroring", default="none")
    asked = words.parse_args()
    ensemble = Ensemble(asked.run)
    cases = list(held_back(asked.dataset, asked.split))
    found = []
    for case in cases:
        found.append(measure(ensemble, case, members=asked.members, mirroring=asked.mirroring))
        print(case.name, *found[-1], flush=True)
    stops, changes, differing = (np.array(column) for column in zip(*found, strict=True))
    print(f"{len(cases)} volumes, {asked.members} members, mirroring {asked.mirroring}")
    for stop, count in sorted(Counter(stops.tolist()).items()):
        print(f"{stop} members: {count} volumes")
    print(f"members: {stops.mean():.1f} of {asked.members} on average")
    print(f"Dice: {changes.mean():+.4f} on average, {changes.min():+.4f} to {changes.max():+.4f}")
    print(
        f"labels that differ: {differing.mean():.2%} of the foreground, most {differing.max():.2%}"
    )


def measure(
    ensemble: Ensemble, case: TrainingCase, *, members: int, mirroring: str
) -> tuple[int, float, float]:
    """Members at the stop, change of the mean Dice by it, share of the foreground it changes."""
    image, spacing = image_of(case)
    reference = read_labels(case.label).voxels
    stability, stopped, stop = Stability(), None, members
    every = stability_interval(choose_members(ensemble.folder, "multi", members))
    settings = SegmentationSettings(members=members, mirroring=mirroring)
    for snapshot in ensemble.steps(image, spacing, settings):
        labels = snapshot.labels
        looks = stopped is None and snapshot.done % every == 0
        if looks and stability.update(labels, snapshot.entropy):
            stopped, stop = labels, snapshot.done
    stopped = labels if stopped is None else stopped
    foreground = np.count_nonzero((labels > 0) | (stopped > 0))
    change = mean_dice(stopped, reference, ensemble) - mean_dice(labels, reference, ensemble)
    return stop, change, np.count_nonzero(labels != stopped) / max(1, foreground)


def mean_dice(labels: np.ndarray, reference: np.ndarray, ensemble: Ensemble) -> float:
    """Over the structures."""
    return float(np.nanmean(list(dice(labels, reference, ensemble.structures).values())))


if __name__ == "__main__":
    main()
