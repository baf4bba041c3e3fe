"""Splits of ACDC, stratified by pathology group: 16 validation patients, or two halves.

python -m benchmarks.demo_split ACDC > benchmarks/acdc_splits_final.json
python -m benchmarks.demo_split ACDC --halves > benchmarks/acdc_halves.json

All benchmarks of the built-in ensemble use the 16 validation patients. Two trainings on the halves
(``bayes-nnunet train --split benchmarks/acdc_halves.json --fold 0``, and 1) leave each patient out
once. Both splits are committed next to this file.
"""

import argparse
import csv
import json
from pathlib import Path

import numpy as np

from napari_bayes_nnunet.io.dataset.patients import patient_of
from napari_bayes_nnunet.io.dataset.raw_dataset import read_dataset

VALIDATION_PATIENTS = 16
SEED = 2022


def main() -> None:
    """Print the split in the format of nnU-Net's splits_final.json."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--halves", action="store_true")
    options = parser.parse_args()
    groups = read_pathology_groups(options.dataset / "cases.csv")
    count = len(groups) // 2 if options.halves else VALIDATION_PATIENTS
    kept, drawn = stratified_holdout(groups, count=count, seed=SEED)
    names = [case.name for case in read_dataset(options.dataset).cases]
    first, second = ([name for name in names if patient_of(name) in p] for p in (kept, drawn))
    folds = [{"train": first, "val": second}]
    if options.halves:
        folds.append({"train": second, "val": first})
    print(json.dumps(folds, indent=1))


def stratified_holdout(
    groups: dict[str, str], *, count: int, seed: int
) -> tuple[list[str], list[str]]:
    """Draw ``count`` patients, from each group in proportion; return (kept, drawn), sorted."""
    rng = np.random.default_rng(seed)
    members: dict[str, list[str]] = {}
    for patient in sorted(groups):
        members.setdefault(groups[patient], []).append(patient)
    shares = {g: count * len(p) / len(groups) for g, p in members.items()}
    quota = {g: int(share) for g, share in shares.items()}
    by_remainder = sorted(shares, key=lambda g: (quota[g] - shares[g], g))
    for group in by_remainder[: count - sum(quota.values())]:
        quota[group] += 1
    drawn = sorted(
        str(p) for g, patients in members.items() for p in rng.permutation(patients)[: quota[g]]
    )
    return sorted(set(groups) - set(drawn)), drawn


def read_pathology_groups(path: Path) -> dict[str, str]:
    """Read the group of each patient from ``cases.csv``, which has one row per patient."""
    with path.open(newline="", encoding="utf-8") as stream:
        return {row["patient"]: row["group"] for row in csv.DictReader(stream)}


if __name__ == "__main__":
    main()
