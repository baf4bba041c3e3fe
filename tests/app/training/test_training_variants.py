"""Trainings for the methods that the paper compares with, and their ensembles."""

import json
import shutil

import numpy as np
import pytest

from napari_bayes_nnunet.app import AppError
from napari_bayes_nnunet.app.segmentation.ensemble import Ensemble
from napari_bayes_nnunet.app.training.job import prepare_job
from napari_bayes_nnunet.app.training.request import NO_LONGER_TRAINED, TrainingRequest
from napari_bayes_nnunet.core.ensemble.schedule import RestartSchedule
from napari_bayes_nnunet.io.dataset.raw_dataset import read_dataset
from napari_bayes_nnunet.io.ensemble.run_folder import RunFolder, read_record
from napari_bayes_nnunet.io.ensemble.trajectory import read_trajectory
from napari_bayes_nnunet.io.images.nifti import read_channels

TINY = ("--preset", "demo", "--iterations-per-epoch", 1, "--batch-size", 2, "--seed", 3)


@pytest.fixture(scope="module")
def trained(planned_run, hearts, warm_command, tmp_path_factory):
    """``trained(name, *flags)``: the finished run of a training with these flags."""

    def train(name, *flags):
        folder = tmp_path_factory.mktemp(name)
        run = RunFolder(shutil.copytree(planned_run, folder / "run"))
        start = ("train", hearts, "--output", run.path, *TINY, *flags)
        done = warm_command.run(*start, folder=folder)
        assert done.code == 0, done.errors
        return run

    return train


@pytest.fixture(scope="module")
def cosine(trained):
    """Three cosine cycles of two epochs, with dropout, wide augmentation and a trajectory."""
    flags = ("--schedule", "cosine", "--epochs", 6, "--dropout", 0.2, "--keep-trajectory")
    return trained("cosine", *flags, "--augmentation", "wide")


@pytest.fixture
def heart(hearts):
    (volume,) = read_channels(read_dataset(hearts).cases[0].images[0])
    return volume


def rates(run):
    lines = [json.loads(line) for line in run.progress.read_text().splitlines()]
    return [line["learning_rate"] for line in lines if line["kind"] == "epoch"]


def test_cosine_restarts_give_one_member_a_cycle(cosine):
    schedule = RestartSchedule(epochs=6, shape="cosine", restart_first_cycle=False)
    assert rates(cosine) == [schedule.learning_rate(epoch) for epoch in range(6)]
    assert rates(cosine) == pytest.approx([0.01, 0.005, 0.1, 0.05, 0.1, 0.05])
    record = read_record(cosine.record)
    assert [member.epoch for member in record.members("0")] == [1, 3, 5]
    assert (record.schedule, record.dropout, record.keep_trajectory) == (schedule, 0.2, True)
    assert (record.dropout_placement, record.augmentation) == ("encoder", "wide")


@pytest.mark.parametrize(
    "recorded",
    [{"sampler": "sghmc", "posterior_temperature": 0.01}, {"teacher": {"ensemble": "hearts"}}],
)
def test_old_ways_of_0_2_0_segment_but_do_not_continue(recorded, cosine, hearts, heart, tmp_path):
    run = RunFolder(shutil.copytree(cosine.path, tmp_path / "run"))
    content = json.loads(run.record.read_text())
    run.record.write_text(json.dumps(content | recorded))
    result = Ensemble(run.path, device="cpu").segment(
        heart.voxels, heart.spacing, method="multi", mirroring="none"
    )
    assert len(result.members) == 3
    for change in ({"resume": True}, {"add_cycle": True}):
        request = TrainingRequest(dataset=hearts, output=run.path, **change)
        with pytest.raises(AppError) as error, prepare_job(request):
            pass
        assert error.value.statement.template == NO_LONGER_TRAINED


def test_poly_ends_with_one_member(trained):
    run = trained("poly", "--schedule", "poly", "--epochs", 3)
    assert rates(run) == pytest.approx([0.01, 0.01 * (2 / 3) ** 0.9, 0.01 * (1 / 3) ** 0.9])
    assert [member.epoch for member in read_record(run.record).members("0")] == [2]


def test_the_trajectory_has_every_epoch(cosine):
    kept = read_trajectory(cosine.trajectory("0"))
    assert kept.epochs.tolist() == list(range(6))
    last = list(kept.layers)[-2]
    assert last.startswith("decoder.stages.")
    steps = np.linalg.norm(np.diff(kept.layers[last], axis=0), axis=1)
    assert (steps > 0).all()


def test_snapshots_of_a_cosine_training_are_averaged(cosine, heart):
    result = Ensemble(cosine.path, device="cpu").segment(
        heart.voxels, heart.spacing, method="snapshot", mirroring="none"
    )
    assert [member.epoch for member in result.members] == [1, 3, 5]


def test_only_mc_dropout_uses_dropout(cosine, heart):
    ensemble = Ensemble(cosine.path, device="cpu")
    options = {"mirroring": "none", "members": 3}
    dropped = ensemble.segment(heart.voxels, heart.spacing, method="mc-dropout", **options)
    assert dropped.mutual_information.max() > 0
    first, second = (
        ensemble.segment(heart.voxels, heart.spacing, method="vanilla", **options) for _ in range(2)
    )
    np.testing.assert_array_equal(first.probabilities, second.probabilities)


@pytest.mark.parametrize("chance", ["nan", "1"])
def test_an_impossible_dropout_is_refused(chance, hearts, warm_command, tmp_path):
    start = ("train", hearts, "--output", tmp_path / "run", *TINY, "--dropout", chance)
    done = warm_command.run(*start, folder=tmp_path)
    assert done.code != 0
    assert "dropout" in done.errors.splitlines()[-1].lower()
    assert "Traceback" not in done.errors
    assert not (tmp_path / "run" / "nnunet_data").exists()


def test_a_resume_with_another_variant_is_refused(cosine, hearts, warm_command, tmp_path):
    start = ("train", hearts, "--output", cosine.path, "--resume")
    for option, recorded, value in (
        ("--dropout", "0.2", 0.3),
        ("--dropout-placement", "encoder", "everywhere"),
        ("--schedule", "cosine", "restarts"),
        ("--augmentation", "wide", "nnunet"),
    ):
        done = warm_command.run(*start, option, value, folder=tmp_path)
        assert done.code == 1
        for word in (f"{option} {recorded}", str(value)):
            assert word in done.errors
