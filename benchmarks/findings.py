"""Count findings that contradict anatomy or the cardiac cycle, and the errors in their slices.

    python -m benchmarks.findings ENSEMBLE STUDIES [LABELS]

STUDIES are written by predict --save study. ENSEMBLE has the usual range of the mass of its
training patients. LABELS has NAME.nii.gz for each study NAME; structures that its dataset.json does
not name are not judged. Without LABELS the findings are only counted. A slice is wrong if at least
50 mm² are more than 3 mm from the reference contour. End-diastole and end-systole of a patient have
one queue; a slice is beyond the queue if it is not among the first 30 % of it.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from napari_bayes_nnunet.app.segmentation.calibration import read_calibrations
from napari_bayes_nnunet.core.heart.plausibility import (
    Finding,
    MassRange,
    slice_findings,
    volume_findings,
)
from napari_bayes_nnunet.core.heart.slice_volumes import PhaseVolumes
from napari_bayes_nnunet.core.metrics.detection import gross_errors
from napari_bayes_nnunet.core.review.queue import review_queue, slice_scores
from napari_bayes_nnunet.core.review.stop_rule import urgent_places
from napari_bayes_nnunet.core.types import Place
from napari_bayes_nnunet.io.dataset.patients import patient_of
from napari_bayes_nnunet.io.images.nifti import read_labels
from napari_bayes_nnunet.io.study.study import Study, read_study

from .command_line import run
from .results import markdown_table

WRONG_MM2 = 50.0


@dataclass
class Patient:
    """Phases of a patient: volumes, scores, findings in single slices, and wrong area per slice."""

    volumes: dict[int | None, PhaseVolumes] = field(default_factory=dict)
    scores: dict[int | None, Mapping[str, np.ndarray]] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    wrong: dict[Place, float] = field(default_factory=dict)
    judged: set[str] = field(default_factory=set)

    def add(self, study: Study, labels: Path | None) -> None:
        """Add all phases of a study; a study of one volume becomes the next phase."""
        spacing, structures = study.info.geometry.spacing, dict(study.info.structures)
        for own, posterior in study.posteriors.items():
            phase = len(self.volumes) + 1 if own is None else own
            volume = posterior.prediction
            self.volumes[phase] = PhaseVolumes.from_labels(volume, posterior, spacing, structures)
            self.scores[phase] = slice_scores(posterior, structures, spacing)
            for z, plane in enumerate(volume):
                self.findings += slice_findings(plane, spacing[1:], structures, (phase, z))
            if labels is not None:
                names = json.loads((labels.parent / "dataset.json").read_text())["labels"]
                reference = read_labels(labels / f"{study.info.case}.nii.gz").voxels
                self._compare(phase, volume, reference, spacing, structures, names)

    def _compare(self, phase, volume, reference, spacing, structures, names) -> None:
        """Note the wrong area of each slice, of the structures that the reference names."""
        self.judged = {name for name in structures if name in names}
        ours, theirs = np.zeros_like(volume), np.zeros_like(volume)
        for name in self.judged:
            ours[volume == structures[name]] = structures[name]
            theirs[reference == names[name]] = structures[name]
        gross = gross_errors(ours, theirs, spacing).sum(axis=(1, 2)) * spacing[1] * spacing[2]
        self.wrong |= {(phase, z): float(area) for z, area in enumerate(gross)}

    def all_findings(self, mass_range: MassRange | None) -> Iterator[Finding]:
        """Yield all findings, each kind and structure once per slice."""
        sizes = {p: v.labels["LV"].sum() for p, v in self.volumes.items() if "LV" in v.labels}
        ed, es = max(sizes, key=sizes.__getitem__), min(sizes, key=sizes.__getitem__)
        same = len({len(v.labels["LV"]) for v in self.volumes.values()}) == 1
        usual = mass_range if same else None  # else slices are missing in one of the phases
        yield from volume_findings(self.volumes, ed=ed, es=es, mass_range=usual)
        yield from self.findings


def read_patients(studies: Path, labels: Path | None) -> dict[str, Patient]:
    """Return the patients with at least two phases."""
    patients: dict[str, Patient] = defaultdict(Patient)
    for file in sorted(studies.glob("*/study.json")):
        study = read_study(file.parent)
        patients[patient_of(study.info.case)].add(study, labels)
    return {name: patient for name, patient in patients.items() if len(patient.volumes) > 1}


def main(ensemble: Path, studies: Path, labels: Path | None = None) -> None:
    """Print a row for each kind of finding and structure."""
    mass_range = next((c.mass_range for c in read_calibrations(ensemble) if c.mass_range), None)
    rows: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    slices: dict[str, set[tuple[str, Place]]] = defaultdict(set)
    patients = read_patients(studies, labels)
    for name, patient in patients.items():
        items = review_queue(patient.scores)
        urgent = urgent_places([(item.phase, item.z) for item in items])
        for finding in patient.all_findings(mass_range):
            wrong = patient.wrong.get(finding.place, 0.0) >= WRONG_MM2
            beyond = finding.place not in urgent
            found = {"found": True, "wrong": wrong, "beyond": beyond, "both": wrong and beyond}
            rows[finding.fault.value, finding.structure].update(k for k, v in found.items() if v)
            for key, value in found.items():
                if value:
                    slices[key].add((name, finding.place))
    every = [area for patient in patients.values() for area in patient.wrong.values()]
    share = np.mean(np.array(every) >= WRONG_MM2) if every else float("nan")
    print(f"{len(patients)} patients, {len(every)} slices, {share:.0%} of them wrong\n")
    columns = ("found", "wrong", "beyond", "both")
    lines = [(*key, *(row[c] for c in columns)) for key, row in sorted(rows.items())]
    lines.append(("all, slices", "", *(len(slices[c]) for c in columns)))
    heads = "finding", "structure", "found", "slice is wrong", "beyond the queue", "of these wrong"
    print(markdown_table(heads, lines))


if __name__ == "__main__":
    run(__doc__, main)
