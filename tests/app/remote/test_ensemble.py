"""Segmentation on another computer, with a real scheduler, worker and certificates."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from socket import gethostname

import numpy as np
import psutil
import pytest
import torch

from napari_bayes_nnunet import Ensemble, __version__, find_ensemble, read_volume
from napari_bayes_nnunet.app import AppError
from napari_bayes_nnunet.app.cluster import connection as cluster_check
from napari_bayes_nnunet.app.cluster.connection import connect
from napari_bayes_nnunet.app.cluster.worker_call import OTHER_VERSION
from napari_bayes_nnunet.app.remote import connection as remote_connection
from napari_bayes_nnunet.app.remote.actor import BUILT_IN_FOLDER
from napari_bayes_nnunet.app.remote.connection import (
    CONNECTION_LOST,
    NO_WORKERS,
    RemoteConnection,
    describe_workers,
)
from napari_bayes_nnunet.app.remote.device import RemoteDevice
from napari_bayes_nnunet.app.remote.ensemble import RemoteEnsemble
from napari_bayes_nnunet.app.remote.wire_format import PackedArray
from napari_bayes_nnunet.app.segmentation.image_check import NOT_FINITE
from napari_bayes_nnunet.app.segmentation.result import FirstLook, stored_posterior
from napari_bayes_nnunet.app.segmentation.settings import SegmentationSettings
from napari_bayes_nnunet.core.ensemble.maps import MAPS
from napari_bayes_nnunet.core.ensemble.stored_posterior import StoredPosterior
from napari_bayes_nnunet.core.problems import Statement, statement
from napari_bayes_nnunet.core.steps import drain
from napari_bayes_nnunet.io.study.arrays import read_posterior, round_map
from napari_bayes_nnunet.nnunet import Stopped
from napari_bayes_nnunet.sample_data import CINE

from ...helpers.data.models import make_model
from ...helpers.processes import remote_work
from ...helpers.processes.clusters import Cluster, cluster, make_certificates
from ...helpers.processes.command import environment
from ...helpers.processes.jobs import wait_until
from ...helpers.processes.line import line

ASKED = SegmentationSettings(members=5, mirroring="none")
CONTINUED = SegmentationSettings(members=9)
"""Takes long enough to be interrupted."""


@pytest.fixture(scope="module")
def heart():
    """Four slices of a real heart at end-diastole, and their spacing."""
    cine = read_volume(CINE)
    return cine.voxels[19, 3:7][None], cine.spacing


@pytest.fixture(scope="module")
def certificates(tmp_path_factory) -> str:
    return str(make_certificates(tmp_path_factory.mktemp("certificates") / "ours"))


@pytest.fixture(scope="module")
def server(certificates, tmp_path_factory, warm_command):
    folder = tmp_path_factory.mktemp("server")
    with cluster(folder, warm=warm_command, certificates=Path(certificates)) as made:
        made.add_workers(1)
        wait_for_workers(made, certificates)
        yield made


@pytest.fixture(scope="module")
def plain(tmp_path_factory, warm_command):
    """A cluster without certificates."""
    with cluster(tmp_path_factory.mktemp("plain"), warm=warm_command) as made:
        made.add_workers(1)
        wait_for_workers(made)
        yield made


@pytest.fixture(scope="module")
def device(server, certificates) -> RemoteDevice:
    return RemoteDevice(address=server.address, certificates=certificates)


@pytest.fixture
def remote(device):
    made = RemoteEnsemble(BUILT_IN_FOLDER, device=device)
    yield made
    made.close()


def wait_for_workers(made: Cluster, certificates: str | None = None) -> None:
    with connect(made.address, certificates=Path(certificates) if certificates else None) as client:
        client.wait_for_workers(1, timeout=60)


def ask_worker(device: RemoteDevice, function):
    """What a function says on the worker."""
    certificates = Path(device.certificates) if device.certificates else None
    with connect(device.address, certificates=certificates) as client:
        (answer,) = client.run(function).values()
        return answer


def all_of(steps):
    """Every snapshot, and the results."""
    snapshots = []
    return snapshots, drain(steps, snapshots.append)


def test_remote_result_equals_the_local_one(remote, heart, device, tmp_path):
    image, spacing = heart
    options = {"keep_members": True, "doubt": "its tags differ"}
    snapshots, (result,) = all_of(remote.phase_steps([image], spacing, ASKED, **options))
    here = Ensemble(BUILT_IN_FOLDER)
    *_, (expected,) = all_of(here.phase_steps([image], spacing, ASKED, **options))
    done = [step[0].done for step in snapshots]
    assert done == sorted(set(done))
    assert {1, 2, 4, 5} <= set(done)
    last = snapshots[-1][0]
    np.testing.assert_array_equal(last.labels, expected.labels)
    assert last.maps.keys() == expected.maps.keys() == MAPS.keys()
    for name, found in last.maps.items():
        wanted = expected.maps[name]
        assert found.dtype == np.float32
        # Another number of threads may round the other way.
        np.testing.assert_allclose(found, round_map(wanted), atol=1 / 2048)
        np.testing.assert_allclose(found, wanted, atol=1 / 8192 + 1e-6)
    timing = {"device": f"cpu on {device.address}", "seconds": result.report()["seconds"]}
    assert result.report() == {**expected.report(), **timing}
    (tmp_path / "said.npz").write_bytes(result.posterior)
    maps = {name: round_map(values) for name, values in last.maps.items()}
    said = read_posterior(tmp_path / "said.npz", prediction=last.labels, maps=maps)
    assert_same(said, stored_posterior(expected))


def assert_same(found: StoredPosterior, expected: StoredPosterior) -> None:
    assert found.box == expected.box
    for name in ("prediction", "probabilities", "members"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    np.testing.assert_equal(found.maps, expected.maps)


def test_phases_are_asked_together_and_found(remote, heart):
    cine = read_volume(CINE)
    phases = [cine.voxels[t, 4:6][None] for t in (6, 19)]
    snapshots, results = all_of(
        remote.phase_steps(phases, cine.spacing, replace(ASKED, members=2), keep_members=True)
    )
    assert list(snapshots[0]) == [0, 1]
    assert len(results) == 2
    assert remote.phases_at_once(phases[0], "none") == 1
    few = np.stack(phases, axis=1)
    here = Ensemble(BUILT_IN_FOLDER)
    told: dict[int, FirstLook] = {}
    ends = remote.find_phases(few, cine.spacing, on_look=told.__setitem__)
    assert ends == here.find_phases(few, cine.spacing)
    looks = zip(
        remote.first_looks(few, cine.spacing), here.first_looks(few, cine.spacing), strict=True
    )
    for there, expected in looks:
        np.testing.assert_array_equal(there.labels, expected.labels)
        np.testing.assert_array_equal(there.entropy, round_map(expected.entropy))
        assert there.volumes == expected.volumes
        np.testing.assert_array_equal(told.pop(min(told)).labels, expected.labels)
    assert told == {}


def test_image_is_sent_and_16_bit_maps_received(heart, device):
    image, spacing = heart
    with line(device.address) as between:
        there = RemoteDevice(address=between.address, certificates=device.certificates)
        remote = RemoteEnsemble(BUILT_IN_FOLDER, device=there)
        before, out = (between.up, between.down), len(PackedArray.pack(image).content)
        snapshots, (result,) = all_of(
            remote.phase_steps([image], spacing, ASKED, keep_members=True)
        )
        sent, received = between.up - before[0], between.down - before[1]
        remote.close()
    assert out < image.nbytes
    assert out < sent < out + 30_000
    each = (received - len(result.posterior)) / len(snapshots)
    assert each < (1 + 2 + 2) * image.size / 2


def test_torch_is_not_loaded_here(device):
    script = (
        "import sys, numpy as np\n"
        "from napari_bayes_nnunet.app.remote.device import RemoteDevice\n"
        "from napari_bayes_nnunet.app.remote.ensemble import RemoteEnsemble\n"
        "from napari_bayes_nnunet.app.segmentation.settings import SegmentationSettings\n"
        "ensemble = RemoteEnsemble(sys.argv[1], device=RemoteDevice.parse(sys.argv[2]))\n"
        "image = np.arange(2048).reshape(1, 2, 32, 32)\n"
        "settings = SegmentationSettings(members=1)\n"
        "steps = ensemble.phase_steps([image], (8, 1.5, 1.5), settings, keep_members=True)\n"
        "assert [step[0].done for step in steps] == [1]\n"
        "assert not {'torch', 'nnunetv2'} & set(sys.modules)\n"
        "ensemble.close()\n"
    )
    command = [sys.executable, "-c", script, str(BUILT_IN_FOLDER), str(device)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_stop_ends_it_within_a_member(remote, heart, device):
    image, spacing = heart
    seen: list[object] = []
    with pytest.raises(Stopped):
        drain(
            remote.phase_steps(
                *([image], spacing, CONTINUED),
                keep_members=True,
                should_stop=lambda: bool(seen),
            ),
            seen.append,
        )
    assert_left(device)


def assert_left(device: RemoteDevice) -> None:
    """Nothing is held, and nothing computed."""
    wait_until(lambda: ask_worker(device, remote_work.runs_held) == 0)
    wait_until(lambda: not ask_worker(device, remote_work.is_computing))


def test_run_of_a_killed_laptop_ends(device, heart, tmp_path):
    np.save(tmp_path / "image.npy", np.concatenate([heart[0]] * 8, axis=1))
    script = (
        "import sys, numpy as np\n"
        "from napari_bayes_nnunet.app.remote.device import RemoteDevice\n"
        "from napari_bayes_nnunet.app.remote.ensemble import RemoteEnsemble\n"
        "from napari_bayes_nnunet.app.segmentation.settings import SegmentationSettings\n"
        "ensemble = RemoteEnsemble(sys.argv[1], device=RemoteDevice.parse(sys.argv[2]))\n"
        "image = np.load(sys.argv[3])\n"
        "settings = SegmentationSettings(members=9)\n"
        "list(ensemble.phase_steps([image], (8, 1.5, 1.5), settings, keep_members=True))\n"
    )
    arguments = [str(BUILT_IN_FOLDER), str(device), str(tmp_path / "image.npy")]
    laptop = subprocess.Popen([sys.executable, "-c", script, *arguments], env=environment())
    wait_until(lambda: ask_worker(device, remote_work.is_computing))
    laptop.kill()
    laptop.wait()
    assert_left(device)


@pytest.mark.parametrize("seen", [1, 2])
def test_dropped_run_frees_its_memory(device, heart, seen):
    wait_until(lambda: ask_worker(device, remote_work.runs_held) == 0)
    ask_worker(device, gc.collect)
    ask_worker(device, gc.disable)
    try:
        remote = RemoteEnsemble(BUILT_IN_FOLDER, device=device)
        steps = remote.phase_steps([heart[0]], heart[1], CONTINUED, keep_members=True)
        for _ in range(seen):
            next(steps)
        assert ask_worker(device, remote_work.runs_alive) == 1
        steps.close()
        remote.close()
        wait_until(lambda: ask_worker(device, remote_work.runs_alive) == 0)
    finally:
        ask_worker(device, gc.enable)


def test_two_laptops_take_turns(device, heart):
    image, spacing = heart

    def segment(count: int) -> list[int]:
        ensemble = RemoteEnsemble(BUILT_IN_FOLDER, device=device)
        asked = replace(ASKED, members=count)
        _, (result,) = all_of(ensemble.phase_steps([image], spacing, asked, keep_members=True))
        ensemble.close()
        return result.report()["member_epochs"]

    with ThreadPoolExecutor(2) as laptops:
        found = list(laptops.map(segment, (3, 6)))
    assert list(map(len, found)) == [3, 6]


def test_killed_worker_is_reported_and_another_continues(remote, device, heart):
    image, spacing = heart
    steps = remote.phase_steps([image], spacing, CONTINUED, keep_members=True)
    next(steps)
    os.kill(ask_worker(device, remote_work.process), signal.SIGKILL)
    with pytest.raises(AppError) as caught:
        all_of(steps)
    assert caught.value.statement == lost(device)
    wait_until(lambda: "1 worker: CPU" in describe(device))  # its nanny starts another
    _, results = all_of(remote.phase_steps([image], spacing, ASKED, keep_members=True))
    assert len(results) == 1


def test_worker_with_broken_cuda_answers_and_is_replaced(remote, device, heart):
    image, spacing = heart
    worker = ask_worker(device, remote_work.process)
    ask_worker(device, remote_work.break_cuda)
    with pytest.raises(AppError, match="CUDA error: an illegal memory access"):
        all_of(remote.phase_steps([image], spacing, ASKED, keep_members=True))
    wait_until(lambda: not psutil.pid_exists(worker))
    wait_until(lambda: "1 worker: CPU" in describe(device))
    _, results = all_of(remote.phase_steps([image], spacing, ASKED, keep_members=True))
    assert len(results) == 1


def describe(device: RemoteDevice) -> str:
    try:
        return describe_workers(device)
    except AppError as error:
        return str(error)


def lost(device: RemoteDevice) -> Statement:
    return statement(CONNECTION_LOST, address=device.address)


def test_a_cut_network_is_said(device, heart):
    with line(device.address) as between:
        there = RemoteDevice(address=between.address, certificates=device.certificates)
        assert_lost(RemoteEnsemble(BUILT_IN_FOLDER, device=there), there, heart, between.cut)
    assert_left(device)


def test_a_network_that_fell_silent_is_said(plain, heart, monkeypatch):
    monkeypatch.setattr(remote_connection, "SILENCE_LIMIT", 1.5)
    monkeypatch.setattr(remote_connection, "HEARTBEAT_SECONDS", 0.3)
    with line(plain.address) as between:
        there = RemoteDevice(address=between.address)
        remote = RemoteEnsemble(BUILT_IN_FOLDER, device=there)
        assert_lost(remote, there, heart, between.fall_silent)
    assert_left(RemoteDevice(address=plain.address))


def test_a_worker_that_fell_silent_is_said(plain, heart, monkeypatch):
    monkeypatch.setattr(remote_connection, "SILENCE_LIMIT", 1.5)
    monkeypatch.setattr(remote_connection, "HEARTBEAT_SECONDS", 0.3)
    device = RemoteDevice(address=plain.address)
    worker = ask_worker(device, remote_work.process)
    remote = RemoteEnsemble(BUILT_IN_FOLDER, device=device)
    try:
        assert_lost(remote, device, heart, lambda: os.kill(worker, signal.SIGSTOP))
    finally:
        os.kill(worker, signal.SIGCONT)
    assert_left(device)


def test_every_laptop_gets_its_own_worker(plain):
    plain.add_workers(1)
    with connect(plain.address) as client:
        client.wait_for_workers(2, timeout=60)
    for _ in range(3):
        laptops = [RemoteConnection(RemoteDevice(address=plain.address)) for _ in range(2)]
        for laptop in laptops:
            laptop.open()
        assert laptops[0].worker != laptops[1].worker
        for laptop in laptops:
            laptop.close()


def test_a_killed_scheduler_is_said(plain, heart):
    device = RemoteDevice(address=plain.address)
    remote = RemoteEnsemble(BUILT_IN_FOLDER, device=device)
    assert_lost(remote, device, heart, plain.scheduler.kill)


def test_dropped_run_means_a_lost_connection(device) -> None:
    """A scheduler that lost the laptop first drops its run, and the worker may still answer."""
    connection = RemoteConnection(device)
    connection.open()
    connection._run = None
    gc.collect()
    wait_until(lambda: not connection.is_alive())
    with pytest.raises(AppError) as caught:
        connection.call("advance")
    assert caught.value.statement == lost(device)
    connection.close()


def assert_lost(remote: RemoteEnsemble, device: RemoteDevice, heart, lose) -> None:
    """Whoever loses the connection in the middle hears of it."""
    image, spacing = heart
    steps = remote.phase_steps([image], spacing, CONTINUED, keep_members=True)
    next(steps)
    threading.Timer(0.2, lose).start()
    with pytest.raises(AppError) as caught:
        all_of(steps)
    assert caught.value.statement == lost(device)


def test_the_folder_there_may_have_another_name(device, heart, tmp_path):
    here, there = (shutil.copytree(BUILT_IN_FOLDER, tmp_path / name) for name in ("a", "b"))
    named = RemoteDevice(**{**vars(device), "folder": str(there)})
    remote = RemoteEnsemble(here, device=named)
    assert remote.folder.path == here
    shutil.rmtree(there)
    with pytest.raises(AppError) as caught:
        remote.phases_at_once(heart[0])
    assert str(there) in caught.value.values["reason"]


def test_another_ensemble_is_refused(device, tmp_path):
    here = shutil.copytree(BUILT_IN_FOLDER, tmp_path / "here")
    there = make_model(tmp_path / "there")
    with pytest.raises(AppError) as caught:
        RemoteEnsemble(here, device=RemoteDevice(**{**vars(device), "folder": str(there)}))
    assert caught.value.values == {"folder": str(there)}


def test_members_refused_there_are_refused_here(device, tmp_path):
    folder = make_model(tmp_path / "model")
    last = find_ensemble(folder).members[-1].path
    torch.save({"network_weights": {"other": torch.zeros(1)}}, last)
    refused = [m for m in RemoteEnsemble(folder, device=device).folder.members if not m.usable]
    assert [member.path for member in refused] == [last]


def test_failed_segmentation_leaves_no_arguments_in_logs(remote, heart, server):
    image, spacing = heart
    bad = np.full(image.shape, np.nan, np.float32)
    with pytest.raises(AppError) as caught:
        all_of(remote.phase_steps([bad], spacing, ASKED, keep_members=True))
    assert caught.value.statement.template == NOT_FINITE
    with pytest.raises(AppError, match=r"\(ValueError: "):
        all_of(remote.phase_steps([image], spacing, ASKED, keep_members=False))
    assert "Run Failed" not in server.logs


def test_description_names_the_first_device(device):
    assert describe_workers(device).startswith("1 worker: CPU, ")


def test_worker_that_dies_while_described_raises(device):
    connection = RemoteConnection(device)
    connection._client.run = answers_none
    with pytest.raises(AppError) as caught:
        connection.describe_workers()
    connection.close()
    assert caught.value.statement == lost(device)


def answers_none(*arguments, **options):
    """Return what Dask returns for workers that are gone."""
    return {}


def test_other_version_raises_and_names_both(device, monkeypatch):
    monkeypatch.setattr(cluster_check, "__version__", "99.0")
    expected = OTHER_VERSION.format(computer=gethostname(), version=__version__, command="99.0")
    assert describe(device) == expected
    with pytest.raises(AppError) as caught:
        RemoteEnsemble(BUILT_IN_FOLDER, device=device)
    assert caught.value.values == {"problem": expected}


def test_scheduler_without_workers_is_reported(tmp_path, warm_command):
    with cluster(tmp_path / "alone", warm=warm_command) as alone:
        found = describe(RemoteDevice(address=alone.address))
        assert found == NO_WORKERS.format(address=alone.address)
