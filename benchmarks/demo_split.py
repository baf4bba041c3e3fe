"""Draw the 16 validation patients of the demo ensemble: once, stratified by pathology group.

python benchmarks/demo_split.py ACDC > benchmarks/acdc_splits_final.json

They are *the* validation patients of every benchmark here; the list is committed beside this file.
"""

import argparse
import json
from pathlib import Path

from napari_bayes_nnunet.io.dataset.raw_dataset import (
    patient_of,
    read_dataset,
    read_pathology_groups,
    stratified_holdout,
)

VALIDATION_PATIENTS = 16
SEED = 2022


def main() -> None:
    """Print the split in the form of nnU-Net's splits_final.json."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("dataset", type=Path)
    folder = parser.parse_args().dataset
    groups = read_pathology_groups(folder / "cases.csv")
    kept, drawn = stratified_holdout(groups, count=VALIDATION_PATIENTS, seed=SEED)
    names = [case.name for case in read_dataset(folder).cases]
    split = {
        "train": [name for name in names if patient_of(name) in kept],
        "val": [name for name in names if patient_of(name) in drawn],
    }
    print(json.dumps([split], indent=1))


if __name__ == "__main__":
    main()
