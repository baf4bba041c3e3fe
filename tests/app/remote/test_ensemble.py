"""Segmentation on another computer, through a real ssh server."""

from __future__ import annotations

import shutil
import threading
from contextlib import suppress
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
import torch
from click.testing import CliRunner

from napari_bayes_nnunet import Ensemble, __version__, find_ensemble, read_volume
from napari_bayes_nnunet.app import AppError
from napari_bayes_nnunet.app.messages import (
    ChildReady,
    EnsembleFile,
    EnsembleMissing,
    LoadEnsemble,
    Notice,
    StageStarted,
)
from napari_bayes_nnunet.app.remote import device
from napari_bayes_nnunet.app.remote.connection import (
    CONNECTION_LOST,
    ENSEMBLE_LOST,
    NO_PACKAGE,
    NO_SSH,
    OTHER_PACKAGE,
    SENDING,
    UNREACHABLE,
    RemoteConnection,
)
from napari_bayes_nnunet.app.remote.device import RemoteDevice
from napari_bayes_nnunet.app.remote.ensemble import RemoteEnsemble
from napari_bayes_nnunet.app.remote.store import BUILT_IN_FOLDER, keep_file
from napari_bayes_nnunet.app.remote.stream import DAMAGED_DATA
from napari_bayes_nnunet.app.segmentation.image_check import NOT_FINITE
from napari_bayes_nnunet.app.segmentation.result import stored_posterior
from napari_bayes_nnunet.app.segmentation.settings import SegmentationSettings
from napari_bayes_nnunet.cli import main
from napari_bayes_nnunet.core.problems import Statement
from napari_bayes_nnunet.core.steps import drain
from napari_bayes_nnunet.io.images.geometry import make_geometry
from napari_bayes_nnunet.io.images.nifti import write_image
from napari_bayes_nnunet.io.study.arrays import round_map
from napari_bayes_nnunet.nnunet import Stopped
from napari_bayes_nnunet.sample_data import CINE

from ...helpers.checks.problems import says
from ...helpers.data.models import made_image, make_model
from ...helpers.processes.jobs import wait_until
from ...helpers.processes.line import line
from ...helpers.processes.ssh_server import script

ASKED = SegmentationSettings(members=5, mirroring="none")
CONTINUED = SegmentationSettings(members=9)
"""Takes long enough to be interrupted."""


@pytest.fixture(scope="module")
def heart():
    """Two slices of a real heart at end-diastole, and their spacing."""
    cine = read_volume(CINE)
    return cine.voxels[19, 4:6][None], cine.spacing


@pytest.fixture(scope="module")
def remote(server):
    return RemoteEnsemble(BUILT_IN_FOLDER, device=server.address)


def all_of(steps):
    """Every snapshot, and the results."""
    snapshots = []
    return snapshots, drain(steps, snapshots.append)


def test_remote_result_equals_the_local_one(remote, server, heart):
    image, spacing = heart
    options = {"keep_members": True, "doubt": "its tags differ"}
    snapshots, (result,) = all_of(remote.phase_steps([image], spacing, ASKED, **options))
    _, (expected,) = all_of(
        Ensemble(BUILT_IN_FOLDER).phase_steps([image], spacing, ASKED, **options)
    )
    done = [step[0].done for step in snapshots]
    assert done == sorted(set(done))
    assert {1, 2, 4, 5} <= set(done)
    np.testing.assert_array_equal(result.labels, expected.labels)
    # Another number of threads may round the other way.
    np.testing.assert_allclose(result.probabilities, expected.probabilities, atol=1e-5)
    assert result.maps.keys() == expected.maps.keys()
    for name, values in expected.maps.items():
        np.testing.assert_allclose(result.maps[name], values, atol=1e-5)
    timing = {"device": f"cpu on {server.address}", "seconds": result.report()["seconds"]}
    assert result.report() == {**expected.report(), **timing}
    for name in ("no_cine", "run_notes", "warnings"):
        assert getattr(result, name) == getattr(expected, name)
    found, wanted = stored_posterior(result), stored_posterior(expected)
    assert found.box == wanted.box
    np.testing.assert_array_equal(found.members, wanted.members)


def test_phases_and_looks_are_those_found_here(remote):
    cine = read_volume(CINE)
    few = np.stack([cine.voxels[t, 4:6][None] for t in (6, 19)], axis=1)
    here = Ensemble(BUILT_IN_FOLDER)
    looks = {}
    ends = remote.find_phases(few, cine.spacing, on_look=looks.__setitem__)
    assert ends == here.find_phases(few, cine.spacing)
    for look, expected in zip(looks.values(), here.first_looks(few, cine.spacing), strict=True):
        np.testing.assert_array_equal(look.labels, expected.labels)
        np.testing.assert_array_equal(look.entropy, round_map(expected.entropy))
        assert look.volumes == expected.volumes


