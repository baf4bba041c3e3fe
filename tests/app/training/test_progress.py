"""Messages of a training in its run folder, and the progress that they report."""

import json
import shutil

import pytest

from napari_bayes_nnunet.app import AppError
from napari_bayes_nnunet.app.messages import (
    ChildReady,
    JobEnded,
    Notice,
    StageStarted,
    TrainingStarted,
)
from napari_bayes_nnunet.app.training.progress import (
    FIRST_LOG_BYTES,
    FileTail,
    append_message,
    log_text,
    messages_in,
    progress_of,
)
from napari_bayes_nnunet.io.ensemble.run_folder import RunFolder, forget_from
from napari_bayes_nnunet.io.files.atomic import write_text

from ...helpers.processes.jobs import epoch_done, say


def test_half_a_line_is_not_continued(tmp_path):
    file = tmp_path / "progress.jsonl"
    file.write_text('{"kind":"stage","text":"one"}\n{"kind":"epo')
    append_message(file, StageStarted(text="two"))
    assert [json.loads(line)["text"] for line in file.read_text().splitlines()[::2]] == [
        "one",
        "two",
    ]


@pytest.fixture
def run(tmp_path):
    run = RunFolder(tmp_path / "run")
    run.path.mkdir()
    return run


@pytest.fixture
def follower(run):
    return FileTail(run.progress)


def news(follower):
    lines, restarted = follower.read()
    return messages_in(lines), restarted


# Messages


def test_half_a_line_waits_for_the_rest(run, follower):
    message = StageStarted(text="ä" * 10)
    line = message.to_line().encode() + b"\n"
    for end in (1, 40, len(line) - 1):
        run.progress.write_bytes(line[:end])
        assert news(follower) == ([], False)
    run.progress.write_bytes(line + line[:30])
    assert news(follower) == ([message], False)
    run.progress.write_bytes(line + line)
    assert news(follower) == ([message], False)


def test_a_shorter_file_is_read_from_its_start(run, follower):
    messages = [epoch_done(number) for number in range(5)]
    say(run, *messages)
    follower.read()
    run.progress.write_text("")
    say(run, *messages[:2])
    assert news(follower) == (messages[:2], True)
    assert news(follower) == ([], False)


def test_another_file_of_the_same_length_is_noticed(run, follower):
    say(run, StageStarted(text="one"))
    follower.read()
    write_text(run.progress, StageStarted(text="two").to_line() + "\n")
    assert news(follower) == ([StageStarted(text="two")], True)


def test_a_deleted_file_begins_again(run, follower):
    say(run, StageStarted(text="one"))
    follower.read()
    run.progress.unlink()
    assert news(follower) == ([], True)
    assert news(follower) == ([], False)
    say(run, StageStarted(text="one"))
    assert news(follower) == ([StageStarted(text="one")], False)


def test_a_resume_that_forgets_epochs_is_followed(trained_run, tmp_path):
    run = RunFolder(tmp_path / "run")
    shutil.copytree(trained_run, run.path, ignore=shutil.ignore_patterns("nnunet_data"))
    follower = FileTail(run.progress)
    before = messages_in(follower.read()[0])
    assert before[0] == StageStarted(text="Starting")
    assert isinstance(before[-1], JobEnded)
    assert any(isinstance(message, TrainingStarted) for message in before)
    forget_from(run, "0", 10)
    messages, restarted = news(follower)
    assert restarted
    assert messages == [m for m in before if getattr(m, "epoch", 0) < 10]


def test_a_drive_that_goes_and_comes_back(run, follower, tmp_path):
    say(run, StageStarted(text="one"))
    follower.read()
    run.path.rename(tmp_path / "elsewhere")
    with pytest.raises(AppError) as caught:
        follower.read()
    assert caught.value.values["folder"] == run.path
    (tmp_path / "elsewhere").rename(run.path)
    say(run, StageStarted(text="two"))
    assert news(follower) == ([StageStarted(text="two")], False)


def test_an_unreadable_folder_is_an_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(AppError) as caught:
        FileTail(RunFolder(tmp_path / "file").log).read()
    assert caught.value.values == {"folder": tmp_path / "file", "reason": "Not a directory"}


def test_a_missing_folder_is_no_error(tmp_path):
    assert news(FileTail(RunFolder(tmp_path / "later").progress)) == ([], False)


# The log


def log_news(tail):
    lines, restarted = tail.read()
    return log_text(lines), restarted


