from napari_bayes_nnunet.app.messages import (
    ChildReady,
    JobEnded,
    Notice,
    StageStarted,
    TrainingStarted,
)
from napari_bayes_nnunet.app.training.progress import progress_of

from ...helpers.processes.jobs import epoch_done


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
