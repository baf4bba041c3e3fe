"""Tests of ``bayes-nnunet archive`` with a real Orthanc."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest
from click.testing import CliRunner, Result
from pydicom.uid import generate_uid

from napari_bayes_nnunet.app.cohort.watch import ArchiveWatch
from napari_bayes_nnunet.cli import archive, main
from napari_bayes_nnunet.io.archive import PASSWORD_VARIABLE, USER_VARIABLE
from napari_bayes_nnunet.io.known_archives import archives_file

from ..helpers.data.dicoms import made_voxels, slice_file
from ..helpers.processes.command import bayes_nnunet
from ..helpers.processes.orthanc import HOST, run_orthanc


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the address of an archive for anna, whose password is "secret"."""
    login = {"AuthenticationEnabled": True, "RegisteredUsers": {"anna": "secret"}}
    with run_orthanc(tmp_path_factory.mktemp("orthanc"), **login) as port:
        yield f"http://{HOST}:{port}/dicom-web"


@pytest.fixture(autouse=True)
def login(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give anna's login in the environment, and hide the keyring of whoever runs the tests."""
    monkeypatch.setattr("keyring.get_credential", lambda service, user: None)
    monkeypatch.setenv(USER_VARIABLE, "anna")
    monkeypatch.setenv(PASSWORD_VARIABLE, "secret")


def run(*arguments: object, typed: str = "") -> Result:
    return CliRunner().invoke(main, ["archive", *map(str, arguments)], input=typed)


def made_file(folder: Path, **entries: object) -> Path:
    return slice_file(folder / "a.dcm", made_voxels()[0, 0], **entries)


def test_a_study_goes_to_the_archive_is_found_and_comes_back(url, tmp_path):
    study, who = generate_uid(), {"PatientID": "G1", "PatientName": "Gärtner^Änne"}
    who |= {"SpecificCharacterSet": "ISO_IR 192", "StudyDate": "20250314"}
    file = made_file(tmp_path, StudyInstanceUID=study, StudyDescription="Herz", **who)
    sent = run("store", url, file, "--yes")
    assert (sent.exit_code, sent.stderr) == (0, "")
    assert "Gärtner" not in sent.output
    listed = run("list", url, "--name", "gärt", "--date", "2025-03-01:2025-03-31")
    assert listed.exit_code == 0, listed.output
    (row,) = listed.stdout.splitlines()[1:]
    assert row.split() == ["G1", "Gärtner^Änne", "2025-03-14", "Herz", "1", "1", study]
    for other in (("--date", "2025-03-15:"), ("--date", "2025-03-13"), ("--patient", "G")):
        assert study not in run("list", url, *other).stdout
    fetched = run("fetch", url, study, "-o", tmp_path / "out")
    assert fetched.exit_code == 0, fetched.output
    (back,) = (tmp_path / "out").iterdir()
    assert pydicom.dcmread(back) == pydicom.dcmread(file)
    assert "Gärtner" not in fetched.output


def test_nothing_is_sent_before_a_yes(url, tmp_path):
    study = generate_uid()
    file = made_file(tmp_path, StudyInstanceUID=study)
    asked = run("store", url, file, typed="n\n")
    assert asked.exit_code == 1
    assert all(part in asked.stdout for part in (str(file), "MR", study, url, archive.NOT_SENT))
    assert run("store", url, file).exit_code == 1  # nobody answers
    assert study not in run("list", url).stdout
    assert run("store", url, file, typed="y\n").exit_code == 0
    assert study in run("list", url).stdout


def test_a_login_is_asked_for_at_a_terminal_only(url, monkeypatch):
    monkeypatch.delenv(USER_VARIABLE)
    assert "401" in run("list", url, typed="anna\nsecret\n").stderr
    monkeypatch.setattr(archive, "_can_ask", lambda: True)
    asked = run("list", url, typed="anna\nsecret\n")
    assert asked.exit_code == 0
    assert "secret" not in asked.output
    assert run("list", url, typed="anna\nwrong\n").exit_code == 1
    monkeypatch.setenv(USER_VARIABLE, "bert")
    assert "401" in run("list", url, typed="anna\nsecret\n").stderr  # a known login is not replaced


def test_a_failure_is_one_line_without_the_name_searched_for(monkeypatch):
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    with socket.create_server((HOST, 0)) as free:
        address = f"http://{HOST}:{free.getsockname()[1]}"
    failed = bayes_nnunet("archive", "list", address, "--name", "Gärtner")
    assert failed.returncode == 1
    (line,) = failed.stderr.splitlines()
    assert address in line
    assert "rtner" not in line


@pytest.mark.parametrize("dates", ["31.1.2025", "2025-02-30", ":", "2025-01-01:2025-01-02:"])
def test_other_dates_are_refused(dates):
    assert run("list", "http://localhost", "--date", dates).exit_code == 2


@pytest.mark.parametrize("package", ["dicomweb_client", "keyring"])
def test_a_missing_package_is_named(monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, "napari_bayes_nnunet.io.archive")
    refused = run("list", "http://localhost")
    assert refused.exit_code == 1
    assert package in refused.stderr


def test_an_archive_is_reached_by_its_name(url, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    assert run("list", "Research").exit_code == 1
    assert run("add", "Research", url).exit_code == 0
    assert run("list", "Research", "--patient", "nobody").stdout == "No study matches.\n"
    assert "secret" not in archives_file().read_text()
    assert run("remove", "Research").exit_code == 0
    assert run("list", "Research").exit_code == 1


def test_a_watch_gets_its_options(url, tmp_path, monkeypatch):
    watches: list[ArchiveWatch] = []
    monkeypatch.setattr(ArchiveWatch, "look", lambda watch: watches.append(watch) or 0)
    asked = ("watch", url, "-o", tmp_path / "out", "--once")
    assert run(*asked, "--certificates", tmp_path).exit_code == 2
    chosen = ("--scheduler", "tcp://a:1", "--members", 2, "--date", "2026-01-01:")
    assert run(*asked, *chosen).exit_code == 0
    (watch,) = watches
    assert watch.cluster == {"scheduler": "tcp://a:1", "certificates": None, "resources": None}
    assert (watch.dates, watch.stores) == ("20260101-", False)
    prediction = watch.request.prediction
    assert (prediction.settings.members, prediction.phases) == (2, "ED,ES")
    assert prediction.makes_studies
    assert prediction.skip_finished
