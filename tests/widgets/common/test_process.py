"""Tests of jobs in child processes and the sentences on their end."""

import os
import sys

import pytest

from napari_bayes_nnunet.app.messages import FAILED, FINISHED, STOPPED, JobEnded, Notice
from napari_bayes_nnunet.widgets.common import process as module
from napari_bayes_nnunet.widgets.common.process import (
    CHILD_FAILED,
    CHILD_KILLED,
    CHILD_NOT_STARTED,
    JobProcess,
)

from .test_inference_child import is_alive

HELLO = 'print(\'{"kind": "notice", "text": "hello"}\', flush=True);'
ECHO = HELLO + "import sys; sys.stdout.write(sys.stdin.read());"
WAIT = "import time; time.sleep(60);"
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
DONE = f"print({JobEnded(outcome=FINISHED, text='Done.').to_line()!r}, flush=True);"


@pytest.fixture
def make(qapp):
    made = []

    def process(program, **options):
        made.append(JobProcess([sys.executable, "-c", program], subject="It", **options))
        made[-1].received = []
        made[-1].message_received.connect(made[-1].received.append)
        return made[-1]

    yield process
    for process in made:
        process.close(within_ms=0)


def end_of(process, qtbot):
    with qtbot.waitSignal(process.ended, timeout=20000) as ended:
        process.start()
    assert not process.is_running
    return tuple(ended.args)


def test_lines_that_are_no_messages_are_ignored(make, qtbot):
    process = make("print('not JSON');" + HELLO + 'print(\'{"kind": "new"}\');' + DONE)
    assert end_of(process, qtbot) == (FINISHED, "Done.")
    assert process.received[0] == Notice(text="hello")
    assert len(process.received) == 2


def test_without_an_input_the_child_reads_nothing(make, qtbot):
    process = make(ECHO + DONE)
    process.send(Notice(text="too early"))
    assert end_of(process, qtbot) == (FINISHED, "Done.")


def test_closing_the_input_lets_the_child_finish(make, qtbot):
    process = make(ECHO, serves=True)
    process.start()
    qtbot.waitUntil(lambda: len(process.received) == 1, timeout=20000)
    process.close(within_ms=20000)
    assert (process.is_running, process.pid) == (False, None)


def test_receiver_of_a_message_may_start_another_child(make, qtbot):
    process = make(HELLO + WAIT)
    pids = []

    def restart(_):
        pids.append(process.pid)
        if len(pids) == 1:
            process.close(within_ms=0)
            process.start()

    process.message_received.connect(restart)
    process.start()
    qtbot.waitUntil(lambda: len(pids) == 2, timeout=20000)
    assert pids[0] != pids[1]
    assert not is_alive(pids[0])
    assert process.is_running


def test_a_job_that_is_stopped_does_not_fail(make, qtbot):
    process = make(HELLO + WAIT)
    process.message_received.connect(process.stop)
    assert end_of(process, qtbot) == (STOPPED, "")


@pytest.mark.parametrize("words", ["", DEAF])
def test_closing_a_job_ends_it_without_a_signal(words, make, qtbot):
    process, ends = make(words + HELLO + WAIT), []
    process.ended.connect(ends.append)
    process.start()
    qtbot.waitUntil(lambda: len(process.received) == 1, timeout=20000)
    pid = process.pid
    process.close(within_ms=200)
    assert not is_alive(pid)
    assert not process.is_running
    assert ends == []


def test_a_job_that_does_not_stop_is_killed(make, qtbot, monkeypatch):
    monkeypatch.setattr(module, "STOPS_WITHIN_MS", 200)
    process = make(DEAF + HELLO + WAIT)
    process.message_received.connect(process.stop)
    assert end_of(process, qtbot) == (STOPPED, "")


def test_a_job_without_a_last_message_fails(make, qtbot):
    process = make(HELLO + WAIT)
    process.message_received.connect(lambda _: os.kill(process.pid, 9))
    assert end_of(process, qtbot) == (FAILED, CHILD_KILLED.format(subject="It"))


def test_a_child_that_serves_never_finishes(make, qtbot):
    sentence = CHILD_FAILED.format(subject="It", code=0, reason="")
    assert end_of(make(DONE, serves=True), qtbot) == (FAILED, sentence)


@pytest.mark.parametrize(
    ("program", "code", "reason"),
    [
        ("raise SystemExit(1)", 1, ""),
        ("import sys; print('a\\nb: c.', file=sys.stderr); sys.exit(3)", 3, ": b: c"),
    ],
)
def test_an_exit_code_has_a_sentence(program, code, reason, make, qtbot):
    sentence = CHILD_FAILED.format(subject="It", code=code, reason=reason)
    assert end_of(make(program), qtbot) == (FAILED, sentence)


def test_a_missing_program_has_a_sentence(make, qtbot):
    process = JobProcess(["/not/there"], subject="It")
    sentence = CHILD_NOT_STARTED.format(subject="It", program="/not/there")
    assert end_of(process, qtbot) == (FAILED, sentence)
