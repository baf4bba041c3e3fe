"""Apply the stop rule of an ensemble to patients of another scanner, of whom only the LV is known.

    python -m benchmarks.stop_rule ENSEMBLE STUDIES LABELS

STUDIES are written by predict --save study, one volume each; LABELS has NAME.nii.gz for each study
NAME, whose dataset.json names the LV. Each slice of a patient's queue takes the LV of the
reference, until the rule says stop for the LV EF. A patient is covered if the EF then differs by no
more than the target from that with all slices corrected. A second table has the intervals of the
numbers after some accepted slices.
"""

from __future__ import annotations

import json
from collections import defaultdict
from functools import partial
from pathlib import Path

import numpy as np
from scipy.stats import binomtest

from napari_bayes_nnunet.app.segmentation.calibration import read_calibrations
from napari_bayes_nnunet.core.heart.slice_volumes import base_is_first, is_basal, slice_volumes
from napari_bayes_nnunet.core.metrics.conformal import COVERAGES, RemainingChange
from napari_bayes_nnunet.core.review.stop_rule import (
    ReferencedVolume,
    ReviewPath,
    numbers_during_review,
    queue_places,
    urgent_places,
)
from napari_bayes_nnunet.core.types import Place
from napari_bayes_nnunet.io.dataset.patients import patient_of
from napari_bayes_nnunet.io.images.nifti import read_labels
from napari_bayes_nnunet.io.study.study import read_study
from napari_bayes_nnunet.paper.review.stopping import SLICES_ACCEPTED, interval_result

from .command_line import run
from .results import markdown_table

TARGETS = 3, 5, 10


def read_patients(studies: Path, labels: Path) -> dict[str, tuple[dict[str, ReviewPath], int]]:
    """Return the numbers of each patient during the review, and the slices that it takes at least.

    These are the slices up to the last basal one with a high score. Patients whose EF is unknown at
    some step are left out.
    """
    volumes: dict[str, dict[int, ReferencedVolume]] = defaultdict(dict)
    basal: dict[str, set[Place]] = defaultdict(set)
    label = json.loads((labels.parent / "dataset.json").read_text())["labels"]["LV"]
    for file in sorted(studies.glob("*/study.json")):
        study = read_study(file.parent)
        (posterior,) = study.posteriors.values()
        spacing, structures = study.info.geometry.spacing, dict(study.info.structures)
        reference = read_labels(labels / f"{study.info.case}.nii.gz").voxels
        name = patient_of(study.info.case)
        phase = len(volumes[name]) + 1
        whole = ReferencedVolume.compare(posterior, reference, spacing, structures)
        volumes[name][phase] = ReferencedVolume(
            predicted={"LV": whole.predicted["LV"]},
            members={"LV": whole.members["LV"]},
            reference={"LV": slice_volumes(reference, spacing, label)},
            scores=whole.scores,
        )
        first = base_is_first(posterior.prediction)
        depth = range(len(reference))
        labelled = posterior.prediction
        basal[name] |= {(phase, z) for z in depth if is_basal(labelled, z, base_first=first)}
    read = {}
    for name, phases in volumes.items():
        sizes = [float(volume.reference["LV"].sum()) for volume in phases.values()]
        ed, es = (1, 2) if sizes[0] >= sizes[1] else (2, 1)
        paths = numbers_during_review(phases, ed=ed, es=es)
        places = queue_places(phases)
        waits = [places.index(p) + 1 for p in urgent_places(places) if p in basal[name]]
        if "LV EF" in paths:
            read[name] = paths, max(waits, default=0)
    return read


def intervals(rules: dict[str, RemainingChange], paths: list[dict[str, ReviewPath]]) -> str:
    """Return a table of the numbers that lie in their interval once all slices are corrected."""
    rows = []
    for name in sorted({name for of_patient in paths for name in of_patient} & rules.keys()):
        known = [(of_patient[name], rules[name]) for of_patient in paths if name in of_patient]
        for level in COVERAGES:
            of_level = partial(interval_result, name, known, level=level)
            found = [result for done in SLICES_ACCEPTED for result in of_level(slices=done)]
            cells = [f"{r.held} of {r.patients}, ± {r.half_width:.1f}" for r in found]
            rows.append((name, f"{level} %", *cells, *[""] * (len(SLICES_ACCEPTED) - len(cells))))
    return markdown_table(("", "level", *(f"after {done}" for done in SLICES_ACCEPTED)), rows)


def main(ensemble: Path, studies: Path, labels: Path) -> None:
    """Print a row for each target and share of the patients."""
    rules = next(c.review for c in read_calibrations(ensemble) if "LV EF" in c.review)
    rule, patients = rules["LV EF"], read_patients(studies, labels)
    lv_ef = [(paths["LV EF"], wait) for paths, wait in patients.values()]
    rows = []
    for target in TARGETS:
        for level in COVERAGES:
            stops, errors = [], []
            spread = rule.spread_for(target, level)
            for path, wait in lv_ef:
                length = len(path.spreads) - 1
                stops.append(length if spread is None else max(path.first_step(spread), wait))
                errors.append(abs(float(path.values[stops[-1]] - path.values[-1])))
            covered = sum(error <= target for error in errors)
            low, high = binomtest(covered, len(errors)).proportion_ci(0.95, method="exact")
            within = f"{covered} of {len(errors)} ({100 * low:.0f}–{100 * high:.0f} %)"
            rows.append((f"± {target}", f"{level} %", f"{np.mean(stops):.1f}", within, max(errors)))
    length = np.mean([len(path.spreads) - 1 for path, _ in lv_ef])
    first = np.array([abs(path.values[0] - path.values[-1]) for path, _ in lv_ef])
    print(f"{len(patients)} patients, {length:.1f} slices in the queue on average")
    print(f"error of the prediction: mean {first.mean():.1f} points, largest {first.max():.1f}\n")
    heads = "target, points", "share", "slices", "within the target", "largest change"
    print(markdown_table(heads, [(*row[:4], f"{row[4]:.1f}") for row in rows]))
    print(intervals(rules, [paths for paths, _ in patients.values()]))


if __name__ == "__main__":
    run(__doc__, main)
