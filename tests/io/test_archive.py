"""An archive, a real Orthanc, from which studies come and to which files go."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path

import keyring
import numpy as np
import pydicom
import pytest
from dicomweb_client import DICOMwebClient
from keyring.backend import KeyringBackend
from keyring.backends.fail import Keyring as NoKeyring
from pydicom.uid import RLELossless, generate_uid

from napari_bayes_nnunet.core.steps import drain
from napari_bayes_nnunet.io import DataError, archive
from napari_bayes_nnunet.io.archive import (
    Archive,
    LoginRefusedError,
    describe_files,
    find_login,
    keep_login,
)
from napari_bayes_nnunet.io.dicom.reader import read_dicom
from napari_bayes_nnunet.io.files.access import UNREADABLE
from napari_bayes_nnunet.io.known_archives import KnownArchive, find_archive

from ..helpers.checks.problems import says
from ..helpers.data.dicoms import made_voxels, slice_file, write_cine
from ..helpers.processes.line import line
from ..helpers.processes.orthanc import HOST, make_certificate, run_orthanc, serve_answer

LOGIN = "ärztin", "schönes Wetter"


class MemoryKeyring(KeyringBackend):
    """Keyring that forgets with the process."""

    priority = 1

    def __init__(self) -> None:
        self.passwords: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.passwords.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.passwords[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.passwords[service, username]

    def get_credential(self, service: str, username: str | None) -> object:
        users = [user for known, user in self.passwords if known == service]
        return super().get_credential(service, username or next(iter(users), None))


@pytest.fixture
def own_keyring() -> Iterator[MemoryKeyring]:
    usual, made = keyring.get_keyring(), MemoryKeyring()
    keyring.set_keyring(made)
    yield made
    keyring.set_keyring(usual)


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Return the port of an archive that sends at most 100 entries at once, for ``LOGIN``."""
    settings = {"AuthenticationEnabled": True, "RegisteredUsers": {LOGIN[0]: LOGIN[1]}}
    folder = tmp_path_factory.mktemp("orthanc")
    with run_orthanc(folder, LimitFindResults=100, **settings) as made:
        yield made


def archive_at(port: int, *, login: tuple[str, str] | None = LOGIN) -> Archive:
    return Archive(f"http://{HOST}:{port}/dicom-web/", login=login)


@pytest.fixture
def orthanc(port: int) -> Archive:
    return archive_at(port)


def files_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def store_cine(target: Archive, folder: Path, size: int = 0, **entries: object) -> str:
    """Store a cine of 20 images as a study of its own, perhaps of ``size`` rows; return its UID."""
    study = generate_uid()
    voxels = made_voxels((5, 4, size, size)) if size else None
    write_cine(folder, voxels, StudyInstanceUID=study, **entries)
    drain(target.store(files_in(folder)))
    return study


def template_of(error: pytest.ExceptionInfo[DataError]) -> str:
    return error.value.statement.template


# --- find ------------------------------------------------------------------------------------


def test_patients_with_one_name_and_any_script_are_found(orthanc, tmp_path):
    people = [
        ("DOE^JOHN", "A1", "20240101"), ("DOE^JOHN", "A2", "20240102"),
        ("Müller^Jörg", "A3", "20240103"), ("山田^太郎", "A4", "20240104"),
    ]  # fmt: skip
    for name, patient, day in people:
        entries = {"PatientName": name, "PatientID": patient, "StudyDate": day}
        slice_file(
            tmp_path / patient, made_voxels()[0, 0], StudyInstanceUID=generate_uid(),
            SpecificCharacterSet="ISO_IR 192", StudyDescription="Herz\n früh", **entries,
        )  # fmt: skip
    drain(orthanc.store(files_in(tmp_path)))

    def ids(**filters: str) -> list[str]:
        return [study.patient.patient_id for study in orthanc.find_studies(**filters)]

    assert ids(patient="A*") == ids(patient="a?") == ["A4", "A3", "A2", "A1"]
    assert ids(name="doe") == ids(name="e JO") == ids(name="DOE^J") == ["A2", "A1"]
    assert ids(name="müller") == ids(name="r^Jör") == ["A3"]
    assert ids(name="Müller^Jörn") == ids(name="[a-z]", patient="A*") == []
    assert ids(name="太郎") == ["A4"]
    assert ids(dates="20240102-20240103", patient="A*") == ["A3", "A2"]
    assert ids(dates="20240103-", patient="A*") == ["A4", "A3"]
    assert ids(dates="20240103", patient="A*") == ["A3"]
    assert ids(patient="A") == ids(patient="A9") == []
    (study,) = orthanc.find_studies(patient="A3")
    assert (study.patient.name, study.patient.date) == ("Müller^Jörg", "2024-01-03")
    assert (study.description, study.series, study.images) == ("Herz früh", "1", "1")


