"""Profile of a site learnt from simulated sites: error of the numbers before and after it.

bayes-nnunet predict DEMO IMAGES -o PREDICTIONS --mirroring none
python -m benchmarks.site_profile PREDICTIONS DATASET [--repeats N] [--contours]

IMAGES are those of the validation patients of the built-in ensemble in DATASET, which is ACDC as an
nnU-Net raw dataset. A simulated site draws the reference by a rule. Its rule scatters as readers
do: the offset of each study is drawn around that of the site, and the base is lower in most studies
but not in all. In each of N repeats a profile is learnt from 2, 5 and 10 patients, and the
predictions for the others are drawn by it, whatever the number of studies; with --contours, the
offsets on which the studies agree are drawn, too. Errors are those of the LV against the site's
labels.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from napari_bayes_nnunet.core.heart.function import MYOCARDIUM_G_PER_ML
from napari_bayes_nnunet.core.heart.measurements import Structure, volumes_ml
from napari_bayes_nnunet.core.heart.site_habits import (
    BORDERS,
    LEAST_MM,
    Habit,
    Item,
    LabelPair,
    learn_profile,
    observe,
)
from napari_bayes_nnunet.core.heart.site_profile import SiteProfile, draw_by_profile
from napari_bayes_nnunet.core.heart.slice_volumes import base_is_first
from napari_bayes_nnunet.core.types import Spacing
from napari_bayes_nnunet.io.dataset.patients import patient_of
from napari_bayes_nnunet.io.dataset.raw_dataset import read_dataset
from napari_bayes_nnunet.io.images.nifti import read_labels

from .command_line import run
from .results import markdown_table

HEART: Final[dict[Structure, int]] = {"RV": 1, "MYO": 2, "LV": 3}
LEARNT_FROM: Final = (2, 5, 10)
MEASURES: Final = {"EDV": "mL", "ESV": "mL", "EF": "points", "mass": "g"}
MARGIN: Final = 12
"""Voxels kept around the heart."""
Ends: TypeAlias = dict[str, NDArray[np.uint8]]
"""ED and ES → (Z, Y, X) labels."""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """How a simulated site draws.

    ``es_base``: slices by which its base at ES is lower in a ``share`` of its studies;
    ``offset_mm``: mean and SD over its studies of the offset of each contour.
    """

    es_base: Mapping[Structure, float] = field(default_factory=dict)
    share: float = 0.8
    offset_mm: Mapping[Structure, tuple[float, float]] = field(default_factory=dict)

    def of_a_study(self, rng: np.random.Generator) -> SiteProfile:
        """Return how one study is drawn."""
        is_lower = rng.random() < self.share
        return SiteProfile(
            name="study",
            es_base=self.es_base if is_lower else {},
            offset_mm={name: rng.normal(*about) for name, about in self.offset_mm.items()},
        )


RULES: Final = {
    "no convention": Rule(),
    "base at ES 1 slice lower": Rule(es_base={"LV": 1, "RV": 1}),
    "wide: LV +1 mm, epicardium +0.5 mm": Rule(offset_mm={"LV": (1, 0.4), "MYO": (0.5, 0.4)}),
    "narrow: LV −1 mm, epicardium −0.5 mm": Rule(offset_mm={"LV": (-1, 0.4), "MYO": (-0.5, 0.4)}),
    "base 1 lower, LV −0.7 mm": Rule(
        es_base={"LV": 1, "RV": 1}, offset_mm={"LV": (-0.7, 0.4), "RV": (-0.7, 0.4)}
    ),
}


@dataclass(frozen=True, kw_only=True)
class Patient:
    """Reference and prediction of a patient at ED and ES; ``spacing`` (z, y, x) in mm."""

    reference: Ends
    predicted: Ends
    spacing: Spacing

    def pairs(self, site: Ends) -> Mapping[str, LabelPair]:
        """Return prediction and the labels of a site."""
        return {end: (self.predicted[end], site[end]) for end in ("ED", "ES")}

    def drawn(self, labels: Ends, profile: SiteProfile) -> Ends:
        """Return labels drawn by a profile."""
        first = {"ED": None, "ES": base_is_first(labels["ES"])}
        return {
            end: draw_by_profile(
                planes,
                profile,
                HEART,
                spacing=self.spacing,
                image=planes,
                es_base_first=first[end],
            )
            for end, planes in labels.items()
        }

    def numbers(self, labels: Ends) -> dict[str, float]:
        """Return the numbers of the LV."""
        edv, esv = (volumes_ml(labels[end], self.spacing, HEART)["LV"] for end in ("ED", "ES"))
        mass = volumes_ml(labels["ED"], self.spacing, HEART)["MYO"] * MYOCARDIUM_G_PER_ML
        return {"EDV": edv, "ESV": esv, "EF": 100 * (edv - esv) / edv, "mass": mass}


def read_patients(predictions: Path, dataset: Path) -> Iterator[Patient]:
    """Yield the patients that have two predictions, ED first: the phase with the larger LV."""
    found: dict[str, list[tuple[NDArray[np.uint8], NDArray[np.uint8], Spacing]]] = defaultdict(list)
    for case in read_dataset(dataset).cases:
        if (file := predictions / f"{case.name}.nii.gz").exists():
            reference = read_labels(case.label)
            phase = reference.voxels, read_labels(file).voxels, reference.spacing
            found[patient_of(case.name)].append(phase)
    for phases in found.values():
        if len(phases) == 2:
            ed, es = sorted(phases, key=lambda phase: -np.count_nonzero(phase[0] == HEART["LV"]))
            heart = np.argwhere(np.any([ed[0], ed[1], es[0], es[1]], axis=(0, 1)))
            y, x = (
                slice(max(low - MARGIN, 0), high + 1 + MARGIN)
                for low, high in zip(heart.min(axis=0), heart.max(axis=0), strict=True)
            )
            yield Patient(
                reference={"ED": ed[0][:, y, x], "ES": es[0][:, y, x]},
                predicted={"ED": ed[1][:, y, x], "ES": es[1][:, y, x]},
                spacing=ed[2],
            )


Errors: TypeAlias = dict[tuple[int, str], list[tuple[float, float]]]
"""Number of studies and measure → error before and after, of each test patient."""


def with_contours(profile: SiteProfile, shown: Sequence[Mapping[Item, float]]) -> SiteProfile:
    """Return a learnt profile with the offsets on which the studies agree."""
    habits = {
        name: Habit.of_values([study["offset_mm", name] for study in shown], least=LEAST_MM)
        for name in BORDERS
    }
    return replace(profile, offset_mm={n: h.value for n, h in habits.items() if h.is_learnt})


def simulate(
    patients: Sequence[Patient], rule: Rule, repeats: int, *, contours: bool
) -> tuple[Errors, list[str]]:
    """Return the errors, and what was learnt from `LEARNT_FROM` studies in each repeat."""
    errors: Errors = defaultdict(list)
    learnt = []
    for seed in range(repeats):
        rng = np.random.default_rng(seed)
        order = rng.permutation(len(patients))
        sites = [p.drawn(p.reference, rule.of_a_study(rng)) for p in patients]
        shown = [
            observe(p.pairs(site), HEART, p.spacing, base_first=base_is_first(p.predicted["ES"]))
            for p, site in zip(patients, sites, strict=True)
        ]
        for count in LEARNT_FROM:
            studies = [shown[index] for index in order[:count]]
            profile = learn_profile("site", studies)
            profile = with_contours(profile, studies) if contours else profile
            items = [f"{s} {n:g} slices" for s, n in profile.es_base.items() if n]
            items += [f"{s} {mm:+.1f} mm" for s, mm in profile.offset_mm.items()]
            learnt.append(f"{count}: {', '.join(items) or 'nothing'}")
            for index in order[count:]:
                patient = patients[index]
                after = patient.drawn(patient.predicted, replace(profile, learnt_from=0))
                truth = patient.numbers(sites[index])
                numbers = patient.numbers(patient.predicted), patient.numbers(after)
                for name in MEASURES:
                    before, now = (values[name] - truth[name] for values in numbers)
                    errors[count, name].append((before, now))
    return errors, learnt


def rows_of(rule: str, errors: Errors) -> Iterator[list[str]]:
    """Yield a row for each number of studies: bias and absolute error, before → after."""
    for count in LEARNT_FROM:
        cells = []
        for name in MEASURES:
            values = np.array(errors[count, name])
            bias, absolute = values.mean(axis=0), np.abs(values).mean(axis=0)
            cells.append(f"{bias[0]:+.1f} → {bias[1]:+.1f}; {absolute[0]:.1f} → {absolute[1]:.1f}")
        ef = np.abs(np.array(errors[count, "EF"])).mean(axis=0)
        yield [rule, str(count), *cells, f"{100 * (ef[1] / ef[0] - 1):+.0f} %"]


def main(predictions: Path, dataset: Path, *, repeats: int = 10, contours: bool = False) -> None:
    """Print what was learnt, and the table."""
    patients = [*read_patients(predictions, dataset)]
    print(f"{len(patients)} patients\n", flush=True)
    rows = []
    for name, rule in RULES.items():
        errors, learnt = simulate(patients, rule, repeats, contours=contours)
        rows += rows_of(name, errors)
        print(name, *learnt, sep="\n  ", flush=True)
    heads = [f"{name}, {unit}" for name, unit in MEASURES.items()]
    print(markdown_table(["rule", "studies", *heads, "EF error"], rows))


if __name__ == "__main__":
    run(__doc__, main)
