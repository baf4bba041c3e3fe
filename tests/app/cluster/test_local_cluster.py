"""The workers of this machine, started by a command of its own process."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, ClassVar

import psutil
import pytest

from napari_bayes_nnunet.app.cluster import local_cluster
from napari_bayes_nnunet.app.cluster.local_cluster import worker_environments
from napari_bayes_nnunet.app.cluster.task_queue import open_cluster, run_tasks
from napari_bayes_nnunet.app.cluster.worker_call import FAILED_TASK

from ...helpers.processes import cluster_work
from ...helpers.processes.command import environment
from ...helpers.processes.jobs import wait_until

PATIENT = "Doe^John"
TLS_ALERT = b"\x15"
COMMAND = """
import sys
from napari_bayes_nnunet.app.cluster.task_queue import open_cluster, run_tasks
from tests.helpers.processes import cluster_work

if __name__ == "__main__":
    work, *tasks = sys.argv[1:]
    with open_cluster(None, device="cpu") as client:
        print(*client.nthreads(), flush=True)
        for task, outcome in run_tasks(client, tasks, getattr(cluster_work, work)):
            print(outcome, flush=True)
    print("closed", "torch" in sys.modules, flush=True)
"""


@pytest.fixture
def start(tmp_path):
    """``start(work, *tasks)``: a command over tasks, in a process group of its own."""
    started = []

    def start(*arguments):
        (tmp_path / "command.py").write_text(COMMAND)
        root = str(Path(__file__).parents[3])
        path = os.pathsep.join(filter(None, [environment().get("PYTHONPATH"), root]))
        process = subprocess.Popen(
            [sys.executable, tmp_path / "command.py", *arguments],
            env=environment(PYTHONPATH=path),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def family(process):
    """A process, and those it started."""
    parent = psutil.Process(process.pid)
    return [parent, *parent.children(recursive=True)]


def all_gone(processes):
    return not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in processes)


def test_workers_keep_the_output_of_the_command_clean(start):
    process = start("fail", PATIENT, "another")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0
    reasons = [f"ValueError: no slices of {patient}" for patient in (PATIENT, "another")]
    assert sorted(out.splitlines()[1:]) == sorted(
        [*(FAILED_TASK.format(reason=reason) for reason in reasons), "closed False"]
    )
    assert err == "printed while it worked\n" * 2, "prints of workers go to the error stream"


def test_local_cluster_listens_only_here_and_with_tls(start):
    process = start("wait_for_ever", "1")
    assert process.stdout.readline().startswith("tls://127.0.0.1:")
    members = family(process)
    ports = {
        (connection.laddr.ip, connection.laddr.port)
        for member in members
        for connection in member.net_connections()
        if connection.status == psutil.CONN_LISTEN
    }
    assert len(ports) == 3, "those of the scheduler, the nanny and the worker"
    assert {ip for ip, _ in ports} == {"127.0.0.1"}
    for port in ports:
        assert not answers_in_plain(port)


def answers_in_plain(port):
    """Whether who speaks no TLS is answered by more than its alert: Dask and HTTP would."""
    with socket.create_connection(port, timeout=10) as plain:
        plain.sendall(b"GET /health HTTP/1.0\r\n\r\n")
        try:
            return plain.recv(100)[:1] not in (b"", TLS_ALERT)
        except ConnectionError:
            return False


def test_ctrl_c_ends_all_within_seconds(start):
    process = start("wait_for_ever", "1", "2")
    process.stdout.readline()
    members = family(process)
    assert len(members) > 1
    os.killpg(process.pid, signal.SIGINT)
    process.wait(30)
    wait_until(lambda: all_gone(members), seconds=10)


def test_the_workers_end_with_a_killed_command(start):
    process = start("wait_for_ever", "1", "2")
    process.stdout.readline()
    members = family(process)
    assert len(members) > 1
    process.kill()
    wait_until(lambda: all_gone(members), seconds=30)


def test_single_worker_uses_all_cores_by_default(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    with open_cluster(None, device="cpu") as client:
        ((_, variables),) = run_tasks(client, [1], cluster_work.variables)
    assert "OMP_NUM_THREADS" not in variables
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    with open_cluster(None, device="cpu") as client:
        ((_, variables),) = run_tasks(client, [1], cluster_work.variables)
    assert variables["OMP_NUM_THREADS"] == "3"


@pytest.fixture
def two_cards(monkeypatch):
    monkeypatch.setattr(
        local_cluster, "find_devices", lambda: {"cuda:0": "a", "cuda:1": "b", "cpu": "c"}
    )
    monkeypatch.setattr(local_cluster, "CPU_COUNT", 16)
    for name in (*local_cluster.THREADS, local_cluster.CARDS):
        monkeypatch.delenv(name, raising=False)


def test_a_worker_for_each_card(two_cards):
    cores = dict.fromkeys(local_cluster.THREADS, "8")
    asked = [{"CUDA_VISIBLE_DEVICES": card, **cores} for card in "01"]
    assert worker_environments("auto") == worker_environments("cuda") == asked
    assert worker_environments("cuda:1") == worker_environments("cpu") == [{}]


def test_only_the_cards_the_user_left_visible(two_cards, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,GPU-5")
    cards = [environment["CUDA_VISIBLE_DEVICES"] for environment in worker_environments("auto")]
    assert cards == ["3", "GPU-5"]


def test_computer_without_gpu_gets_one_worker(monkeypatch):
    monkeypatch.setattr(local_cluster, "find_devices", lambda: {"mps": "a", "cpu": "c"})
    assert worker_environments("auto") == [{}]


class InterruptedStart:
    """Cluster that is interrupted by Ctrl-C while it starts."""

    ended: ClassVar[list["InterruptedStart"]] = []

    def __init__(self, **options: Any) -> None:
        time.sleep(0.1)  # until the start is awaited
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        time.sleep(0.2)  # Python runs the handler in the main thread meanwhile
        self.has_started = True

    def close(self) -> None:
        assert self.has_started
        self.ended.append(self)


def test_interrupted_start_ends_the_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_cluster, "SpecCluster", InterruptedStart)
    with pytest.raises(KeyboardInterrupt), local_cluster.embedded_cluster("cpu"):
        pytest.fail("The cluster must not be used.")
    assert len(InterruptedStart.ended) == 1
