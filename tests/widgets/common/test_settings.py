"""Tests of the settings of the docks."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import platformdirs
import pytest
from napari.utils import notifications

from napari_bayes_nnunet.widgets.common.settings import (
    KEPT,
    NOT_SET_ASIDE,
    SET_ASIDE,
    Settings,
    default_path,
    open_settings,
)

from ...helpers.processes.small_disk import hide_files


def test_the_latest_folder_comes_first_and_only_once(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in "abc"]
    for folder in folders:
        folder.mkdir()
    settings = Settings(tmp_path / "config" / "settings.json")
    for folder in (*folders, folders[0]):
        settings.add_recent_folder(folder)
    assert settings.recent_folders() == [folders[0], folders[2], folders[1]]
    assert Settings(tmp_path / "config" / "settings.json").recent_folders()[0] == folders[0]


def test_only_a_few_are_kept(tmp_path: Path) -> None:
    settings = Settings(tmp_path / "settings.json")
    for number in range(KEPT + 3):
        (tmp_path / str(number)).mkdir()
        settings.add_recent_folder(tmp_path / str(number))
    assert len(settings.recent_folders()) == KEPT


def test_missing_folders_are_not_offered(tmp_path: Path) -> None:
    settings = Settings(tmp_path / "settings.json")
    settings.add_recent_folder(tmp_path / "gone")
    assert settings.recent_folders() == []


@pytest.mark.parametrize(
    "content",
    ["", "{", "[1]", '{"recent_ensembles": [1, null]}', '{"recent_ensembles": null}'],
)
def test_a_damaged_file_counts_as_empty(tmp_path: Path, content: str) -> None:
    (tmp_path / "settings.json").write_text(content)
    assert Settings(tmp_path / "settings.json").recent_folders() == []


@pytest.mark.parametrize(
    ("content", "usable"),
    [
        ("{", {}),
        ("[1]", {}),
        ('{"reading_layout": "yes", "preset": "quick", "of_a_newer_version": 3}',
         {"preset": "quick", "of_a_newer_version": 3}),
        ('{"recent_ensembles": {"a": 1}}', {}),
        ('{"recent_runs": [1], "study_aliases": ["a"], "thumbnails": 0}', {}),
    ],
)  # fmt: skip
def test_a_damaged_file_is_kept_aside(tmp_path: Path, content: str, usable: dict) -> None:
    file = tmp_path / "settings.json"
    file.write_text(content)
    Settings(file).keep_uncertainty_view("MAP")
    assert json.loads(file.read_text()) == {**usable, "uncertainty_view": "MAP"}
    (copy,) = tmp_path.glob("settings_damaged_*.json")
    assert copy.read_text() == content
    assert Settings(file).set_aside() == ""


def test_the_place_of_a_damaged_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "settings.json"
    assert Settings(file).set_aside() == ""
    file.write_text("{")
    sentence = Settings(file).set_aside()
    (copy,) = tmp_path.glob("settings_damaged_*.json")
    assert sentence == SET_ASIDE.format(file=copy)


def test_dock_tells_user_of_damaged_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    monkeypatch.setattr(notifications, "show_warning", shown.append)
    (tmp_path / "settings.json").write_text("{")
    settings = Settings(tmp_path / "settings.json")
    for _ in range(2):
        assert open_settings(settings) is settings
    (copy,) = tmp_path.glob("settings_damaged_*.json")
    assert shown == [SET_ASIDE.format(file=copy)]


def test_damaged_file_that_stays_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "settings.json"
    file.write_text("{")

    def refuse(*_: object) -> None:
        raise PermissionError(13, "no access")

    monkeypatch.setattr(Path, "replace", refuse)
    settings = Settings(file)
    assert settings.set_aside() == NOT_SET_ASIDE.format(file=file, reason="no access")
    settings.keep_preset("quick")
    assert file.read_text() == "{"
    assert settings.preset() == ""


def test_other_keys_of_the_file_stay(tmp_path: Path) -> None:
    file = tmp_path / "settings.json"
    file.write_text('{"other": 1}')
    Settings(file).add_recent_folder(tmp_path)
    assert json.loads(file.read_text())["other"] == 1


KEEP_ALIASES = """
import sys
from pathlib import Path
from napari_bayes_nnunet.widgets.common.settings import Settings

settings = Settings(Path(sys.argv[1]))
for number in range(30):
    settings.keep_alias(sys.argv[2] + str(number), "x")
"""


def test_two_windows_keep_each_others_settings(tmp_path: Path) -> None:
    file = tmp_path / "settings.json"
    windows = [
        subprocess.Popen([sys.executable, "-c", KEEP_ALIASES, str(file), name]) for name in "ab"
    ]
    assert [window.wait(60) for window in windows] == [0, 0]
    assert len(json.loads(file.read_text())["study_aliases"]) == 60


def test_a_read_only_config_folder_is_ignored(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    settings = Settings(tmp_path / "file" / "settings.json")
    settings.add_recent_folder(tmp_path)
    assert settings.recent_folders() == []


def test_folders_of_a_drive_that_fails_are_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, folder = Settings(tmp_path / "settings.json"), tmp_path / "drive"
    settings.add_recent_folder(folder)
    settings.keep_last_ensemble(folder)
    settings.keep_save_folder(folder)
    hide_files(monkeypatch, folder)
    assert settings.recent_folders() == []
    assert settings.last_ensemble() is settings.save_folder() is None


def test_the_folders_of_the_last_evaluation_are_kept(tmp_path: Path) -> None:
    settings = Settings(tmp_path / "settings.json")
    assert settings.last_evaluation() == {}
    settings.add_recent_folder(tmp_path)
    settings.keep_evaluation({"labels": "/a"})
    settings.keep_evaluation({"labels": "/b"})
    again = Settings(tmp_path / "settings.json")
    assert again.last_evaluation() == {"labels": "/b"}
    assert again.recent_folders() == [tmp_path]


def test_the_last_folder_of_studies_is_kept(tmp_path: Path) -> None:
    settings = Settings(tmp_path / "settings.json")
    assert settings.last_cohort() == {}
    settings.keep_evaluation({"labels": "/a"})
    settings.keep_cohort({"images": "/b"})
    again = Settings(tmp_path / "settings.json")
    assert again.last_cohort() == {"images": "/b"}
    assert again.last_evaluation() == {"labels": "/a"}


def test_the_file_lies_in_the_users_config_folder() -> None:
    assert default_path().is_relative_to(platformdirs.user_config_path())
    assert default_path().name == "settings.json"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems ignore XDG_CONFIG_HOME")
def test_tests_leave_the_settings_of_the_user(tmp_path_factory: pytest.TempPathFactory) -> None:
    assert default_path().is_relative_to(tmp_path_factory.getbasetemp())
