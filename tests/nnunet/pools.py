"""Preprocessing of a dataset once with threads and once with nnU-Net's pools of processes.

The arguments are the dataset, the folder of the two workspaces, and how processes start.
"""

import multiprocessing
import os
import sys
from pathlib import Path

from napari_bayes_nnunet.io.dataset.raw_dataset import read_dataset
from napari_bayes_nnunet.nnunet import planning


def main():
    data, folder, method = sys.argv[1:]
    context = multiprocessing.get_context(method)
    multiprocessing.get_context = lambda name=None: context
    for workers in ("threads", "processes"):
        planning.is_small = lambda dataset, workers=workers: workers == "threads"
        workspace = Path(folder) / workers
        os.environ.update(planning.workspace_environment(workspace))
        planning.plan_and_preprocess(read_dataset(Path(data)), workspace, configuration="2d")


if __name__ == "__main__":
    main()
