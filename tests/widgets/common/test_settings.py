"""Tests of the settings of the docks."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from napari.utils import notifications

from napari_bayes_nnunet.app.remote.device import RemoteDevice
from napari_bayes_nnunet.widgets.common.settings import (
    MOST_RECENT,
    NOT_SET_ASIDE,
    SET_ASIDE,
    Display,
    Kept,
    Settings,
    StopTarget,
    default_path,
    existing,
    open_settings,
)

from ...helpers.processes.small_disk import hide_files


def test_the_latest_folder_comes_first_and_only_once(tmp_path) -> None:
    settings = Settings(tmp_path / "config" / "settings.json")
    for name in (*"abc", "a"):
        settings.put_first("recent_ensembles", Path(name))
    assert settings.kept.recent_ensembles == ("a", "c", "b")
    assert Settings(tmp_path / "config" / "settings.json").kept.recent_ensembles[0] == "a"


def test_only_a_few_are_kept(tmp_path) -> None:
    settings = Settings(tmp_path / "settings.json")
    for number in range(MOST_RECENT + 3):
        settings.put_first("recent_runs", Path(str(number)))
    assert len(settings.kept.recent_runs) == MOST_RECENT


@pytest.mark.parametrize(
    ("content", "usable"),
    [
        ("{", {}),
        ("[1]", {}),
        ('{"reading_layout": "yes", "preset": "quick", "of_a_newer_version": 3}',
         {"preset": "quick", "of_a_newer_version": 3}),
        ('{"recent_ensembles": {"a": 1}, "display": {"fill": "yes"}}', {}),
        ('{"recent_runs": [1], "study_aliases": ["a"], "thumbnails": 0}', {}),
    ],
)  # fmt: skip
def test_a_damaged_file_is_kept_aside(tmp_path, content, usable) -> None:
    file = tmp_path / "settings.json"
    file.write_text(content)
    Settings(file).keep(uncertainty_view="MAP")
    assert json.loads(file.read_text()) == {**usable, "uncertainty_view": "MAP"}
    (copy,) = tmp_path.glob("settings_damaged_*.json")
    assert copy.read_text() == content
    assert Settings(file).set_aside() == ""


def test_dock_tells_user_of_damaged_file(tmp_path, monkeypatch) -> None:
    shown: list[str] = []
    monkeypatch.setattr(notifications, "show_warning", shown.append)
    (tmp_path / "settings.json").write_text("{")
    settings = Settings(tmp_path / "settings.json")
    for _ in range(2):
        assert open_settings(settings) is settings
    (copy,) = tmp_path.glob("settings_damaged_*.json")
    assert shown == [SET_ASIDE.format(file=copy)]


def test_damaged_file_that_stays_is_not_replaced(tmp_path, monkeypatch) -> None:
    file = tmp_path / "settings.json"
    file.write_text("{")

    def refuse(*_: object) -> None:
        raise PermissionError(13, "no access")

    monkeypatch.setattr(Path, "replace", refuse)
    settings = Settings(file)
    assert settings.set_aside() == NOT_SET_ASIDE.format(file=file, reason="no access")
    settings.keep(preset="quick")
    assert file.read_text() == "{"
    assert settings.kept.preset == ""


KEEP_ALIASES = """
import sys, time
from pathlib import Path
from napari_bayes_nnunet.widgets.common.settings import Settings

settings = Settings(Path(sys.argv[1]))
for number in range(30):
    settings.add("study_aliases", {sys.argv[2] + str(number): "x"})
    time.sleep(0.02)
"""


def test_two_windows_keep_each_others_settings(tmp_path) -> None:
    file = tmp_path / "settings.json"
    windows = [
        subprocess.Popen([sys.executable, "-c", KEEP_ALIASES, str(file), name]) for name in "ab"
    ]
    assert [window.wait(60) for window in windows] == [0, 0]
    assert len(json.loads(file.read_text())["study_aliases"]) == 60


def test_a_read_only_config_folder_is_ignored(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    settings = Settings(tmp_path / "file" / "settings.json")
    settings.keep(preset="quick")
    assert settings.kept == Kept()


def test_folders_of_a_drive_that_fails_are_missing(tmp_path, monkeypatch) -> None:
    assert existing(str(tmp_path)) == tmp_path
    hide_files(monkeypatch, tmp_path)
    assert existing(str(tmp_path)) is existing("") is None


def test_each_field_is_read_as_it_was_kept(tmp_path) -> None:
    settings = Settings(tmp_path / "settings.json")
    settings.keep(last_evaluation={"labels": "/a"}, stop_target=StopTarget(points=4, level=90))
    settings.keep(display=Display(fill=True), thumbnails=False)
    settings.add("open_sections", {"Look": False, "Queue": True})
    settings.add("study_aliases", {"a": "bed 1", "b": "bed 2"})
    settings.add("study_aliases", {"a": ""})
    assert Settings(tmp_path / "settings.json").kept == Kept(
        last_evaluation={"labels": "/a"},
        stop_target=StopTarget(points=4, level=90),
        display=Display(fill=True),
        thumbnails=False,
        open_sections={"Look": False, "Queue": True},
        study_aliases={"b": "bed 2"},
    )


def test_file_of_version_0_2_0_is_read(tmp_path) -> None:
    (tmp_path / "settings.json").write_text(
        '{"display": {"contours": true, "fill": true, "smooth": false}, "other_computer": '
        '{"address": "tls://a:1", "certificates": "c", "folder": ""}, "stop_target": '
        '{"points": 3.5, "level": 80}, "recent_runs": ["/r"], "segmentation": {"method": "x"}}'
    )
    assert Settings(tmp_path / "settings.json").kept == Kept(
        display=Display(fill=True, smooth=False),
        other_computer=RemoteDevice(address="tls://a:1"),
        stop_target=StopTarget(points=3.5, level=80),
        recent_runs=("/r",),
    )


@pytest.mark.skipif(sys.platform != "linux", reason="other systems ignore XDG_CONFIG_HOME")
def test_tests_leave_the_settings_of_the_user(tmp_path_factory) -> None:
    assert default_path().is_relative_to(tmp_path_factory.getbasetemp())