def test_predict_writes_the_same_files(server, tmp_path):
    model, image = make_model(tmp_path / "model"), tmp_path / "heart.nii.gz"
    write_image(image, made_image((2, 4, 20, 24)), make_geometry((2, 4, 20, 24), (8, 1.2, 1.9)))
    for name, where in (("here", "cpu"), ("there", server.address)):
        words = ("predict", model, image, "-o", tmp_path / name, "--save", "entropy,study")
        done = CliRunner().invoke(main, [*map(str, words), "--device", where])
        assert done.exit_code == 0, done.output
    files = [sorted(p.relative_to(tmp_path / n) for p in (tmp_path / n).rglob("*") if p.is_file())
             for n in ("here", "there")]  # fmt: skip
    assert files[0] == files[1]
    volumes = [file for file in files[0] if file.name.endswith(".nii.gz")]
    assert len(volumes) >= 4
    for file in volumes:
        here, there = (read_volume(tmp_path / name / file).voxels for name in ("here", "there"))
        np.testing.assert_allclose(here, there, atol=1e-3)


def test_ensemble_is_sent_once_and_refused_members_are_named(server, tmp_path):
    folder = make_model(tmp_path / "model")
    last = find_ensemble(folder).members[-1].path
    torch.save({"network_weights": {"other": torch.zeros(1)}}, last)
    sent, said = [], []
    for _ in range(2):
        there = RemoteDevice(address=server.address, folder="/not/there")
        made = RemoteConnection(there, tmp_path)
        *stages, loaded = made.ask(LoadEnsemble(folder=str(folder)))
        made.close()
        assert [*loaded.refused] == [str(last)]
        assert loaded.folder == str(folder)
        notices = [s.sentence for s in stages if isinstance(s, Notice)]
        said += [notice.template for notice in notices if isinstance(notice, Statement)]
        sent.append(sum("Sending" in s.text for s in stages if isinstance(s, StageStarted)))
    assert sent == [len(find_ensemble(folder).members) + 2, 0]
    assert said.count(SENDING) == 1
    cache = server.cache / "napari-bayes-nnunet/ensembles"
    assert cache.stat().st_mode & 0o777 == 0o700
    ((kept,),) = (folder.iterdir() for folder in cache.iterdir())
    here, there = find_ensemble(folder), find_ensemble(kept)
    assert (there.name, there.plans_sha256) == (here.name, here.plans_sha256)
    assert [m.training for m in there.members] == [m.training for m in here.members]


def test_the_folder_there_may_have_another_name(server, tmp_path):
    here = make_model(tmp_path / "here")
    there = shutil.copytree(here, tmp_path / "there")
    named = RemoteDevice(address=server.address, folder=str(there))
    made = RemoteConnection(named, tmp_path)
    assert not any(
        "Sending" in getattr(m, "text", "") for m in made.ask(LoadEnsemble(folder=str(here)))
    )
    made.close()