def test_all_of_300_studies_are_listed(orthanc, port, tmp_path):
    first = pydicom.dcmread(slice_file(tmp_path / "a.dcm", made_voxels()[0, 0], PatientID="many"))
    images = [deepcopy(first) for _ in range(300)]
    for image in images:
        image.StudyInstanceUID, image.SeriesInstanceUID = generate_uid(), generate_uid()
        image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    orthanc._client.store_instances(images)
    found = orthanc.find_studies(patient="many")
    assert {study.uid for study in found} == {image.StudyInstanceUID for image in images}


# --- fetch -----------------------------------------------------------------------------------


def test_a_fetched_study_is_what_was_stored(orthanc, tmp_path):
    study = store_cine(orthanc, tmp_path / "in", PatientName="Secret^Name")
    packed = pydicom.dcmread(files_in(tmp_path / "in")[0])
    packed.SOPInstanceUID = packed.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    packed.SeriesInstanceUID = generate_uid()
    packed.compress(RLELossless, generate_instance_uid=False)
    packed.save_as(tmp_path / "packed.dcm")
    drain(orthanc.store([tmp_path / "packed.dcm"]))
    steps: list[tuple[int, int]] = []
    out = tmp_path / "out" / "heart"
    assert drain(orthanc.fetch(study, out), steps.append) == 21
    assert steps == [(done, 21) for done in range(22)]
    fetched = {d.SOPInstanceUID: d for d in map(pydicom.dcmread, files_in(out))}
    assert fetched[packed.SOPInstanceUID] == packed
    assert fetched.pop(packed.SOPInstanceUID).file_meta.TransferSyntaxUID == RLELossless
    sent = {d.SOPInstanceUID: d for d in map(pydicom.dcmread, files_in(tmp_path / "in"))}
    assert fetched == sent
    assert not any("Secret" in str(path) for path in tmp_path.rglob("*"))
    for file in files_in(out):
        if pydicom.dcmread(file).SOPInstanceUID == packed.SOPInstanceUID:
            file.unlink()
    assert np.array_equal(read_dicom(out).voxels, made_voxels())
    with pytest.raises(DataError, check=says(archive.NOT_EMPTY)):
        drain(orthanc.fetch(study, out))


@pytest.mark.parametrize("study", ["1.2.3", "../../x", "1.2?a=b", ""])
def test_a_study_that_does_not_exist_is_refused(orthanc, tmp_path, study):
    with pytest.raises(DataError, check=says(archive.UNKNOWN_STUDY)):
        drain(orthanc.fetch(study, tmp_path / "out"))
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(("share", "least", "most"), [(0.5, 3, 14), (1, 19, 19)])
def test_a_cut_fetch_leaves_nothing(orthanc, port, tmp_path, share, least, most):
    """The bytes of all files end within the last image, because their parts have headers."""
    study = store_cine(orthanc, tmp_path / "in", 128)
    size = sum(file.stat().st_size for file in files_in(tmp_path / "in"))
    with line(port) as connection, pytest.raises(DataError) as caught:
        steps = archive_at(connection.port).fetch(study, tmp_path / "out" / "heart")
        assert next(steps) == (0, 20)
        connection.breaks_after = int(share * size)
        drain(steps)
    assert template_of(caught) == archive.FETCH_CUT
    assert least <= caught.value.values["done"] <= most
    assert not files_in(tmp_path / "out")


def test_a_study_that_grows_is_not_kept(orthanc, tmp_path):
    study = store_cine(orthanc, tmp_path / "in")
    steps = orthanc.fetch(study, tmp_path / "out" / "heart")
    next(steps)
    late = slice_file(tmp_path / "late.dcm", made_voxels()[0, 0], StudyInstanceUID=study, series=8)
    drain(orthanc.store([late]))
    with pytest.raises(DataError) as caught:
        drain(steps)
    assert template_of(caught) == archive.STUDY_GREW
    assert caught.value.values == {"before": 20, "after": "21 images"}
    assert not files_in(tmp_path / "out")
    assert drain(orthanc.fetch(study, tmp_path / "out" / "heart")) == 21


