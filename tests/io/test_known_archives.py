"""Names of archives, kept in the user's config folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_bayes_nnunet.io import DataError, known_archives
from napari_bayes_nnunet.io.files.json_files import DAMAGED_JSON
from napari_bayes_nnunet.io.known_archives import (
    KnownArchive,
    archives_file,
    find_archive,
    forget_archive,
    keep_archive,
    read_archives,
)

from ..helpers.checks.problems import says

FIRST = KnownArchive("Klinik Süd", "https://a.example/dicom-web", "/etc/ca.pem")
SECOND = KnownArchive("Research", "http://localhost:8042/dicom-web")


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))


def template_of(error: pytest.ExceptionInfo[DataError]) -> str:
    return error.value.statement.template


def test_archives_are_kept_by_name():
    assert read_archives() == {}
    keep_archive(SECOND)
    keep_archive(KnownArchive(FIRST.name, "https://old.example"))
    keep_archive(FIRST)
    assert read_archives() == {SECOND.name: SECOND, FIRST.name: FIRST}
    assert find_archive(FIRST.name) == FIRST
    assert find_archive("https://b.example").url == "https://b.example"
    forget_archive(SECOND.name)
    assert read_archives() == {FIRST.name: FIRST}


def test_an_unknown_name_is_refused_with_the_known_ones():
    keep_archive(FIRST)
    for call in (find_archive, forget_archive):
        with pytest.raises(DataError) as caught:
            call("Research")
        assert template_of(caught) == known_archives.UNKNOWN_ARCHIVE
        assert caught.value.values == {"name": "Research", "known": FIRST.name}


@pytest.mark.parametrize("name", ["", " ", "https://a.example"])
def test_a_name_that_is_none_is_refused(name):
    with pytest.raises(DataError, check=says(known_archives.NO_ARCHIVE_NAME)):
        keep_archive(KnownArchive(name, "https://a.example"))


def test_a_damaged_list_is_not_replaced():
    file = archives_file()
    file.parent.mkdir()
    file.write_text('[{"name": 3}]')
    with pytest.raises(DataError, check=says(DAMAGED_JSON)):
        keep_archive(FIRST)
    assert file.read_text() == '[{"name": 3}]'
