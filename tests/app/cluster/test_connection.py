"""Every sentence of a connection to a scheduler, and that TLS keeps others out."""

import shutil
import socket
import threading

import dask
import pytest
from distributed import Client

from napari_bayes_nnunet.app import AppError
from napari_bayes_nnunet.app.cluster.connection import check_address, connect, security_of
from napari_bayes_nnunet.app.cluster.task_queue import open_cluster, run_tasks

from ...helpers import cluster_work
from ...helpers.clusters import cluster, make_certificates


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return make_certificates(tmp_path_factory.mktemp("certificates") / "ours")


@pytest.fixture(scope="module")
def encrypted(certificates, tmp_path_factory):
    """A cluster whose parts know each other by certificates."""
    with cluster(tmp_path_factory.mktemp("encrypted"), certificates=certificates) as made:
        made.add_workers(1)
        yield made


def refusal(address, **options):
    with pytest.raises(AppError) as caught:
        connect(address, **options).close()
    return str(caught.value)


@pytest.mark.parametrize(
    "address", ["server", "server:8786", "http://server:8787", "tcp://server", "tls://:8786", ""]
)
def test_an_address_that_is_none(address):
    with pytest.raises(AppError) as caught:
        check_address(address)
    assert str(caught.value) == (
        "The address of a scheduler is like tls://server:8786 or tcp://server:8786, not "
        f"{address!r}."
    )
    assert refusal(address) == str(caught.value)


def test_nobody_answers():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
        said = refusal(address, timeout=1)
    assert said.startswith(f"No Dask scheduler answered at {address} (")
    assert said.endswith("): check that it runs there, and that it has no TLS.")
    assert "\n" not in said


def test_what_was_begun_is_closed_when_nobody_answers():
    before = set(threading.enumerate())
    refusal("tcp://127.0.0.1:1", timeout=0.1)
    assert not [thread for thread in set(threading.enumerate()) - before if "IO" in thread.name]


def test_encryption_that_dasks_configuration_asks_for():
    with dask.config.set({"distributed.comm.require-encryption": True}):
        assert refusal("tcp://127.0.0.1:8786") == (
            "Dask's configuration here asks for encryption (distributed.comm.require-encryption): "
            "use the tls:// address of the scheduler."
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
def test_a_stranger_is_refused(encrypted, certificates, trusting, tmp_path):
    theirs = make_certificates(tmp_path / "theirs")
    if trusting:  # then the scheduler must refuse
        shutil.copy(certificates / "ca.pem", theirs)
    said = refusal(encrypted.address, certificates=theirs, timeout=3)
    assert said.startswith(f"No Dask scheduler answered at {encrypted.address} (")
    assert said.endswith(
        "): check that it runs there, and that its certificates are of the same authority."
    )
    assert "\n" not in said
    assert "<" not in said


def test_tls_is_not_left_out(encrypted):
    said = refusal(encrypted.address.replace("tls:", "tcp:"), timeout=3)
    assert said.startswith("No Dask scheduler answered at tcp://")
    assert said.endswith("): check that it runs there, and that it has no TLS.")


def test_tls_without_any_certificate():
    assert refusal("tls://127.0.0.1:8786") == (
        "A tls:// address needs certificates: name the folder with ca.pem, cert.pem and key.pem, "
        "or set them in Dask's configuration (distributed.comm.tls)."
    )


def test_a_folder_where_one_is_missing(certificates, tmp_path):
    folder = shutil.copytree(certificates, tmp_path / "some")
    (folder / "key.pem").unlink()
    with pytest.raises(AppError) as caught:
        security_of(folder)
    assert str(caught.value) == f"{folder} should hold the certificates; key.pem is missing."


def test_files_that_are_no_certificates_or_do_not_belong_together(certificates, tmp_path):
    folder = shutil.copytree(certificates, tmp_path / "some")
    shutil.copy(make_certificates(tmp_path / "theirs") / "key.pem", folder)
    for _ in range(2):
        with pytest.raises(AppError) as caught:
            security_of(folder)
        assert str(caught.value).startswith(f"The certificates in {folder} cannot be used (")
        assert str(caught.value).endswith(
            "): key.pem must belong to cert.pem, and cert.pem to ca.pem."
        )
        (folder / "cert.pem").write_text("no certificate")


def test_a_port_that_answers_in_no_way_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(AppError, match=f"No Dask scheduler answered at {address}"):
            connect(address, timeout=1)


def test_a_computer_that_is_not_known() -> None:
    with pytest.raises(AppError, match=r"No computer called no-such\.invalid is known in this"):
        connect("tls://no-such.invalid:8786")


@pytest.mark.parametrize("port", ["0", "99999", ""])
def test_a_port_that_is_none(port) -> None:
    with pytest.raises(AppError, match="The address of a scheduler is like"):
        check_address(f"tcp://server:{port}")


def test_a_client_ends_although_its_line_broke_in_the_middle(encrypted, certificates, monkeypatch):
    async def broken(self, **options):
        raise ValueError("IOStream is not idle; cannot convert to SSL")

    client = connect(encrypted.address, certificates=certificates)
    with monkeypatch.context() as patch:
        patch.setattr(Client, "_close", broken)
        client.close()
    assert client.status == "closed"
