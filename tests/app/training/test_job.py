"""What a training checks before it starts or continues."""

from __future__ import annotations

import json
import os
import shlex
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from napari_bayes_nnunet.app import AppError
from napari_bayes_nnunet.app.training.job import LINKED_FILE, prepare_job
from napari_bayes_nnunet.app.training.request import TrainingRequest
from napari_bayes_nnunet.core.problems import Action, Remedy, change


@pytest.fixture
def run(trained_run: Path, tmp_path: Path) -> Path:
    return shutil.copytree(trained_run, tmp_path / "run")


def refusal(hearts: Path, run: Path, split: Path | None = None) -> AppError:
    request = TrainingRequest(dataset=hearts, output=run, add_cycle=True, split=split)
    with pytest.raises(AppError) as caught, prepare_job(request):
        pass
    return caught.value


def test_another_split_than_at_the_start_is_refused(hearts, run, tmp_path) -> None:
    folds = json.loads((run / "splits_final.json").read_text())
    split = tmp_path / "split.json"
    split.write_text(json.dumps([*folds[1:], folds[0]]))
    actions = [remedy.action for remedy in refusal(hearts, run, split).remedies]
    assert actions == [Action.LEAVE_OUT, Action.OTHER_OUTPUT]


def test_a_record_without_training_cases_is_refused(hearts, run) -> None:
    record = json.loads((run / "ensemble.json").read_text())
    del record["folds"]["0"]["training_cases"]
    (run / "ensemble.json").write_text(json.dumps(record))
    problem = refusal(hearts, run)
    assert problem.remedies == (Remedy(Action.RESTORE),)
    assert problem.values == {"file": run / "splits_final.json"}


def test_lost_split_must_be_named(hearts, run, tmp_path) -> None:
    own = (run / "splits_final.json").rename(tmp_path / "own.json")
    folds = json.loads(own.read_text())
    other = tmp_path / "other.json"
    other.write_text(json.dumps([*folds[1:], folds[0]]))
    assert refusal(hearts, run, other).remedies == (change("split", "that file"),)
    request = TrainingRequest(dataset=hearts, output=run, add_cycle=True, split=own)
    with prepare_job(request) as job:
        assert [list(split.train) for split in job.splits] == [fold["train"] for fold in folds]


def test_continuation_names_what_a_run_does_not_remember(hearts, run) -> None:
    request = TrainingRequest(dataset=hearts, output=run, resume=True)
    for changes, flags in (
        ({}, []),
        ({"device": "cpu"}, ["--device", "cpu"]),
    ):
        with prepare_job(replace(request, **changes)) as job:
            words = shlex.split(job.continuation())
        start = ["bayes-nnunet", "train", str(hearts), "--output", str(run), "--fold", "0"]
        assert words == [*start, *flags, "--resume"]


@pytest.mark.skipif(os.name == "nt", reason="a link needs a permission on Windows")
@pytest.mark.parametrize(
    "name",
    ["train.log", "stop", "fold_0/debug.json", "fold_0/progress.png", "nnunet_data", "fold_0"],
)
def test_links_in_a_run_are_refused(hearts, run, tmp_path, name) -> None:
    """nnU-Net writes text from the run's files to debug.json, and deletes folders of its data."""
    link, target = run / name, tmp_path / "elsewhere"
    if link.exists():
        link.rename(target)
    link.symlink_to(target)
    problem = refusal(hearts, run)
    assert (problem.statement.template, problem.values) == (LINKED_FILE, {"file": link})


@pytest.mark.skipif(os.name == "nt", reason="a link needs a permission on Windows")
def test_link_to_another_folder_is_no_obstacle(hearts, run) -> None:
    (run / "data").symlink_to(hearts)
    with prepare_job(TrainingRequest(dataset=hearts, output=run, add_cycle=True)) as job:
        assert job.settled