def test_a_fetched_study_stays_until_its_growth_is_complete(orthanc, port, tmp_path):
    study, folder = store_cine(orthanc, tmp_path / "in", 128), tmp_path / "out"
    drain(orthanc.fetch(study, folder))
    about, pixels = {"StudyInstanceUID": study}, made_voxels()[0, 0]
    derived = slice_file(tmp_path / "seg.dcm", pixels, series=8, Modality="SEG", **about)
    drain(orthanc.store([derived]))
    assert drain(orthanc.fetch_if_grown(study, folder)) == 0
    drain(orthanc.store([slice_file(tmp_path / "late.dcm", pixels, series=9, **about)]))
    with line(port) as connection, pytest.raises(DataError, check=says(archive.FETCH_CUT)):
        steps = archive_at(connection.port).fetch_if_grown(study, folder)
        next(steps)
        connection.breaks_after = 400_000
        drain(steps)
    assert len(files_in(folder)) == 20
    assert drain(orthanc.fetch_if_grown(study, folder)) == 22
    assert len(files_in(folder)) == 22
    assert not [*tmp_path.glob(".*")]
    (folder / "review.json").touch()
    drain(orthanc.store([slice_file(tmp_path / "later.dcm", pixels, series=10, **about)]))
    with pytest.raises(DataError) as caught:  # nothing but what was fetched is replaced
        drain(orthanc.fetch_if_grown(study, folder))
    assert template_of(caught) == archive.NOT_EMPTY
    assert len(files_in(folder)) == 23


def test_an_archive_that_sends_too_little_is_refused(orthanc, tmp_path, monkeypatch):
    study = store_cine(orthanc, tmp_path / "in")
    whole = DICOMwebClient.iter_study

    def some(*arguments: object, **options: object) -> Iterator[pydicom.Dataset]:
        yield from [*whole(*arguments, **options)][:18]

    monkeypatch.setattr(DICOMwebClient, "iter_study", some)
    with pytest.raises(DataError, check=says(archive.NOT_ALL_SENT, done=18)):
        drain(orthanc.fetch(study, tmp_path / "out"))
    assert not (tmp_path / "out").exists()


# --- store -----------------------------------------------------------------------------------


def test_a_cut_store_says_what_arrived(orthanc, port, tmp_path):
    study = generate_uid()
    write_cine(tmp_path / "in", made_voxels((5, 4, 128, 128)), StudyInstanceUID=study)
    with line(port) as connection, pytest.raises(DataError) as caught:
        connection.breaks_after = 300_000
        drain(archive_at(connection.port).store(files_in(tmp_path / "in")))
    assert template_of(caught) == archive.STORE_CUT
    done = caught.value.values["done"]
    assert 3 <= done <= 9
    drain(orthanc.store(files_in(tmp_path / "in")))
    assert drain(orthanc.fetch(study, tmp_path / "out")) == 20


def test_a_full_archive_is_said(tmp_path):
    with run_orthanc(tmp_path, MaximumStorageSize=1, MaximumStorageMode="Reject") as port:
        write_cine(tmp_path / "in", made_voxels((5, 4, 256, 256)))
        with pytest.raises(DataError) as caught:
            drain(archive_at(port, login=None).store(files_in(tmp_path / "in")))
    assert template_of(caught) == archive.FULL
    assert 5 <= caught.value.values["done"] <= 8
    assert caught.value.values["files"] == "20 files"


def test_a_refused_file_is_named(orthanc, tmp_path):
    file = slice_file(tmp_path / "a.dcm", made_voxels()[0, 0], PatientID=None)
    content = pydicom.dcmread(file)
    del content.SOPInstanceUID
    content.save_as(file)
    with pytest.raises(DataError, check=says(archive.FILE_REFUSED, file=file)):
        drain(orthanc.store([file]))


def test_only_dicom_files_are_described(tmp_path):
    file = slice_file(tmp_path / "a.dcm", made_voxels()[0, 0], StudyInstanceUID="1.2")
    assert describe_files([file]) == [f"{file}: MR of study 1.2"]
    other = tmp_path / "notes.txt"
    other.write_text("no DICOM")
    for path, template in ((other, archive.NOT_DICOM), (tmp_path / "none", UNREADABLE)):
        with pytest.raises(DataError, check=says(template)):
            describe_files([file, path])


# --- who may, and whom to trust --------------------------------------------------------------


@pytest.mark.parametrize("login", [None, (LOGIN[0], "wrong"), ("token", "wrong")])
def test_a_wrong_login_is_refused_everywhere(port, tmp_path, login):
    stranger = archive_at(port, login=login)
    file = slice_file(tmp_path / "a.dcm", made_voxels()[0, 0])
    calls = (
        stranger.check_login, stranger.find_studies, lambda: drain(stranger.store([file])),
        lambda: drain(stranger.fetch("1.2", tmp_path / "out")),
    )  # fmt: skip
    for call in calls:
        with pytest.raises(LoginRefusedError) as caught:
            call()
        assert caught.value.values["status"] == 401
        assert "wrong" not in str(caught.value)


