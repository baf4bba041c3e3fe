"""Tests of child processes and the words for their end."""

import os
import sys

import pytest

from napari_bayes_nnunet.app.messages import Notice
from napari_bayes_nnunet.widgets.common.process import (
    CHILD_FAILED,
    CHILD_KILLED,
    CHILD_NOT_STARTED,
    MessageProcess,
    ProcessEnd,
)

HELLO = 'print(\'{"kind": "notice", "text": "hello"}\', flush=True);'
ECHO = HELLO + "import sys; sys.stdout.write(sys.stdin.read())"


@pytest.fixture
def make(qapp):
    made = []

    def process(program, **options):
        made.append(MessageProcess([sys.executable, "-c", program], **options))
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
    return ended.args[0]


def test_lines_that_are_no_messages_are_ignored(make, qtbot):
    process = make("print('not JSON');" + HELLO + 'print(\'{"kind": "new"}\')')
    end = end_of(process, qtbot)
    assert process.received == [Notice(text="hello")]
    assert end == ProcessEnd(program=sys.executable, code=0)


def test_without_an_input_the_child_reads_nothing(make, qtbot):
    process = make(ECHO)
    process.send(Notice(text="too early"))
    assert end_of(process, qtbot).code == 0
    assert process.received == [Notice(text="hello")]


def test_closing_the_input_lets_the_child_finish(make, qtbot):
    process = make(ECHO, has_input=True)
    process.start()
    qtbot.waitUntil(lambda: len(process.received) == 1, timeout=20000)
    process.close(within_ms=20000)
    assert (process.is_running, process.pid) == (False, None)


def test_receiver_of_a_message_may_start_another_child(make, qtbot):
    process = make(HELLO + "import time; time.sleep(60)")
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
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)
    assert process.is_running


def test_a_killed_child_has_no_exit_code(make, qtbot):
    process = make(HELLO + "import time; time.sleep(60)")
    process.message_received.connect(process.kill)
    end = end_of(process, qtbot)
    assert (end.has_started, end.code) == (True, None)


@pytest.mark.parametrize(
    ("end", "template", "values"),
    [
        ({"has_started": False}, CHILD_NOT_STARTED, {"program": "python"}),
        ({"last_words": "Traceback"}, CHILD_KILLED, {}),
        ({"code": 1}, CHILD_FAILED, {"code": 1, "reason": ""}),
        ({"code": 3, "last_words": "a\nb: c.\n"}, CHILD_FAILED, {"code": 3, "reason": ": b: c"}),
    ],
)
def test_every_kind_of_end_has_a_sentence(end, template, values):
    sentence = ProcessEnd(program="python", **end).sentence("It")
    assert sentence == template.format(subject="It", **values)
