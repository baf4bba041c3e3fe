"""Tests of commands in an environment whose torch is missing or damaged."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import napari_bayes_nnunet
from napari_bayes_nnunet.core.torch_import import NO_TORCH

from ..helpers.data.cines import make_cine
from ..helpers.data.evaluations import answer, heart, name_labels, write_answer, write_reference
from ..helpers.processes.command import environment

DEMO = Path(napari_bayes_nnunet.__file__).parent / "demo_ensemble"
MISSING = "No module named 'torch'"
DAMAGED = "libtorch.so: cannot open shared object file"
TORCHES = {
    MISSING: f'raise ModuleNotFoundError("{MISSING}", name="torch")',
    DAMAGED: f'raise OSError("{DAMAGED}")',
}
EDIT_AND_EXPORT = """
import sys
from pathlib import Path
from napari_bayes_nnunet.app.review.export import export_review
from napari_bayes_nnunet.app.review.session import ReviewSession
from napari_bayes_nnunet.io.images.nifti import write_labels
from napari_bayes_nnunet.io.study.study import read_study
from napari_bayes_nnunet.widgets.review.dock import ReviewWidget

study = read_study(Path(sys.argv[1]))
study.edited[0, 0, 0, 0] = 1
write_labels(study.folder / "edited.nii.gz", study.edited, study.info.geometry)
session = ReviewSession(read_study(study.folder))
export_review(session, None, Path(sys.argv[2]), queue=[])
"""
LOAD_ON_A_WORKER = """
import sys
from pathlib import Path
from types import SimpleNamespace
from napari_bayes_nnunet.app.cluster.worker_call import EnsembleCache
from napari_bayes_nnunet.app.cohort import run

run.worker_cache = EnsembleCache
settings = SimpleNamespace(device="cpu", precision="auto")
request = SimpleNamespace(settings=settings)
run.run_study(SimpleNamespace(request=request, ensemble=Path(sys.argv[1]), fingerprint=""))
"""


@pytest.fixture
def reason(request):
    """Return why torch cannot be imported."""
    return getattr(request, "param", MISSING)


@pytest.fixture
def run(reason, tmp_path):
    """Return a function that runs Python with a torch that cannot be imported."""
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / "torch.py").write_text(TORCHES[reason], encoding="utf-8")
    own = environment()
    path = f"{tmp_path / 'path'}:{own.get('PYTHONPATH', '')}"

    waiting, kept_open = os.pipe()  # a closed input ends the segmentation process

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *map(str, arguments)],
            env={**own, "PYTHONPATH": path},
            stdin=waiting,
            capture_output=True,
            text=True,
            timeout=600,
        )

    yield run
    os.close(waiting)
    os.close(kept_open)


@pytest.mark.parametrize(
    ("reason", "arguments"),
    [(MISSING, ["inspect", DEMO]), (DAMAGED, ["devices"])],
    indirect=["reason"],
)
def test_commands_that_need_torch_name_it(run, reason, arguments):
    done = run("-m", "napari_bayes_nnunet", *arguments)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [f"Error: {NO_TORCH.format(reason=reason)}"]


def test_worker_of_a_folder_names_it(run, reason):
    done = run("-c", LOAD_ON_A_WORKER, DEMO)
    assert done.stderr.splitlines()[-1].endswith(f"AppError: {NO_TORCH.format(reason=reason)}")


def test_segmentation_process_names_it(run, reason, tmp_path):
    done = run("-m", "napari_bayes_nnunet.app.worker", "--scratch", tmp_path)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == NO_TORCH.format(reason=reason)


def test_edit_export_and_evaluation_need_no_torch(run, tmp_path):
    study = make_cine(tmp_path / "study")
    done = run("-c", EDIT_AND_EXPORT, study, tmp_path)
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.glob("*_report.html"))
    write_answer(tmp_path / "multi", "p1", answer(1))
    write_reference(tmp_path / "labels", "p1", heart())
    name_labels(tmp_path / "labels")
    arguments = ("evaluate", tmp_path / "multi", tmp_path / "labels", "-o", tmp_path / "report")
    done = run("-m", "napari_bayes_nnunet", *arguments)
    assert done.returncode == 0, done.stderr
