"""Fake training that writes the files of a real one, with an epoch every moment.

python fake_training.py [--epochs N] [--seconds S] [--late S] [--fail TEXT] [--refuse TEXT] train …
"""

import argparse
import sys
import time
from functools import partial
from pathlib import Path

from napari_bayes_nnunet.app.messages import (
    EpochDone,
    JobEnded,
    StageStarted,
    TrainingStarted,
    text_fields,
)
from napari_bayes_nnunet.app.training.progress import append_message
from napari_bayes_nnunet.app.training.run_state import write_process_record
from napari_bayes_nnunet.core.ensemble.schedule import RestartSchedule
from napari_bayes_nnunet.core.problems import Action, statement
from napari_bayes_nnunet.io.ensemble.run_folder import RunFolder, TrainingRecord, write_record


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=0.05)
    parser.add_argument("--late", type=float, default=0)
    parser.add_argument("--fail", default="")
    parser.add_argument("--refuse", default="")
    mine, rest = parser.parse_known_args()
    theirs = argparse.ArgumentParser()
    theirs.add_argument("train")
    theirs.add_argument("--output", type=Path)
    theirs.add_argument("--resume", action="store_true")
    theirs.add_argument("--add-cycle", action="store_true")
    theirs.add_argument("dataset", nargs="?", default="")
    flags, _ = theirs.parse_known_args([word for word in rest if word != "--"])
    time.sleep(mine.late)
    if mine.refuse:
        print(
            JobEnded(
                outcome="failed", **text_fields(statement(mine.refuse, Action.RESUME))
            ).to_line()
        )
        sys.exit("Error: worded for the command line")
    train(RunFolder(flags.output), mine, flags, sys.argv[1:])


def train(
    run: RunFolder, mine: argparse.Namespace, flags: argparse.Namespace, words: list[str]
) -> None:
    run.path.mkdir(parents=True, exist_ok=True)
    schedule = RestartSchedule(epochs=mine.epochs, gamma=0.5)
    before = run.progress.read_text().count('"epoch"') if run.progress.exists() else 0
    added = int(flags.add_cycle)
    entry = {"training_cases": [], "validation_cases": [], "added_cycles": [{}] * added}
    record = TrainingRecord(
        name=run.path.name, schedule=schedule, labels={"background": 0, "LV": 1},
        channels=["cine"], folds={"0": {**entry, "members": []}},
    )  # fmt: skip
    write_record(run.record, record)
    dataset = words[words.index("--") + 1]
    journal = partial(append_message, run.progress)
    journal(StageStarted(text="Pretending"))
    write_process_record(run, dataset=dataset, fold="0", arguments=words)
    run.log.open("a").write(f"{' '.join(words)}\n")
    epochs = schedule.epochs + added * schedule.cycle_length
    first = run.progress.read_text().count('"kind": "epoch"') if before else 0
    journal(TrainingStarted(fold="0", epoch=first, epochs=epochs, cycles=3 + added))
    for epoch in range(first, epochs):
        time.sleep(mine.seconds)
        journal(
            EpochDone(
                fold="0",
                epoch=epoch,
                cycle=schedule.cycle(epoch),
                learning_rate=schedule.learning_rate(epoch),
                train_loss=1 / (epoch + 1),
                val_loss=1.1 / (epoch + 1),
                pseudo_dice={"LV": 1 - 1 / (epoch + 2)},
                seconds=mine.seconds,
                eta_seconds=(epochs - epoch - 1) * mine.seconds,
                member=record.selection.keeps(schedule, epoch),
                memory_bytes=2**30,
            )
        )
        if run.stop.exists():
            run.stop.unlink()
            journal(JobEnded(outcome="stopped", text="Stopped."))
            return
    outcome = "failed" if mine.fail else "finished"
    journal(JobEnded(outcome=outcome, text=mine.fail or "All is trained."))


if __name__ == "__main__":
    main()
