"""Tests of the process that segments a cohort."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from napari_bayes_nnunet.app.messages import JobEnded, Message, StudiesFound, StudyDone
from napari_bayes_nnunet.widgets.cohort.command import COHORT_SUBJECT
from napari_bayes_nnunet.widgets.common import process as job_process
from napari_bayes_nnunet.widgets.common.process import CHILD_FAILED, JobProcess

from ...helpers.windows.cohort_docks import fake_predict, made_request
from ..common.test_inference_child import is_alive


class Heard:
    """A run of the fake command, and its signals so far."""

    def __init__(self, *flags: object, command: list[str] | None = None) -> None:
        self.run = JobProcess(command or fake_predict(*flags), subject=COHORT_SUBJECT)
        self.found: list[StudiesFound] = []
        self.studies: list[StudyDone] = []
        self.said: list[str] = []
        self.ended: list[tuple[str, str]] = []
        self.run.message_received.connect(self._take)
        self.run.ended.connect(lambda *how: self.ended.append(how))

    def _take(self, message: Message) -> None:
        if isinstance(message, StudiesFound):
            self.found.append(message)
        elif isinstance(message, StudyDone):
            self.studies.append(message)
        elif not isinstance(message, JobEnded):
            self.said.append(message.text)


@pytest.fixture
def make(qapp: Any):
    made: list[Heard] = []

    def heard(*flags: object, command: list[str] | None = None) -> Heard:
        made.append(Heard(*flags, command=command))
        return made[-1]

    yield heard
    for recorder in made:
        recorder.run.close()


def wait_end(heard: Heard, qtbot: Any) -> tuple[str, str]:
    qtbot.waitUntil(lambda: bool(heard.ended))
    assert not heard.run.is_running
    return heard.ended.pop()


def wait_study(heard: Heard, qtbot: Any) -> None:
    qtbot.waitUntil(lambda: bool(heard.studies))


def test_all_studies_are_reported_in_order(make, tmp_path, qtbot) -> None:
    heard = make("--notice", "Memory is short.")
    assert heard.run.pid is None
    heard.run.start(*made_request(tmp_path, "a", "b/a", "broken", "seg").arguments)
    assert wait_end(heard, qtbot) == ("finished", "Segmented all.")
    (found,) = heard.found
    assert found.studies == 3
    (left_out,) = found.left_out
    assert left_out.endswith("labels: 1")
    assert [study.case for study in heard.studies] == ["a", "b/a", "broken"]
    assert [study.outcome for study in heard.studies] == ["done", "done", "failed"]
    assert heard.said == ["Looking into the folder", "Memory is short."]


def test_starting_twice_starts_one(make, tmp_path, qtbot) -> None:
    heard = make("--seconds", 0.1)
    heard.run.start(*made_request(tmp_path, "a").arguments)
    pid = heard.run.pid
    heard.run.start(*made_request(tmp_path, "a").arguments)
    assert heard.run.pid == pid
    wait_end(heard, qtbot)
    assert len(heard.studies) == 1


def test_stop_asks_the_command_to_end(make, tmp_path, qtbot, monkeypatch) -> None:
    monkeypatch.setattr(job_process, "STOPS_WITHIN_MS", 600_000)  # nobody kills it
    heard = make("--seconds", 60)
    request = made_request(tmp_path)
    (tmp_path / "out" / "a").mkdir(parents=True)
    (tmp_path / "out" / "a" / "study.json").touch()
    heard.run.start(*request.arguments)
    wait_study(heard, qtbot)
    pid = heard.run.pid
    heard.run.stop()
    heard.run.stop()
    assert wait_end(heard, qtbot)[0] == "stopped"
    assert not is_alive(pid)


def test_a_command_that_does_not_end_is_killed(make, tmp_path, qtbot, monkeypatch) -> None:
    monkeypatch.setattr(job_process, "STOPS_WITHIN_MS", 200)
    heard = make("--seconds", 60, "--deaf")
    heard.run.start(*made_request(tmp_path).arguments)
    qtbot.waitUntil(lambda: bool(heard.found))
    pid = heard.run.pid
    heard.run.stop()
    assert wait_end(heard, qtbot) == ("stopped", "")
    assert not is_alive(pid)


def test_stop_before_the_command_listens(make, tmp_path, qtbot) -> None:
    heard = make("--seconds", 60)
    heard.run.start(*made_request(tmp_path).arguments)
    heard.run.stop()
    assert wait_end(heard, qtbot)[0] == "stopped"
    heard.run.stop()
    assert heard.ended == []


@pytest.mark.parametrize("flags", [(), ("--deaf",)])
def test_closing_ends_the_command_without_a_signal(make, tmp_path, qtbot, flags) -> None:
    heard = make("--seconds", 60, *flags)
    heard.run.start(*made_request(tmp_path).arguments)
    qtbot.waitUntil(lambda: bool(heard.found))
    pid = heard.run.pid
    heard.run.close(within_ms=200)
    assert not is_alive(pid)
    assert not heard.run.is_running
    assert heard.ended == []


CRASHED = CHILD_FAILED.format(subject=COHORT_SUBJECT, code=3, reason=": RuntimeError: fake crash")


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (("--dies-at", 2), CRASHED),
        (("--fails", "The disk is full."), "The disk is full."),
    ],
)
def test_a_failure_is_reported_with_its_error(make, tmp_path, qtbot, flags, sentence) -> None:
    heard = make(*flags)
    heard.run.start(*made_request(tmp_path).arguments)
    assert wait_end(heard, qtbot) == ("failed", sentence)


def test_the_command_ends_after_its_window_was_killed(tmp_path) -> None:
    """It ends at its next message, which cannot be written."""
    script = (
        "import sys, pathlib; from qtpy.QtCore import QCoreApplication\n"
        "from tests.helpers.windows.cohort_docks import fake_predict, made_request\n"
        "from napari_bayes_nnunet.widgets.common.process import JobProcess\n"
        "app = QCoreApplication([])\n"
        "run = JobProcess(fake_predict('--seconds', 0.2), subject='It')\n"
        "run.message_received.connect(lambda m: m.kind == 'study' and print(run.pid, flush=True))\n"
        "request = made_request(pathlib.Path(sys.argv[1]), *map(str, range(200)))\n"
        "run.start(*request.arguments); app.exec()"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    root = Path(__file__).parents[3]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root) as window:
        assert window.stdout is not None
        pid = int(window.stdout.readline())
        assert is_alive(pid)
        window.kill()
    until = time.perf_counter() + 10
    while is_alive(pid) and time.perf_counter() < until:
        time.sleep(0.05)
    assert not is_alive(pid)
