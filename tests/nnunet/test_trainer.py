"""The trainer in nnU-Net's own hands, and step by step."""

import json
import os
import pickle
import shutil
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_bayes_nnunet.core.ensemble.schedule import MemberSelection, RestartSchedule
from napari_bayes_nnunet.io.ensemble.run_folder import RunFolder, read_record
from napari_bayes_nnunet.io.ensemble.trajectory import read_trajectory
from napari_bayes_nnunet.io.files import atomic
from napari_bayes_nnunet.nnunet import ModelError
from napari_bayes_nnunet.nnunet import trainer as trainer_module
from napari_bayes_nnunet.nnunet.device import training_environment
from napari_bayes_nnunet.nnunet.planning import workspace_environment
from napari_bayes_nnunet.nnunet.ranks import Mailbox
from napari_bayes_nnunet.nnunet.trainer import (
    PLANS_ENTRY,
    RUN_VARIABLE,
    CheckpointEnsembleTrainer,
    EpochRate,
    TrainerSettings,
    trainer_environment,
)

from ..helpers.command import environment

# Looking for a trainer, nnU-Net imports all of its own, and with them timm.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:torch.jit")

NAME = "CheckpointEnsembleTrainer"
SETTINGS = TrainerSettings(
    schedule=RestartSchedule(epochs=3, restart_first_cycle=False),
    iterations_per_epoch=1,
    validation_iterations=1,
    seed=5,
)


@pytest.fixture
def run(planned_run, tmp_path):
    """A run folder with everything preprocessed and tiny settings."""
    run = RunFolder(shutil.copytree(planned_run, tmp_path / "run"))
    (file,) = run.workspace.glob("preprocessed/*/nnUNetPlans.json")
    plans = json.loads(file.read_text())
    plans["configurations"]["2d"]["batch_size"] = 2
    plans[PLANS_ENTRY] = SETTINGS.to_plans()
    file.write_text(json.dumps(plans))
    return run


@pytest.fixture
def make_trainer(run, monkeypatch):
    """Builds trainers in this process as nnU-Net's command does."""
    from nnunetv2.run.run_training import get_trainer_from_args

    variables = {
        **workspace_environment(run.workspace),
        **trainer_environment(run.path),
        **training_environment(torch.device("cpu")),
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    (dataset,) = (run.workspace / "preprocessed").iterdir()

    def make(fold=0, **settings):
        return get_trainer_from_args(
            dataset.name, "2d", fold, NAME, "nnUNetPlans", device=torch.device("cpu")
        )

    return make


@pytest.fixture
def trainer(make_trainer):
    return make_trainer()


# In nnU-Net's hands


def test_nnunet_finds_it(tmp_path):
    script = f"""
from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
assert issubclass(recursive_find_trainer_class_by_name("{NAME}"), nnUNetTrainer)
"""
    variables = environment(nnUNet_extTrainer=trainer_environment(tmp_path)["nnUNet_extTrainer"])
    subprocess.run([sys.executable, "-c", script], env=variables, check=True)


@pytest.mark.slow
def test_nnunets_own_command_trains_with_it(run, tmp_path):
    results = tmp_path / "results"
    variables = workspace_environment(run.workspace) | trainer_environment(run.path)
    variables |= {"nnUNet_results": str(results), "nnUNet_n_proc_DA": "0", "nnUNet_def_n_proc": "1"}
    del variables[RUN_VARIABLE]
    (dataset,) = (run.workspace / "preprocessed").iterdir()
    script = "from nnunetv2.run.run_training import run_training_entry; run_training_entry()"
    arguments = [dataset.name, "2d", "0", "-tr", NAME, "-device", "cpu"]
    subprocess.run(
        [sys.executable, "-c", script, *arguments], env=environment(**variables), check=True
    )
    folder = results / dataset.name / f"{NAME}__nnUNetPlans__2d"
    members = sorted((folder / "fold_0" / "members").iterdir())
    assert [file.name for file in members] == [f"epoch_000{n}.pth" for n in range(3)]
    assert torch.load(members[0], weights_only=True)["init_args"] == {"configuration": "2d"}
    assert (folder / "fold_0" / "checkpoint_final.pth").exists()
    assert (folder / "fold_0" / "validation" / "summary.json").exists()
    assert (folder / "plans.json").exists()
    assert not (folder / "ensemble.json").exists()


def test_without_an_entry_in_the_plans_it_is_the_papers(run, make_trainer):
    (file,) = run.workspace.glob("preprocessed/*/nnUNetPlans.json")
    plans = json.loads(file.read_text())
    del plans[PLANS_ENTRY]
    file.write_text(json.dumps(plans))
    trainer = make_trainer()
    assert trainer.settings.schedule == RestartSchedule()
    assert trainer.settings.selection == MemberSelection()
    assert (trainer.num_epochs, trainer.num_iterations_per_epoch) == (1200, 250)


# Settings


def test_settings_survive_the_plans():
    plans = json.loads(json.dumps({PLANS_ENTRY: SETTINGS.to_plans()}))
    assert TrainerSettings.from_plans(plans) == SETTINGS


@pytest.mark.parametrize(
    "entry", [{}, {"schedule": {"epochs": 0}, "selection": {}}, {**SETTINGS.to_plans(), "new": 1}]
)
def test_settings_of_another_version_are_named(entry):
    with pytest.raises(
        ModelError, match="'checkpoint_ensemble' of the plans is of another version"
    ):
        TrainerSettings.from_plans({PLANS_ENTRY: entry})


def test_the_optimizer_gets_the_rate_of_every_epoch():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1)
    schedule = RestartSchedule(epochs=12, gamma=0.5)
    rate = EpochRate(optimizer, schedule)
    for epoch in (3, 0, 11, 4):
        rate.step(epoch)
        assert optimizer.param_groups[0]["lr"] == schedule.learning_rate(epoch)