def test_a_login_comes_from_the_keyring_or_the_environment(own_keyring, monkeypatch):
    url = "https://a.example/dicom-web"
    known = KnownArchive("Hospital", url)
    assert find_login(known) is None
    monkeypatch.setenv(archive.USER_VARIABLE, "anna")
    assert find_login(known) is None
    monkeypatch.setenv(archive.PASSWORD_VARIABLE, "p")
    assert find_login(known) == ("anna", "p")
    monkeypatch.setenv(archive.TOKEN_VARIABLE, "t\n")
    assert find_login(known) == ("token", "t")
    own_keyring.set_password(url, "bert", "q")
    assert find_login(known) == ("token", "t")  # the keyring has none of anna's
    monkeypatch.delenv(archive.USER_VARIABLE)
    assert find_login(KnownArchive(url + "/", url + "/")) == find_login(known) == ("bert", "q")
    own_keyring.set_password("Hospital", "carl", "r")
    assert find_login(known) == ("carl", "r")
    assert find_login(find_archive("https://b.example/dicom-web")) == ("token", "t")


def test_the_keyring_keeps_one_login_of_an_archive(own_keyring):
    known = KnownArchive("Hospital", "https://a.example")
    assert keep_login(known, ("anna", "p"))
    assert keep_login(known, ("bert", "q"))
    assert own_keyring.passwords == {("Hospital", "bert"): "q"}
    keyring.set_keyring(NoKeyring())
    assert not keep_login(known, ("anna", "p"))


def test_certificates_are_verified(tmp_path, monkeypatch):
    context = make_certificate(tmp_path / "own", "localhost")
    make_certificate(tmp_path / "other", "localhost")
    authority, other = tmp_path / "own" / "ca.pem", tmp_path / "other" / "ca.pem"
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(other))  # which must not replace --ca
    with serve_answer(b"[]", context) as site:
        address = f"https://localhost:{site.server_port}/dicom-web"
        assert Archive(address, ca=authority).find_studies() == []
        for url, ca, template in (
            (address, None, archive.WRONG_AUTHORITY),
            (address, other, archive.WRONG_AUTHORITY),
            (address.replace("localhost", HOST), authority, archive.WRONG_HOST),
            (address.replace("https", "http"), authority, archive.NO_ANSWER),
        ):
            with pytest.raises(DataError, check=says(template)):
                Archive(url, ca=ca).check_login()
    for ca in (tmp_path / "none.pem", tmp_path / "own" / "key.pem"):
        with pytest.raises(DataError, check=says(UNREADABLE)):
            Archive(address, ca=ca)


def test_a_silent_archive_does_not_answer(port, monkeypatch):
    monkeypatch.setattr(archive, "LONGEST_WAITS", (5, 0.2))
    with line(port) as connection:
        connection.fall_silent()
        with pytest.raises(DataError, check=says(archive.NO_ANSWER)):
            archive_at(connection.port).find_studies()
    with pytest.raises(DataError, check=says(archive.NO_ANSWER)):
        archive_at(connection.port).find_studies()


@pytest.mark.parametrize(
    "url", ["", "archive", "ftp://a/b", "http://", "http://a:b@c/d", "http://a:port/", "http://[/"]
)
def test_an_address_that_cannot_be_one_is_refused(url):
    with pytest.raises(DataError) as caught:
        Archive(url)
    assert template_of(caught) == archive.BAD_URL
    assert "a:b" not in str(caught.value)


@pytest.mark.parametrize("body", [b"<html>Hello</html>", b'[{"a": 1}]', b"[{}]", b"[3]"])
def test_another_server_is_no_archive(body):
    with serve_answer(body) as site, pytest.raises(DataError, check=says(archive.NOT_DICOMWEB)):
        archive_at(site.server_port, login=("token", "abc")).find_studies()
    assert site.authorisations == ["Bearer abc"]


def test_an_archive_that_fails_is_not_blamed_on_its_address():
    with serve_answer(b"", status=503) as site, pytest.raises(DataError) as caught:
        archive_at(site.server_port).find_studies()
    assert template_of(caught) == archive.ARCHIVE_FAILED
    assert caught.value.values["status"] == 503


def test_a_wrong_path_is_no_archive(port):
    with pytest.raises(DataError, check=says(archive.NOT_DICOMWEB, reason="status 404")):
        Archive(f"http://{HOST}:{port}/other", login=LOGIN).check_login()