@pytest.mark.parametrize("name", ["/etc/a.pth", "../../a.pth", "a/../../b.pth"])
def test_files_stay_in_the_folder_of_their_ensemble(name, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(AppError, check=says(DAMAGED_DATA)):
        keep_file(EnsembleFile(fingerprint="a" * 32, name=name, content="x", is_last=True))
    assert list(tmp_path.iterdir()) == []


def test_an_image_that_cannot_be_segmented_is_refused_in_its_words(remote, heart):
    bad = np.full(heart[0].shape, np.nan, np.float32)
    with pytest.raises(AppError, check=says(NOT_FINITE)):
        all_of(remote.phase_steps([bad], heart[1], ASKED))


def wrong_key(server, monkeypatch):
    server.make_key("other_key")
    shutil.copy(server.folder / "other_key", server.folder / "key")
    return RemoteDevice(address=server.address)


def unknown_host(server, monkeypatch):
    (server.folder / "known_hosts").write_text("")
    return RemoteDevice(address=server.address)


def nobody_listens(server, monkeypatch):
    with line(server.port) as closed:
        port = closed.port
    return RemoteDevice(address=server.address_at(port))


def no_package(server, monkeypatch):
    return RemoteDevice(address=server.address, command="not-installed")


def no_command_serve(server, monkeypatch):
    script(server.folder / "older", "echo \"Error: No such command 'serve'.\" >&2; exit 2")
    return RemoteDevice(address=server.address, command=str(server.folder / "older"))


def other_version(server, monkeypatch):
    ready = '{"kind": "ready", "devices": {}, "version": "9.9"}'
    script(server.folder / "newer", f"echo welcome; echo '{ready}'")
    return RemoteDevice(address=server.address, command=str(server.folder / "newer"))


def no_ssh(server, monkeypatch):
    monkeypatch.setenv("PATH", str(server.folder))
    return RemoteDevice(address=server.address)


@pytest.mark.parametrize(
    ("prepare", "sentence", "reason"),
    [
        (wrong_key, UNREACHABLE, "Permission denied"),
        (unknown_host, UNREACHABLE, "Host key verification failed"),
        (nobody_listens, UNREACHABLE, "Connection refused"),
        (no_package, NO_PACKAGE, "not-installed"),
        (no_command_serve, NO_PACKAGE, "No such command"),
        (other_version, OTHER_PACKAGE, ""),
        (no_ssh, NO_SSH, "No such file"),
    ],
)
def test_computer_that_cannot_be_used_is_reported(
    prepare, sentence, reason, server, tmp_path, monkeypatch
):
    key = (server.folder / "key").read_bytes()
    there = prepare(server, monkeypatch)
    try:
        with pytest.raises(AppError) as caught:
            RemoteConnection(there, tmp_path)
    finally:
        (server.folder / "key").write_bytes(key)
        server.know_host()
    assert caught.value.statement.template == sentence
    assert reason in caught.value.values.get("reason", "")
    if sentence == OTHER_PACKAGE:
        assert (caught.value.values["there"], caught.value.values["here"]) == ("9.9", __version__)


def test_lost_connection_is_reported_and_made_again(server, heart, monkeypatch):
    quick = {**device.OPTIONS, "ServerAliveInterval": "1", "ServerAliveCountMax": "1"}
    monkeypatch.setattr(device, "OPTIONS", quick)
    image, spacing = heart

    def assert_lost(lose):
        steps = remote.phase_steps([image], spacing, CONTINUED)
        next(steps)
        threading.Timer(0.2, lose).start()
        with pytest.raises(AppError, check=says(CONNECTION_LOST)):
            all_of(steps)

    with line(server.port) as between:
        remote = RemoteEnsemble(BUILT_IN_FOLDER, device=server.address_at(between.port))
        assert_lost(between.fall_silent)
    monkeypatch.undo()  # a busy machine may answer later than that
    with line(server.port) as again:
        remote._remote_device = RemoteDevice(address=server.address_at(again.port))
        _, (result,) = all_of(remote.phase_steps([image], spacing, replace(ASKED, members=1)))
        assert result.labels.any()
        assert_lost(again.cut)


def test_whoever_stops_ends_the_other_process(server, heart):
    before = serving(server)
    remote = RemoteEnsemble(BUILT_IN_FOLDER, device=server.address)
    stop = SimpleNamespace(now=False)
    steps = remote.phase_steps([heart[0]], heart[1], CONTINUED, should_stop=lambda: stop.now)
    next(steps)
    (own,) = {*serving(server)} - {*before}
    stop.now = True
    with pytest.raises(Stopped):
        all_of(steps)
    wait_until(lambda: own not in serving(server))


def serving(server) -> list[int]:
    """Return the processes of `bayes-nnunet serve` that the server has started."""
    found = []
    for process in psutil.Process(server.process.pid).children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # it has ended meanwhile
            if "napari_bayes_nnunet" in process.cmdline():
                found.append(process.pid)
    return found


def test_crash_there_is_reported_with_its_last_words(server, tmp_path):
    ready = f'{{"kind": "ready", "devices": {{}}, "version": "{__version__}"}}'
    script(server.folder / "dying", f"echo '{ready}'; echo 'out of memory' >&2; exit 9")
    there = RemoteDevice(address=server.address, command=str(server.folder / "dying"))
    made = RemoteConnection(there, tmp_path)
    with pytest.raises(AppError, check=says(CONNECTION_LOST, reason="out of memory")):
        list(made.ask(LoadEnsemble(folder=str(BUILT_IN_FOLDER))))


def test_ensemble_that_is_not_kept_is_sent_once(server, tmp_path):
    missing = EnsembleMissing()
    answers = ChildReady(devices={}, version=__version__), missing, missing
    said = "; ".join(f"echo '{answer.to_line()}'" for answer in answers)
    script(server.folder / "lost", f"{said}; cat >/dev/null")
    there = RemoteDevice(address=server.address, command=str(server.folder / "lost"))
    with pytest.raises(AppError, check=says(ENSEMBLE_LOST)):
        list(RemoteConnection(there, tmp_path).ask(LoadEnsemble(folder=str(BUILT_IN_FOLDER))))
