"""Connections to a scheduler: errors, TLS and certificates."""

import shutil
import socket
import sys
import threading

import dask
import pytest

from napari_bayes_nnunet.app import AppError
from napari_bayes_nnunet.app.cluster import connection
from napari_bayes_nnunet.app.cluster.connection import (
    NEEDS_CERTIFICATES,
    NO_SCHEDULER,
    check_address,
    connect,
    read_certificates,
)
from napari_bayes_nnunet.app.cluster.task_queue import open_cluster, run_tasks

from ...helpers.checks.problems import says_only
from ...helpers.processes import cluster_work
from ...helpers.processes.clusters import cluster, make_certificates


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return make_certificates(tmp_path_factory.mktemp("certificates") / "ours")


@pytest.fixture(scope="module")
def encrypted(certificates, tmp_path_factory):
    """A cluster with certificates."""
    with cluster(tmp_path_factory.mktemp("encrypted"), certificates=certificates) as made:
        made.add_workers(1)
        yield made


def refusal(address, **options):
    with pytest.raises(AppError) as caught:
        connect(address, **options).close()
    return caught.value


def assert_no_scheduler(error, template, address):
    assert error.statement.template == template
    assert error.values["address"] == address
    assert error.values["reason"]
    assert not set("\n<>") & set(str(error)), "Dask's objects and line breaks are left out"


@pytest.mark.parametrize(
    "address", ["server", "server:8786", "http://server:8787", "tcp://server", "tls://:8786", ""]
)
def test_invalid_address_raises(address):
    with pytest.raises(AppError) as caught:
        check_address(address)
    assert caught.value.values == {"address": address}
    assert refusal(address).statement == caught.value.statement


@pytest.mark.parametrize("host", ["ser..ver", "x" * 70])
def test_impossible_name_of_a_computer_raises(host):
    assert "label" in refusal(f"tcp://{host}:8786", timeout=0.3).values["reason"]


def test_port_without_scheduler_raises():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
        assert_no_scheduler(refusal(address, timeout=0.3), NO_SCHEDULER, address)


def test_failed_connection_leaves_no_thread():
    before = set(threading.enumerate())
    refusal("tcp://127.0.0.1:1", timeout=0.1)
    assert not [thread for thread in set(threading.enumerate()) - before if "IO" in thread.name]


def test_required_encryption_refuses_tcp():
    with dask.config.set({"distributed.comm.require-encryption": True}):
        assert "encryption required" in refusal("tcp://127.0.0.1:8786").values["reason"]


@pytest.mark.skipif(
    sys.version_info >= (3, 13), reason="Python closes healthy connections (python/cpython#148594)"
)
def test_work_goes_through_tls(encrypted, certificates):
    assert encrypted.address.startswith("tls://")
    with open_cluster(encrypted.address, certificates=certificates) as client:
        assert list(run_tasks(client, [3], cluster_work.square)) == [(3, 9)]


def test_certificates_of_dasks_own_configuration(encrypted, certificates):
    files = {"ca-file": str(certificates / "ca.pem")}
    for option, name in {"cert": "cert.pem", "key": "key.pem"}.items():
        files[f"client.{option}"] = str(certificates / name)
    tls = {f"distributed.comm.tls.{option}": file for option, file in files.items()}
    with dask.config.set(tls), connect(encrypted.address) as client:
        assert client.scheduler_info()["type"] == "Scheduler"


@pytest.mark.parametrize("trusting", [False, True])
def test_certificates_of_another_authority_are_refused(encrypted, certificates, trusting, tmp_path):
    theirs = make_certificates(tmp_path / "theirs")
    if trusting:  # then the scheduler must refuse
        shutil.copy(certificates / "ca.pem", theirs)
    error = refusal(encrypted.address, certificates=theirs, timeout=1)
    assert_no_scheduler(error, NO_SCHEDULER, encrypted.address)


def test_tls_scheduler_refuses_a_tcp_client(encrypted):
    address = encrypted.address.replace("tls:", "tcp:")
    assert_no_scheduler(refusal(address, timeout=1), NO_SCHEDULER, address)


def test_tls_without_certificates_raises():
    assert refusal("tls://127.0.0.1:8786").statement.template == NEEDS_CERTIFICATES


def test_missing_certificate_file_is_named(certificates, tmp_path):
    folder = shutil.copytree(certificates, tmp_path / "some")
    (folder / "key.pem").unlink()
    with pytest.raises(AppError, check=says_only(folder=folder, file="key.pem")):
        read_certificates(folder)


def test_mismatched_or_invalid_certificates_raise(certificates, tmp_path):
    folder = shutil.copytree(certificates, tmp_path / "some")
    shutil.copy(make_certificates(tmp_path / "theirs") / "key.pem", folder)
    for _ in range(2):
        with pytest.raises(AppError) as caught:
            read_certificates(folder)
        assert caught.value.values["folder"] == folder
        assert isinstance(caught.value.__cause__, OSError)
        (folder / "cert.pem").write_text("no certificate")


def test_silent_port_is_given_up(monkeypatch) -> None:
    monkeypatch.setattr(connection, "HANDSHAKE_TIMEOUT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        assert_no_scheduler(refusal(address, timeout=0.3), NO_SCHEDULER, address)


@pytest.mark.parametrize("port", ["0", "99999", ""])
def test_invalid_port_raises(port) -> None:
    with pytest.raises(AppError, check=says_only(address=f"tcp://server:{port}")):
        check_address(f"tcp://server:{port}")
