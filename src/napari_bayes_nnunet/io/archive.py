"""Archives that speak DICOMweb: studies are found and fetched, and files are stored."""

from __future__ import annotations

import logging
import os
import re
import shutil
import ssl
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import keyring
import pydicom
import requests
from dicomweb_client import DICOMwebClient
from keyring.errors import KeyringError
from pydicom.errors import InvalidDicomError
from requests.auth import AuthBase, HTTPBasicAuth
from requests.utils import get_environ_proxies

from ..core.counts import format_count
from ..core.heart.patient_record import PatientRecord
from ..core.problems import Action, Setting
from . import DataError
from .dicom.files import list_files
from .dicom.headers import DAMAGED, DERIVED, group_by_study, patient_record, tolerant_reading
from .dicom.limits import read_dicom_file
from .files.access import reading
from .files.appearing import appearing
from .known_archives import KnownArchive

TOKEN_USER: Final = "token"
"""Name of the user in the keyring whose password is a token (OAuth 2) and no password."""
USER_VARIABLE: Final = "BAYES_NNUNET_ARCHIVE_USER"
PASSWORD_VARIABLE: Final = "BAYES_NNUNET_ARCHIVE_PASSWORD"
TOKEN_VARIABLE: Final = "BAYES_NNUNET_ARCHIVE_TOKEN"
LONGEST_WAITS: Final = (10.0, 120.0)
"""Longest wait for a connection, and for the next bytes of an answer, s."""
ENTRIES_AT_ONCE: Final = 100
"""Entries that are asked for at once; an archive may send fewer."""
AS_STORED: Final = (("application/dicom", "*"),)
"""Media type of images that keep the compression that they have in the archive."""
OUT_OF_RESOURCES: Final = range(0xA700, 0xA800)
"""Reasons of a refusal (PS3.4, table B.2-1): the archive has no room."""
OTHER_HOST: Final = (62, 64)
"""OpenSSL's numbers of a certificate for another host name, or another IP address."""

BAD_URL: Final = (
    "{url} is not the address of an archive. Give one like https://archive.example.org/dicom-web, "
    "without user and password."
)
NOT_DICOMWEB: Final = (
    "There is no DICOMweb archive at {url} ({reason}). Check the address, which often ends in "
    "/dicom-web."
)
NO_ANSWER: Final = (
    "The archive at {url} does not answer. Check the address, and that this computer reaches the "
    "archive."
)
ARCHIVE_FAILED: Final = (
    "The archive at {url} failed (status {status}). Try again later, or tell its administrator."
)
WRONG_AUTHORITY: Final = (
    "The certificate of {url} is not trusted ({reason}). Give the certificate of the authority "
    "that issued it with {ca}."
)
WRONG_HOST: Final = (
    "The certificate of {url} is for another host ({reason}). Use the name of the archive in its "
    "certificate."
)
LOGIN_REFUSED: Final = (
    "The archive at {url} does not let you in (status {status}). Check the user and password, or "
    "the token, and what they may do."
)
FULL: Final = (
    "The archive at {url} is full and took {done} of {files}. Ask its administrator for room, then "
    "send the files again."
)
FILE_REFUSED: Final = (
    "The archive at {url} refused {file} ({reason}) and took {done} of {files}. Ask its "
    "administrator for the reason, or leave the file out."
)
STORE_CUT: Final = (
    "The connection to {url} broke, and the archive has taken {done} of {files} for certain. Send "
    "all of them again: an archive keeps each only once."
)
FETCH_CUT: Final = (
    "The connection to {url} broke after {done} of {images}, and none was kept. Fetch the study "
    "again."
)
NOT_ALL_SENT: Final = (
    "The archive at {url} sent {done} of {images} of the study, and none was kept. Ask its "
    "administrator for the others."
)
STUDY_GREW: Final = (
    "The study has grown from {before} to {after} while it was fetched, and none was kept. Fetch "
    "it again when the scanner has sent all of it."
)
UNKNOWN_STUDY: Final = (
    "The archive at {url} has no study {study}. Look up its UID with bayes-nnunet archive list."
)
NOT_EMPTY: Final = "{folder} exists and is not an empty folder."
_FETCHED: Final = re.compile(r"\d{5,}\.dcm")
NOT_DICOM: Final = "{file} is not a DICOM file that can be read. Leave it out."