# Writing


def test_what_is_newer_than_the_saved_state_is_written_before_it(trainer, run, monkeypatch):
    written = []
    replace = os.replace

    def note(source, target):
        written.append(Path(target).name)
        replace(source, target)

    monkeypatch.setattr(atomic.os, "replace", note)
    trainer.on_epoch = lambda report: written.append(report.epoch)
    trainer.run_training()
    of_epoch = written[written.index("epoch_0001.pth") :]
    names = [name for name in of_epoch if name != "checkpoint_best.pth"]
    assert names == [
        *("epoch_0001.pth", "ensemble.json", 1, "checkpoint_latest.pth"),
        *("epoch_0002.pth", "ensemble.json", 2, "checkpoint_final.pth"),
    ]
    assert {"plans.json", "dataset.json", "dataset_fingerprint.json"} <= set(written)
    assert list(run.fold("0").glob(".*")) == []


@contextmanager
def no_file_larger_than(size):
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_state_that_cannot_be_written_leaves_the_last_one(trainer, run):
    trainer.initialize()
    file = run.fold("0") / "checkpoint_latest.pth"
    trainer.save_checkpoint(str(file))
    before = file.read_bytes()
    trainer.logger.local_logger.my_fantastic_logging["lrs"].append(0.1)
    message = r"checkpoint_latest.pth could not be written: File too large \(\d+ MiB are free"
    with no_file_larger_than(500_000), pytest.raises(ModelError, match=message):
        trainer.save_checkpoint(str(file))
    assert file.read_bytes() == before
    assert [f.name for f in file.parent.glob("*.pth")] == [file.name]
    assert list(file.parent.glob(".*")) == []


def test_a_member_that_cannot_be_written_is_not_listed(trainer, run):
    trainer.on_train_start()
    trainer._keep_member(0)
    with (
        no_file_larger_than(100_000),
        pytest.raises(ModelError, match=r"epoch_0001.pth could not be written: File too large"),
    ):
        trainer._keep_member(1)
    assert [m.epoch for m in read_record(run.record).members("0")] == [0]
    assert [f.name for f in run.members("0").iterdir()] == ["epoch_0000.pth"]


