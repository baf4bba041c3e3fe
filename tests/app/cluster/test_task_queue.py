"""Tasks on a cluster whose scheduler and workers are processes of their own."""

import os
import random
import signal
import threading
from contextlib import contextmanager
from pathlib import Path
from socket import gethostname

import pytest

from napari_bayes_nnunet import __version__
from napari_bayes_nnunet.app import AppError
from napari_bayes_nnunet.app.cluster import task_queue
from napari_bayes_nnunet.app.cluster.connection import connect, count_slots
from napari_bayes_nnunet.app.cluster.task_queue import GAVE_UP, open_cluster, run_tasks
from napari_bayes_nnunet.app.cluster.worker_call import (
    FAILED_TASK,
    MISSING_FOLDER,
    REFUSED,
    worker_problem,
)
from napari_bayes_nnunet.core.problems import Action, Remedy

from ...helpers.processes import cluster_work
from ...helpers.processes.clusters import cluster
from ...helpers.processes.jobs import wait_until

PATIENT = "Doe^John"


@pytest.fixture(scope="module")
def trio(tmp_path_factory, warm_command):
    """A cluster of three workers, two of them with a GPU."""
    with cluster(tmp_path_factory.mktemp("trio"), warm=warm_command) as made:
        made.add_workers(2, "--resources", "GPU=1")
        made.add_workers(1)
        with open_cluster(made.address) as client:
            client.wait_for_workers(3, timeout=60)
        yield made


@pytest.fixture(scope="module")
def lone(tmp_path_factory, warm_command):
    """A scheduler without any worker."""
    with cluster(tmp_path_factory.mktemp("lone"), warm=warm_command) as made:
        yield made


@pytest.fixture
def short_waits(monkeypatch):
    """Let unfit workers wait for a moment, and check the workers often."""
    monkeypatch.setattr(task_queue, "PAUSE", 0.2)
    monkeypatch.setattr(task_queue, "_POLL_SECONDS", 0.1)


