"""Tasks of a real worker: errors of a study, and errors of the worker."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from socket import gethostname

import numpy as np
import pytest

from napari_bayes_nnunet.app import AppError
from napari_bayes_nnunet.app.cluster import task_queue
from napari_bayes_nnunet.app.cluster.task_queue import open_cluster, run_tasks
from napari_bayes_nnunet.app.cluster.worker_call import REFUSED
from napari_bayes_nnunet.app.cohort.run import StudyTask, run_study
from napari_bayes_nnunet.app.prediction.request import PredictionRequest
from napari_bayes_nnunet.app.segmentation.ensemble import Ensemble
from napari_bayes_nnunet.app.segmentation.settings import SegmentationSettings
from napari_bayes_nnunet.core.problems import Action, Remedy
from napari_bayes_nnunet.io.search.studies import find_studies

from ...helpers.data.cohorts import write_volume
from ...helpers.data.models import make_model
from ...helpers.processes import study_work
from ...helpers.processes.clusters import cluster


@pytest.fixture(scope="module")
def ensemble(tmp_path_factory) -> Path:
    return make_model(tmp_path_factory.mktemp("model"), members=1)


@pytest.fixture(scope="module")
def address(tmp_path_factory, warm_command) -> Iterator[str]:
    """Return the address of a cluster of one worker."""
    with cluster(tmp_path_factory.mktemp("cluster"), warm=warm_command) as made:
        made.add_workers(1)
        with open_cluster(made.address) as client:
            client.wait_for_workers(1, timeout=60)
        yield made.address


@pytest.fixture
def short_waits(monkeypatch) -> None:
    monkeypatch.setattr(task_queue, "PAUSE", 0.2)
    monkeypatch.setattr(task_queue, "_POLL_SECONDS", 0.1)
    monkeypatch.setattr(task_queue, "REFUSAL_SECONDS", 0.5)


@pytest.fixture
def tasks(ensemble, tmp_path) -> list[StudyTask]:
    """Two studies for a made ensemble."""
    for number in range(2):
        write_volume(tmp_path / "images" / f"{number}.nii.gz", seed=number)
    output = tmp_path / "out"
    settings = SegmentationSettings(members=1, mirroring="none", device="cpu")
    asked = PredictionRequest(images=(tmp_path / "images",), output=output, settings=settings)
    found = find_studies(asked.images, output=output)
    return [StudyTask(ensemble=ensemble, request=asked, study=study) for study in found.inputs]


def test_worker_with_broken_cuda_is_replaced(tasks, address):
    with open_cluster(address) as client:
        before = set(client.nthreads())
        rows = dict(run_tasks(client, tasks, study_work.break_cuda_once))
        assert not before & set(client.nthreads())
    assert [row.outcome for row in rows.values()] == ["done", "done"]


def test_device_that_no_worker_has_ends_the_run(tasks, address, short_waits):
    settings = SegmentationSettings(device="cuda:99")
    elsewhere = [replace(task, request=replace(task.request, settings=settings)) for task in tasks]
    with open_cluster(address) as client, pytest.raises(AppError) as caught:
        list(run_tasks(client, elsewhere, run_study))
    assert REFUSED.format(computer=gethostname(), reason="") in caught.value.values["reason"]
    assert caught.value.remedies == (Remedy(Action.CONTINUE),)


def test_unreadable_ensemble_ends_the_run(tasks, address, short_waits):
    with open_cluster(address) as client, pytest.raises(AppError) as caught:
        list(run_tasks(client, tasks, study_work.load_in_vain))
    assert "(OSError: [Errno 116] Stale file handle)" in caught.value.values["reason"]
    assert caught.value.remedies == (Remedy(Action.CONTINUE),)


def test_tasks_of_a_worker_share_one_ensemble(ensemble, address):
    tasks = [(ensemble, seed) for seed in range(3)]
    with open_cluster(address) as client:
        found = dict(run_tasks(client, tasks, study_work.segment_noise, folders=[ensemble]))
    assert len({(process, number) for process, number, _ in found.values()}) == 1
    here = Ensemble(ensemble, device="cpu", precision="full")
    for task in tasks:
        expected = here.segment(study_work.noise(task[1]), (8.0, 1.5, 1.5), members=3)
        np.testing.assert_array_equal(found[task][2], expected.labels)