def test_layers_are_kept_of_every_epoch(trainer, run):
    trainer.settings = replace(
        SETTINGS, keep_trajectory=True, selection=MemberSelection(per_cycle=1)
    )
    trainer.run_training()
    found = read_trajectory(run.trajectory("0"))
    assert found.epochs.tolist() == [0, 1, 2]
    last = trainer._weights
    for name, weights in found.layers.items():
        assert np.array_equal(weights[-1], last[name].float().numpy().ravel())
        assert not np.array_equal(weights[0], weights[1])
    assert list(run.trajectory("0").glob(".*")) == []


def test_layers_are_kept_before_the_epoch_is_reported(trainer, run):
    trainer.settings = replace(SETTINGS, keep_trajectory=True)
    there = []
    trainer.on_epoch = lambda report: there.append(len(list(run.trajectory("0").iterdir())))
    trainer.run_training()
    assert there == [1, 2, 3]


def test_without_being_asked_no_layers_are_kept(trainer, run):
    trainer.run_training()
    assert not run.trajectory("0").exists()


def test_layers_that_cannot_be_written_are_explained(trainer, run):
    trainer.on_train_start()
    trainer._keep_layers(0)
    message = (
        r"fold_0/trajectory could not be written: File too large \(\d+ MiB are free there\)\. "
        "Once there is room, go on with --resume"
    )
    with no_file_larger_than(10_000), pytest.raises(ModelError, match=message):
        trainer._keep_layers(1)
    assert [file.name for file in run.trajectory("0").iterdir()] == ["epoch_0000.npz"]


def test_weights_that_are_no_numbers_are_never_kept(trainer, run):
    trainer.initialize()
    next(iter(trainer.network.parameters())).data.fill_(1e9)  # no number in a member's float16
    with pytest.raises(ModelError, match="weights are no longer finite numbers in epoch 0 at"):
        trainer.on_epoch_end()
    assert not run.members("0").exists()


def test_a_saved_state_that_would_run_code_is_refused(trainer, tmp_path):
    class Harmful:
        def __reduce__(self):
            return print, ("harm",)

    file = tmp_path / "checkpoint_latest.pth"
    torch.save({"network_weights": {}, "logging": Harmful()}, file)
    with pytest.raises(ModelError, match="would run code"):
        trainer.load_checkpoint(str(file))
    file.write_bytes(pickle.dumps("cut short")[:-3])
    with pytest.raises(ModelError, match=r"checkpoint_latest\.pth cannot be used"):
        trainer.load_checkpoint(str(file))


# Steps


def test_too_large_a_batch_says_which_one_to_try(trainer):
    def network(data):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")

    trainer.initialize()
    trainer.network.forward = network
    batch = {"data": torch.zeros(2, 1, 40, 48), "target": []}
    for step in (trainer.train_step, trainer.validation_step):
        with pytest.raises(ModelError, match="batch size 2: start again with --batch-size 1"):
            step(batch)
    trainer.configuration_manager.configuration["batch_size"] = 1
    with pytest.raises(ModelError, match="the network is too large"):
        trainer.train_step(batch)


def test_other_errors_of_a_step_are_not_taken_for_memory(trainer):
    def network(data):
        raise RuntimeError("size mismatch")

    trainer.initialize()
    trainer.network.forward = network
    with pytest.raises(RuntimeError, match="size mismatch"):
        trainer.train_step({"data": torch.zeros(2, 1, 40, 48), "target": []})


@pytest.mark.parametrize("fast", [True, False])
def test_bfloat16_only_where_the_cpu_has_it(fast, trainer, monkeypatch):
    seen = []

    def network(data):
        seen.append(torch.is_autocast_enabled("cpu"))
        raise RuntimeError("seen enough")

    monkeypatch.setattr(trainer_module, "has_fast_bfloat16", lambda: fast)
    trainer.initialize()
    trainer.network.forward = network
    with pytest.raises(RuntimeError, match="seen enough"):
        trainer.train_step({"data": torch.zeros(2, 1, 40, 48), "target": []})
    assert seen == [fast]