@contextmanager
def killer(client, *, every, at_most):
    """Kill a worker, now and then, while the block lasts; the processes killed."""
    ended, killed = threading.Event(), []
    chance = random.Random(7)

    def kill():
        while len(killed) < at_most and not ended.wait(every):
            pids = list(client.run(os.getpid, on_error="ignore").values())
            if pids:
                killed.append(chance.choice(pids))
                os.kill(killed[-1], signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield killed
    finally:
        ended.set()
        thread.join()


def test_every_task_comes_back_once(trio):
    with open_cluster(trio.address) as client:
        found = list(run_tasks(client, range(100), cluster_work.square))
    assert sorted(found) == [(n, n * n) for n in range(100)]


def test_killed_workers_lose_no_task(trio, tmp_path):
    tasks = [(tmp_path, number) for number in range(40)]
    with open_cluster(trio.address) as client, killer(client, every=1.0, at_most=12) as killed:
        found = list(run_tasks(client, tasks, cluster_work.note))
    assert sorted(found) == [(task, task[1] ** 2) for task in tasks]
    assert killed
    begun = [int(file.name.split()[0]) for file in tmp_path.iterdir()]
    assert set(begun) == set(range(40))
    assert len(begun) <= 40 + 2 * len(killed), "only tasks of killed workers are repeated"
    with open_cluster(trio.address) as client:
        client.wait_for_workers(3, timeout=60)


def test_task_that_kills_workers_is_given_up(trio, monkeypatch):
    monkeypatch.setattr(task_queue, "MOST_ROUNDS", 2)  # in each of them, 4 workers start again
    with open_cluster(trio.address) as client:
        found = dict(run_tasks(client, range(12), cluster_work.kill_own_worker))
        client.wait_for_workers(3, timeout=60)
    assert found.pop(0) == GAVE_UP.format(deaths=8)
    assert found == {n: n * n for n in range(1, 12)}


def test_failure_names_the_patient_but_no_log(trio):
    reason = f"ValueError: no slices of {PATIENT}"
    with open_cluster(trio.address) as client:
        assert list(run_tasks(client, [PATIENT], cluster_work.fail)) == [
            (PATIENT, FAILED_TASK.format(reason=reason))
        ]
        unreadable = cluster_work.Unreadable(PATIENT)
        ((_, failure),) = run_tasks(client, [unreadable], cluster_work.square)
    assert "(RuntimeError: " in failure
    assert "Error during deserialization" in trio.logs, "the logs hold what Dask says"
    assert PATIENT not in trio.logs


def test_only_workers_with_the_resources_are_asked(trio):
    with open_cluster(trio.address) as client:
        workers = client.scheduler_info(n_workers=-1)["workers"]
        with_card = {address for address, worker in workers.items() if worker["resources"]}
        found = list(run_tasks(client, range(20), cluster_work.place, resources={"GPU": 1}))
        assert {place for _, place in found} <= with_card
        assert list(count_slots(client, {}).values()) == [1, 1, 1]
        slots = count_slots(client, {"GPU": 1})
        assert {address for address, number in slots.items() if number == 1} == with_card
        assert len(with_card) == 2
        assert set(count_slots(client, {"GPU": 2}).values()) == {0}


def test_tasks_are_submitted_as_they_are_needed(trio):
    taken = []
    with open_cluster(trio.address) as client:
        tasks = (taken.append(number) or number for number in range(100_000))
        run = run_tasks(client, tasks, cluster_work.square)
        for _ in range(20):
            next(run)
        assert len(taken) <= 20 + 2 * 3
        run.close()
        wait_until(lambda: not client.run_on_scheduler(cluster_work.tasks_known))


def test_run_without_workers_notifies_and_waits(lone, short_waits, monkeypatch):
    monkeypatch.setattr(task_queue, "NOTICE_SECONDS", 0.5)
    said = []

    def join(statement):
        said.append(statement)
        lone.add_workers(1, "--resources", "GPU=1" if len(said) > 1 else "TPU=1")

    with open_cluster(lone.address) as client:
        assert list(run_tasks(client, [3], cluster_work.square, notify=join)) == [(3, 9)]
        asked = {"GPU": 1.0}
        found = list(run_tasks(client, [4], cluster_work.square, resources=asked, notify=join))
    assert found == [(4, 16)]
    command = f"dask worker {lone.address} --nthreads 1"
    first, second = said
    assert first.values == {"address": lone.address, "resources": ""}
    assert first.remedies == (Remedy(Action.RUN, {"command": command}),)
    assert second.values == {"address": lone.address, "resources": " with GPU=1"}
    with_card = {"command": f'{command} --resources "GPU=1"'}
    assert second.remedies == (Remedy(Action.RUN, with_card),)


def test_lost_scheduler_raises_after_finished_tasks(tmp_path, warm_command):
    with cluster(tmp_path / "lost", warm=warm_command) as made:
        made.add_workers(1)
        with open_cluster(made.address) as client:
            run = run_tasks(client, range(1000), cluster_work.slow_square)
            assert next(run)[0] in range(1000)
            made.scheduler.kill()
            with pytest.raises(AppError) as caught:
                list(run)
    assert caught.value.values == {"address": made.address}
    assert caught.value.remedies == (Remedy(Action.CONTINUE),)


def missing(folder):
    return MISSING_FOLDER.format(computer=gethostname(), folder=folder)


def test_a_member_is_visible_like_its_folder(tmp_path):
    member = tmp_path / "epoch_0399.pth"
    assert worker_problem(__version__, [member]) == missing(member)
    member.touch()
    assert worker_problem(__version__, [member]) == ""


def test_folder_that_a_worker_cannot_see_raises(trio, tmp_path):
    with open_cluster(trio.address) as client, pytest.raises(AppError) as caught:
        next(run_tasks(client, [1], cluster_work.square, folders=[tmp_path / "away"]))
    assert caught.value.values == {"problem": missing(tmp_path / "away")}


def test_folder_that_comes_back_loses_no_task(trio, short_waits, tmp_path):
    folder, said = tmp_path / "drive", []
    folder.mkdir()

    def come_back(sentence):
        said.append(sentence)
        folder.mkdir(exist_ok=True)

    with open_cluster(trio.address) as client:
        client.wait_for_workers(3, timeout=60)
        workers = set(client.nthreads())
        run = run_tasks(
            client, range(30), cluster_work.slow_square, folders=[folder], notify=come_back
        )
        found = [next(run)]
        folder.rmdir()
        found += run
        assert set(client.nthreads()) == workers, "they serve others, too"
    assert sorted(found) == [(n, n * n) for n in range(30)]
    assert 1 <= len(said) <= 3
    assert said[0] == missing(folder)


def test_folder_that_stays_away_ends_the_run(trio, short_waits, tmp_path, monkeypatch):
    monkeypatch.setattr(task_queue, "UNFIT_SECONDS", 0.3)
    folder = tmp_path / "drive"
    folder.mkdir()
    with open_cluster(trio.address) as client:
        run = run_tasks(client, range(1000), cluster_work.slow_square, folders=[folder])
        next(run)
        folder.rmdir()
        with pytest.raises(AppError) as caught:
            list(run)
        wait_until(lambda: not client.run_on_scheduler(cluster_work.tasks_known))
    assert caught.value.values == {"reason": missing(folder)}
    assert caught.value.remedies == (Remedy(Action.CONTINUE),)


@pytest.mark.parametrize("resources", [{}, {"GPU": 1}])
def test_worker_that_refuses_the_ensemble_loses_no_task(trio, short_waits, tmp_path, resources):
    said = []
    with open_cluster(trio.address) as client:
        client.wait_for_workers(3, timeout=60)
        able = [worker for worker, n in count_slots(client, resources).items() if n]
        (tmp_path / "sick").write_text(able[0])
        tasks = [(tmp_path / "sick", number) for number in range(8)]
        options = {"resources": resources, "notify": said.append}
        found = list(run_tasks(client, tasks, cluster_work.refuse_on_one, **options))
    assert sorted(found) == [(task, task[1] ** 2) for task in tasks]
    assert said == [REFUSED.format(computer=gethostname(), reason=cluster_work.NO_CUDA)]


def test_ensemble_that_all_workers_refuse_ends_the_run(trio, short_waits, monkeypatch):
    monkeypatch.setattr(task_queue, "REFUSAL_SECONDS", 0.3)
    with open_cluster(trio.address) as client, pytest.raises(AppError) as caught:
        list(run_tasks(client, range(100), cluster_work.refuse))
    reason = REFUSED.format(computer=gethostname(), reason=cluster_work.NO_CUDA)
    assert caught.value.values == {"reason": reason}
    assert caught.value.remedies == (Remedy(Action.CONTINUE),)


@pytest.fixture
def no_package(tmp_path) -> Path:
    """Return a folder whose module stands before the installed package."""
    (tmp_path / "napari_bayes_nnunet.py").touch()
    return tmp_path


def test_only_workers_with_the_resources_need_the_package(no_package, tmp_path):
    with cluster(tmp_path / "cluster") as made:
        made.add_workers(1, before=no_package)
        with connect(made.address) as client:
            client.wait_for_workers(1, timeout=60)
        assert_package_lacks(made.address, "worker")
        made.add_workers(1, "--resources", "GPU=1")
        with open_cluster(made.address) as client:
            client.wait_for_workers(2, timeout=60)
            assert list(run_tasks(client, [3], cluster_work.square, resources={"GPU": 1})) == [
                (3, 9)
            ]


def test_scheduler_without_the_package_is_named(no_package, tmp_path):
    with cluster(tmp_path / "cluster", before=no_package) as made:
        assert_package_lacks(made.address, "scheduler")


def assert_package_lacks(address: str, process: str) -> None:
    """Check that the error names the process that cannot import the package."""
    with open_cluster(address) as client, pytest.raises(AppError) as caught:
        next(run_tasks(client, [1], cluster_work.square))
    assert process in caught.value.values["process"]
    assert caught.value.values["version"] == __version__


def test_other_version_on_the_cluster_names_both(trio, monkeypatch):
    monkeypatch.setattr("napari_bayes_nnunet.app.cluster.connection.__version__", "99.0")
    with open_cluster(trio.address) as client, pytest.raises(AppError) as caught:
        next(run_tasks(client, [1], cluster_work.square))
    assert __version__ in str(caught.value)
    assert "99.0" in str(caught.value)
