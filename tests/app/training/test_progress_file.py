import json

import pytest

from napari_bayes_nnunet.app.messages import JobEnded, StageStarted, from_line
from napari_bayes_nnunet.app.training.progress_file import (
    LAST_BYTES,
    Journal,
    end_in,
    last_messages,
)


def test_it_grows_by_a_line_a_message(tmp_path):
    journal = Journal(tmp_path / "progress.jsonl")
    for text in ("one", "zwei\nDrei"):
        journal.append(StageStarted(text=text))
    lines = (tmp_path / "progress.jsonl").read_text().splitlines()
    assert [from_line(line).text for line in lines] == ["one", "zwei\nDrei"]


def test_half_a_line_of_a_killed_training_is_not_lengthened(tmp_path):
    file = tmp_path / "progress.jsonl"
    file.write_text('{"kind": "stage", "text": "one"}\n{"kind": "epo')
    Journal(file).append(StageStarted(text="two"))
    assert [json.loads(line)["text"] for line in file.read_text().splitlines()[::2]] == [
        "one",
        "two",
    ]


@pytest.mark.parametrize("content", ["", '{"kind": "stage"}\n'])
def test_an_empty_or_whole_file_gets_no_empty_line(content, tmp_path):
    file = tmp_path / "progress.jsonl"
    file.write_text(content)
    Journal(file).append(StageStarted(text="one"))
    assert file.read_text() == content + StageStarted(text="one").to_line() + "\n"


def test_the_last_messages_of_a_long_file(tmp_path):
    file = tmp_path / "progress.jsonl"
    assert last_messages(file) == []
    texts = [f"{number:05d}" for number in range(3000)]
    file.write_text("".join(StageStarted(text=text).to_line() + "\n" for text in texts))
    last = [message.text for message in last_messages(file)]
    assert 500 < len(last) < LAST_BYTES // 20
    assert last == texts[-len(last) :]


def test_damaged_and_unknown_lines_are_left_out(tmp_path):
    file = tmp_path / "progress.jsonl"
    line = StageStarted(text="here").to_line().encode()
    file.write_bytes(b'{"kind": "new"}\n\n[1]\n{"kind": []}\n\xff\xfe\n' + line + b'\n{"kind": "st')
    assert last_messages(file) == [StageStarted(text="here")]


def test_the_end_is_the_last_word():
    end, stage = JobEnded(outcome="finished"), StageStarted(text="Starting")
    assert end_in([stage, end]) == end
    assert end_in([end, stage]) is None
    assert end_in([]) is None