# They would log each failed request, with the name that was searched for.
for _module in ("dicomweb_client", "retrying"):
    logging.getLogger(_module).setLevel(logging.ERROR)


class LoginRefusedError(DataError):
    """Error for a user whom the archive does not let in."""


@dataclass(frozen=True)
class ArchivedStudy:
    """A study of an archive, with the numbers of its series and images as the archive has them."""

    uid: str
    patient: PatientRecord
    description: str
    series: str
    images: str


class _Session(requests.Session):
    """Session that sends the wildcard as it is, and notices if the end of an answer is missing.

    Orthanc reads no escape in a search, and sends a study without its length.
    """

    def get(self, url: str | bytes, *arguments: Any, **options: Any) -> requests.Response:
        """Send a GET request."""
        response = super().get(str(url).replace("%2A", "*"), *arguments, **options)
        boundary = re.search('boundary="?([^";]+)', response.headers.get("Content-Type", ""))
        if boundary is not None:
            chunks = partial(_up_to, f"--{boundary[1]}--".encode(), response.iter_content)
            setattr(response, "iter_content", chunks)  # noqa: B010 (mypy allows no assignment)
        return response


class _Bearer(AuthBase):
    """Authorisation by a token."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def _up_to(
    end: bytes, read: Callable[..., Iterator[bytes]], *arguments: Any, **options: Any
) -> Iterator[bytes]:
    """Yield what ``read`` yields. Raises requests.ConnectionError unless that ends with ``end``."""
    last = b""
    for chunk in read(*arguments, **options):
        last = (last + chunk)[-len(end) - 8 :]  # ends of lines may follow
        yield chunk
    if not last.rstrip().endswith(end):
        raise requests.ConnectionError


def find_login(archive: KnownArchive) -> tuple[str, str] | None:
    """Return user and password for an archive, from the keyring or the environment, or None.

    The keyring has them under the name or the URL. For a token the user is `TOKEN_USER`.
    """
    user = os.environ.get(USER_VARIABLE, "")
    with suppress(KeyringError):  # there is none, as on a server, or it is locked
        for service in (archive.name, archive.url.rstrip("/")):
            login = keyring.get_credential(service, user or None)
            if login is not None:
                return login.username, login.password
    token = os.environ.get(TOKEN_VARIABLE, "").strip()
    password = os.environ.get(PASSWORD_VARIABLE, "")
    if token:
        return TOKEN_USER, token
    return (user, password) if user and password else None


def keep_login(archive: KnownArchive, login: tuple[str, str]) -> bool:
    """Keep user and password in the keyring, in place of those before; return False without one."""
    with suppress(KeyringError):
        before = keyring.get_credential(archive.name, None)
        if before is not None and before.username != login[0]:
            keyring.delete_password(archive.name, before.username)
        keyring.set_password(archive.name, *login)
        return True
    return False


def connect_archive(known: KnownArchive, login: tuple[str, str] | None = None) -> Archive:
    """Return an archive after its first answer, by this login or by the one that is known.

    Raises DataError, as `LoginRefusedError` if the archive does not let the user in.
    """
    archive = Archive(known.url, login=login or find_login(known), ca=known.ca_file)
    archive.check_login()
    return archive


class Archive:
    """A DICOMweb archive at ``url``; ``login`` is a user with a password or token.

    ``ca`` is a PEM file with the certificates that are trusted in place of the public ones. All
    methods raise DataError, as `LoginRefusedError` if the archive does not let the user in.
    """

    def __init__(
        self, url: str, *, login: tuple[str, str] | None = None, ca: Path | None = None
    ) -> None:
        self.url = url.rstrip("/")
        try:
            parts = urlsplit(self.url)
            is_valid = parts.scheme in ("http", "https") and parts.port != 0
        except ValueError:
            is_valid = False
        if not is_valid or not parts.hostname or parts.username is not None:
            raise DataError(BAD_URL, url=re.sub("//.*@", "//", url))  # without a password
        session = _Session()
        # The environment would replace the authority and the login, but the proxy comes from it.
        session.trust_env = False
        session.headers["Accept"] = "application/dicom+json"
        if ca is not None:
            with reading(ca):
                # Loaded here, so that a wrong file is reported before the first request.
                ssl.create_default_context(cafile=ca)
            session.verify = str(ca)
        if login is not None:
            user, password = login
            # As bytes, because requests encodes texts in Latin-1.
            basic = HTTPBasicAuth(user.encode(), password.encode())
            session.auth = _Bearer(password) if user == TOKEN_USER else basic
        self._client = DICOMwebClient(
            self.url,
            session=session,
            proxies=get_environ_proxies(self.url),
            permissive_uid=True,
            timeout=LONGEST_WAITS,
        )
        # It would repeat every failure, such as a wrong certificate, for half a minute.
        self._client.set_http_retry_params(retry=False)

    def check_login(self) -> None:
        """Raise DataError if the archive does not answer or does not let the user in."""
        with self._talking():
            self._client.search_for_studies(limit=1)

    def find_studies(
        self, *, patient: str = "", name: str = "", dates: str = "", modality: str = ""
    ) -> list[ArchivedStudy]:
        """Return the studies that match, the latest first.

        ``patient`` is an ID, perhaps with wildcards (* and ?), and ``name`` a part of a name, in
        any case. ``dates`` is a day or a range as DICOM writes it: 20260131, 20260101-20260131.
        ``modality`` is that of one series, such as MR.
        """
        name = f"*{name}*" if name else ""
        filters = {"PatientID": _widened(patient), "PatientName": _widened(name)}
        filters |= {"StudyDate": dates, "ModalitiesInStudy": modality}
        counts = "NumberOfStudyRelatedSeries", "NumberOfStudyRelatedInstances"
        found = self._search(
            self._client.search_for_studies,
            "StudyInstanceUID",
            fields=["StudyDescription", *counts],
            search_filters={key: value for key, value in filters.items() if value},
        )
        studies = [
            ArchivedStudy(
                uid,
                patient_record(study),
                " ".join(str(study.get("StudyDescription") or "").split()),
                *(str(study.get(name, "")) for name in counts),
            )
            for uid, study in found.items()
        ]
        matching = (
            study
            for study in studies
            if _matches(study.patient.patient_id, patient) and _matches(study.patient.name, name)
        )
        return sorted(matching, key=lambda study: study.patient.date, reverse=True)

    def has_grown(self, study: str, folder: Path) -> bool:
        """Return whether a study has more images than the folder to which it was fetched.

        What is derived from images does not count, such as SEG and SR that were stored meanwhile.
        """
        search = self._client.search_for_series
        series = self._search(
            search,
            "SeriesInstanceUID",
            study_instance_uid=study,
            fields=["Modality", "NumberOfSeriesRelatedInstances"],
        ).values()
        images = [one for one in series if one.get("Modality") not in DERIVED]
        fetched = group_by_study([*list_files(folder)])
        count = sum(int(one.get("NumberOfSeriesRelatedInstances") or 0) for one in images)
        return count > sum(map(len, fetched.values()))

    def fetch_if_grown(self, study: str, folder: Path) -> Generator[tuple[int, int], None, int]:
        """Fetch a study into its folder, unless that has all of its images; then return 0.

        The old folder stays until the new one is complete. Else it does as `fetch`.
        """
        if folder.exists() and not self.has_grown(study, folder):
            return 0
        return (yield from self.fetch(study, folder, replaces=True))

    def fetch(
        self, study: str, folder: Path, *, replaces: bool = False
    ) -> Generator[tuple[int, int], None, int]:
        """Fetch all images of a study into a new folder. Yields (done, total), returns the total.

        The folder appears when the study is complete; an error or an interruption leaves nothing.
        Also raises DataError if the folder is not empty, unless this ``replaces`` what was fetched
        and there is nothing else, the archive does not have the study, or it has grown meanwhile.
        """
        held = [*folder.iterdir()] if folder.is_dir() else []
        is_fetched = replaces and all(_FETCHED.fullmatch(file.name) for file in held)
        if folder.exists() and held and not is_fetched:
            raise DataError(NOT_EMPTY, Action.OTHER_OUTPUT, folder=folder)
        expected = self._instances(study)
        if not expected:
            raise DataError(UNKNOWN_STUDY, url=self.url, study=study)
        total = len(expected)
        fetched: set[str] = set()
        with appearing(folder) as building:
            yield 0, total
            for image in self._receive(study, total):
                with tolerant_reading():
                    # Numbers, because a UID of another program may be anything, such as a path.
                    image.save_as(building / f"{len(fetched) + 1:05}.dcm")
                fetched.add(str(image.get("SOPInstanceUID")))
                yield min(len(fetched), total), total
            latest = self._instances(study)
            # A scanner may still be sending.
            if not latest <= expected:
                after = format_count(len(latest | expected), "image")
                raise DataError(STUDY_GREW, before=total, after=after)
            if not expected <= fetched:
                raise DataError(
                    NOT_ALL_SENT, url=self.url, **_progress(len(fetched), total, "image")
                )
            aside = building.with_name(building.name[:-8] + "0" * 8)  # a leftover if killed now
            if held:
                folder.rename(aside)
        shutil.rmtree(aside, ignore_errors=True)
        return total

    def store(self, files: Sequence[Path]) -> Generator[tuple[int, int], None, None]:
        """Send DICOM files to the archive, one by one. Yields (done, total).

        Also raises DataError if the archive is full or refuses a file, or the connection breaks.
        """
        for done, file in enumerate(files):
            yield done, len(files)
            with tolerant_reading(), reading(file):
                content = read_dicom_file(file)
            progress = _progress(done, len(files), "file")
            with self._talking():
                reason, is_full = self._send(content, progress)
            if is_full:
                raise DataError(FULL, url=self.url, **progress)
            if reason:
                raise DataError(FILE_REFUSED, url=self.url, file=file, reason=reason, **progress)
        yield len(files), len(files)

    def _send(self, content: pydicom.Dataset, progress: dict[str, Any]) -> tuple[str, bool]:
        """Send a file; return why it was refused, or "", and whether the archive is full."""
        status = ""
        try:
            with tolerant_reading():
                answer = self._client.store_instances([content])
        except requests.HTTPError as error:
            response = _response_of(error)
            # Only a login that is refused concerns all files.
            if response.status_code in (401, 403):
                raise
            status, answer = f"status {response.status_code}", pydicom.Dataset()
            with suppress(*DAMAGED), tolerant_reading():  # text for people, not for programs
                answer = pydicom.Dataset.from_json(response.json())
        except requests.RequestException as error:
            raise DataError(STORE_CUT, url=self.url, **progress) from error
        reasons = [item.get("FailureReason", 0) for item in answer.get("FailedSOPSequence") or []]
        reason = f"reason {reasons[0]:04X}" if reasons else status
        return reason, status == "status 507" or any(r in OUT_OF_RESOURCES for r in reasons)

    def _receive(self, study: str, total: int) -> Iterator[pydicom.Dataset]:
        """Yield the images of a study as they arrive, of which there are ``total``."""
        done = 0
        with self._talking():
            try:
                with tolerant_reading():
                    for image in self._client.iter_study(study, media_types=AS_STORED):
                        yield image
                        done += 1
            except requests.HTTPError:
                raise
            except (requests.RequestException, InvalidDicomError, *DAMAGED) as error:
                progress = _progress(done, total, "image")
                raise DataError(FETCH_CUT, url=self.url, **progress) from error

    def _instances(self, study: str) -> set[str]:
        """Return the UIDs of all images of a study; none if the archive does not have it."""
        if not re.fullmatch(r"[\w.-]+", study):
            return set()
        try:
            search = self._client.search_for_instances
            return {*self._search(search, "SOPInstanceUID", study_instance_uid=study)}
        except DataError as error:
            if error.values.get("reason") == "status 404":
                return set()
            raise

    def _search(
        self, search: Callable[..., Any], key: str, **query: Any
    ) -> dict[str, pydicom.Dataset]:
        """Return all entries that a search finds by the UID called ``key``, page by page.

        It ends with a page without anything new, because a page may be shorter than asked for.
        """
        found: dict[str, pydicom.Dataset] = {}
        while True:
            with self._talking(), tolerant_reading():
                page = search(limit=ENTRIES_AT_ONCE, offset=len(found), **query)
                entries = [pydicom.Dataset.from_json(entry) for entry in page]
                new = {str(entry[key].value): entry for entry in entries}
            if new.keys() <= found.keys():
                return found
            found |= new

    @contextmanager
    def _talking(self) -> Iterator[None]:
        """Raise DataError for an error of the connection, or an answer that makes no sense.

        The texts of these errors are not repeated, because they may quote a login.
        """
        try:
            yield
        except requests.HTTPError as error:
            status = _response_of(error).status_code
            if status in (401, 403):
                raise LoginRefusedError(LOGIN_REFUSED, url=self.url, status=status) from error
            if status >= 500:
                raise DataError(ARCHIVE_FAILED, url=self.url, status=status) from error
            raise DataError(NOT_DICOMWEB, url=self.url, reason=f"status {status}") from error
        except requests.JSONDecodeError as error:
            raise DataError(NOT_DICOMWEB, url=self.url, reason="no JSON") from error
        except requests.RequestException as error:
            refusal = _refused_certificate(error)
            if refusal is None:
                raise DataError(NO_ANSWER, url=self.url) from error
            template = WRONG_HOST if refusal.verify_code in OTHER_HOST else WRONG_AUTHORITY
            values = {"url": self.url, "reason": refusal.verify_message, "ca": Setting("ca")}
            raise DataError(template, **values) from error
        except DAMAGED as error:
            raise DataError(NOT_DICOMWEB, url=self.url, reason="no DICOM") from error


def describe_files(files: Sequence[Path]) -> list[str]:
    """Return a line on each DICOM file, without the patient's name.

    Raises DataError if a file cannot be read.
    """
    described = []
    for file in files:
        with tolerant_reading(), reading(file):
            try:
                header = read_dicom_file(file, stop_before_pixels=True)
                study = str(header["StudyInstanceUID"].value)
                described.append(f"{file}: {header.get('Modality') or '?'} of study {study}")
            except OSError:
                raise
            except (InvalidDicomError, *DAMAGED) as error:
                raise DataError(NOT_DICOM, file=file) from error
    return described


def _response_of(error: requests.HTTPError) -> requests.Response:
    assert error.response is not None
    return error.response


def _widened(pattern: str) -> str:
    """Return a pattern with * for all that would have to be escaped in a URL.

    Orthanc's plugin (1.20) does not undo escapes, and other archives confuse character sets.
    """
    return re.sub(r"[^\w.~-]+", "*", pattern, flags=re.ASCII)


def _matches(text: str, pattern: str) -> bool:
    """Return whether a text matches a pattern with * and ?, in any case; "" matches all."""
    plain, wanted = (part.replace("^", " ").casefold() for part in (text, pattern))
    return not pattern or fnmatchcase(plain, wanted.replace("[", "[[]"))


def _progress(done: int, total: int, noun: str) -> dict[str, Any]:
    """Return the numbers of a sentence: ``done``, and ``files`` such as "3 files"."""
    return {"done": done, f"{noun}s": format_count(total, noun)}


def _refused_certificate(error: BaseException | None) -> ssl.SSLCertVerificationError | None:
    """Return the refusal of a certificate that led to an error, or None."""
    while error is not None and not isinstance(error, ssl.SSLCertVerificationError):
        error = error.__cause__ or error.__context__
    return error