# As one of several processes


@pytest.fixture
def mailbox(trainer, run):
    """What a trainer started by nnU-Net for several cards reports to."""
    trainer._mailbox = Mailbox(run, "0")
    trainer.on_epoch = trainer._mailbox.report
    return Mailbox(run, "0")


def test_stopped_it_says_so_and_ends_like_any_other(trainer, mailbox, run):
    trainer.stop_requested = lambda: trainer.current_epoch == 1
    trainer.run_training()
    assert mailbox.is_stopped
    assert [report.epoch for report in mailbox.new_reports()] == [0, 1]
    assert (run.fold("0") / "checkpoint_latest.pth").exists()
    assert not (run.fold("0") / "checkpoint_final.pth").exists()


def test_its_failure_is_told_and_raised(trainer, mailbox):
    trainer.initialize()
    next(iter(trainer.network.parameters())).data.fill_(torch.inf)
    with pytest.raises(ModelError, match="in epoch 0 at learning rate") as caught:
        trainer.run_training()
    assert mailbox.failure == str(caught.value)
    assert not mailbox.is_stopped


def test_the_batch_to_try_can_be_shared_among_the_cards(trainer, monkeypatch):
    def network(data):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    trainer.initialize()
    trainer.network.forward = network
    trainer.is_ddp = True
    trainer.configuration_manager.configuration["batch_size"] = 20
    batch = {"data": torch.zeros(2, 1, 40, 48), "target": []}
    for cards, smaller in ((2, 10), (4, 8), (3, 9)):
        monkeypatch.setattr(torch.distributed, "get_world_size", lambda cards=cards: cards)
        with pytest.raises(ModelError, match=f"start again with --batch-size {smaller}"):
            trainer.train_step(batch)


def test_in_a_run_folder_nnunet_validates_nothing(trainer, run):
    trainer.initialize()
    trainer.perform_actual_validation()
    assert not (run.fold("0") / "validation").exists()


# Seeds and folds


def test_the_seed_gives_the_first_weights(make_trainer):
    weights = []
    for seed in (5, 5, 6, None, None):
        trainer = make_trainer()
        trainer.settings = TrainerSettings(seed=seed)
        trainer.initialize()
        weights.append(next(iter(trainer.network.parameters())).detach().clone())
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[1], weights[2])
    assert not torch.equal(weights[3], weights[4])


def test_every_epoch_has_a_seed_of_its_own(trainer):
    drawn = []
    for epoch in (0, 1, 0):
        trainer.current_epoch = epoch
        trainer.logger.local_logger.my_fantastic_logging["epoch_start_timestamps"] = [0.0] * epoch
        trainer.on_epoch_start()
        drawn.append(torch.rand(1).item())
    assert drawn[0] == drawn[2] != drawn[1]


def test_all_cases_in_an_order_that_does_not_depend_on_the_disk(make_trainer):
    trainer = make_trainer("all")
    training, validation = trainer.do_split()
    assert training == sorted(training) == validation
    assert trainer.num_val_iterations_per_epoch == 0


def test_dice_is_given_to_the_structure_it_belongs_to(trainer):
    trainer.dataset_json["labels"] = {"LV": 3, "background": 0, "MYO": 2, "RV": 1}
    assert trainer._structures == ["RV", "MYO", "LV"]


def test_another_gpu_than_the_first(make_trainer, run):
    stock = make_trainer().my_init_kwargs
    plans = {**stock["plans"], "continue_training": False}
    if not torch.cuda.is_available():
        pytest.skip("needs CUDA to build nnU-Net's gradient scaler")
    made = CheckpointEnsembleTrainer(plans, "2d", 0, stock["dataset_json"], torch.device("cuda:1"))
    assert made.device == torch.device("cuda:1")