def test_the_log_is_followed_by_lines(run):
    tail = FileTail(run.log, limit=FIRST_LOG_BYTES)
    assert log_news(tail) == ("", False)
    run.log.write_bytes("one\nzwei ä\nthr".encode())
    assert log_news(tail) == ("one\nzwei ä\n", False)
    with run.log.open("ab") as file:
        file.write(b"ee\r\n\xff\n")
    assert log_news(tail) == ("three\n\ufffd\n", False)
    assert log_news(tail) == ("", False)


def test_a_progress_bar_gives_its_last_state(run):
    run.log.write_bytes(b"before\n\r 0%\r50%\r100%\nafter\n")
    assert log_news(FileTail(run.log)) == ("before\n100%\nafter\n", False)


def test_a_long_log_is_read_from_its_end(run):
    lines = [f"line {number:06d}\n" for number in range(30_000)]
    run.log.write_text("".join(lines))
    tail = FileTail(run.log, limit=FIRST_LOG_BYTES)
    text, restarted = log_news(tail)
    assert FIRST_LOG_BYTES - 20 < len(text) <= FIRST_LOG_BYTES
    assert text == "".join(lines)[-len(text) :]
    assert text.startswith("line ")
    assert not restarted
    with run.log.open("a") as file:
        file.write("more\n")
    assert log_news(tail) == ("more\n", False)


def started(epoch=0, *, fold="0", epochs=12, cycles=3):
    return TrainingStarted(fold=fold, epoch=epoch, epochs=epochs, cycles=cycles)


def epochs(progress):
    return [report.epoch for report in progress.reports]


def test_a_training_from_its_start_to_its_end():
    progress = progress_of([StageStarted(text="Planning")])
    assert (progress.stage.text, progress.reports) == ("Planning", ())
    progress = progress_of([StageStarted(text="Fold 0"), started()], progress)
    assert (progress.fold, progress.epochs, progress.cycles) == ("0", 12, 3)
    assert (progress.stage.text, progress.eta_seconds) == ("Fold 0", None)
    messages = [epoch_done(number, memory_bytes=10 + number) for number in range(8)]
    progress = progress_of(messages, progress)
    assert progress.reports == tuple(messages)
    assert (progress.eta_seconds, progress.memory_bytes, progress.members) == (13.0, 17, 2)
    progress = progress_of([StageStarted(text="Measuring")], progress)
    assert (progress.stage.text, progress.eta_seconds, progress.memory_bytes) == (
        "Measuring",
        None,
        17,
    )
    stage = StageStarted(text="Measuring 2", done=1, total=4, eta_seconds=60.0)
    progress = progress_of([stage], progress)
    assert (progress.stage.done, progress.stage.total, progress.eta_seconds) == (1, 4, 60.0)
    end = JobEnded(outcome="finished", text="Done.")
    progress = progress_of([end], progress)
    assert (progress.ended, progress.stage.text, progress.memory_bytes) == (end, "", None)
    assert (progress.stage.total, progress.eta_seconds) == (0, None)
    assert epochs(progress) == list(range(8))


def test_a_resumed_training_repeats_no_epoch():
    first = [started(), *map(epoch_done, range(6)), Notice(text="short"), JobEnded(outcome="died")]
    progress = progress_of([*first, StageStarted(text="Starting")])
    assert (progress.ended, progress.stage.text, progress.notices) == (None, "Starting", ())
    assert epochs(progress) == list(range(6))
    progress = progress_of([started(4)], progress)
    assert epochs(progress) == [0, 1, 2, 3]
    again = epoch_done(4, train_loss=-0.7)
    progress = progress_of([again, epoch_done(5), again], progress)
    assert epochs(progress) == [0, 1, 2, 3, 4]
    assert progress.reports[-1] == again


def test_every_fold_keeps_its_epochs():
    zero = [started(), *map(epoch_done, range(3)), JobEnded(outcome="stopped")]
    one = [started(fold="1"), epoch_done(0, fold="1"), JobEnded(outcome="stopped")]
    assert epochs(progress_of([*zero, *one])) == [0]
    resumed = progress_of([*zero, *one, started(3), epoch_done(3)])
    assert (resumed.fold, epochs(resumed)) == ("0", [0, 1, 2, 3])


def test_notices_are_kept_and_other_messages_ignored():
    progress = progress_of([Notice(text="a"), ChildReady(devices={}), Notice(text="b")])
    assert progress.notices == ("a", "b")
