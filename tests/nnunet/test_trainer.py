"""The trainer, run by nnU-Net itself and step by step."""

import errno
import json
import os
import pickle
import shutil
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from nnunetv2.training.logging.nnunet_logger import LocalLogger
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from napari_bayes_nnunet.core.ensemble.schedule import MemberSelection, RestartSchedule
from napari_bayes_nnunet.core.ensemble.training_settings import TrainingSettings
from napari_bayes_nnunet.core.problems import Action, Remedy, change
from napari_bayes_nnunet.io.ensemble.ensemble_folder import PLANS_ENTRY
from napari_bayes_nnunet.io.ensemble.run_folder import RunFolder, read_record
from napari_bayes_nnunet.io.ensemble.trajectory import read_trajectory
from napari_bayes_nnunet.io.files import atomic
from napari_bayes_nnunet.nnunet import ModelError
from napari_bayes_nnunet.nnunet import trainer as trainer_module
from napari_bayes_nnunet.nnunet.device import training_environment
from napari_bayes_nnunet.nnunet.planning import workspace_environment
from napari_bayes_nnunet.nnunet.plans import REFUSED_PLANS
from napari_bayes_nnunet.nnunet.trainer import (
    RUN_VARIABLE,
    CheckpointEnsembleTrainer,
    EpochRate,
    read_settings,
    trainer_environment,
)

from ..helpers.checks.hostile import Toucher
from ..helpers.checks.problems import says
from ..helpers.processes.command import environment

NAME = "CheckpointEnsembleTrainer"
SETTINGS = TrainingSettings(
    schedule=RestartSchedule(epochs=3, restart_first_cycle=False),
    iterations_per_epoch=1,
    seed=5,
)


@pytest.fixture
def run(planned_run, tmp_path):
    """A run folder with everything preprocessed and tiny settings."""
    run = RunFolder(shutil.copytree(planned_run, tmp_path / "run"))
    set_settings(run, SETTINGS)
    return run


def set_settings(run, settings):
    (file,) = run.workspace.glob("preprocessed/*/nnUNetPlans.json")
    plans = json.loads(file.read_text())
    plans["configurations"]["2d"]["batch_size"] = 2
    plans[PLANS_ENTRY] = asdict(settings)
    file.write_text(json.dumps(plans))


@pytest.fixture
def make_trainer(run, monkeypatch):
    """Builds trainers in this process as the command does."""
    variables = {
        **workspace_environment(run.workspace),
        **trainer_environment(run.path),
        **training_environment(torch.device("cpu")),
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    # The figure and the text of all weights take long, and cli/test_train.py has real ones.
    monkeypatch.setattr(LocalLogger, "plot_progress_png", lambda logger, folder: None)
    monkeypatch.setattr(nnUNetTrainer, "_save_debug_information", lambda trainer: None)
    (dataset,) = (run.workspace / "preprocessed").iterdir()

    def make(fold=0, *, resume=False):
        device = torch.device("cpu")
        plans, json_ = (
            json.loads((dataset / name).read_text())
            for name in ("nnUNetPlans.json", "dataset.json")
        )
        return trainer_module.make_trainer(
            *(plans, json_, "2d", str(fold)), device=device, resume=resume
        )

    return make


@pytest.fixture
def trainer(make_trainer):
    return make_trainer()


# Run by nnU-Net


def test_models_that_nnunet_looks_through_are_not_imported(make_trainer, monkeypatch):
    for name in ("timm", "torchvision"):
        monkeypatch.setitem(sys.modules, name, None)  # fails if imported
    assert type(make_trainer()).__name__ == NAME


@pytest.mark.parametrize("fast", [True, False])
def test_cpu_with_bfloat16_trains_channels_last(make_trainer, monkeypatch, fast):
    monkeypatch.setattr(trainer_module, "has_fast_bfloat16", lambda: fast)
    trainer = make_trainer()
    trainer.initialize()
    kernel = next(w for w in trainer.network.parameters() if w.ndim == 4 and min(w.shape[1:]) > 1)
    assert kernel.is_contiguous(memory_format=torch.channels_last) == fast


NNUNETS_COMMAND = """
import multiprocessing
forks = multiprocessing.get_context("fork")
multiprocessing.get_context = lambda method=None: forks  # else the validation imports torch again
multiprocessing.cpu_count = lambda: 1  # threads would not survive the fork
from nnunetv2.training.logging.nnunet_logger import LocalLogger
LocalLogger.plot_progress_png = lambda logger, folder: None  # takes a second
import nnunetv2.run.run_training as command
command.run_training_entry()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs os.fork")
def test_nnunets_own_command_trains_an_ensemble(run, tmp_path):
    """A new interpreter: nnU-Net imports the trainer before any other module of this package."""
    results = tmp_path / "results"
    one_cycle = RestartSchedule(epochs=3, cycles=1, gamma=0.0)
    every_epoch = MemberSelection(step=1)
    set_settings(run, replace(SETTINGS, schedule=one_cycle, selection=every_epoch))
    variables = workspace_environment(run.workspace) | trainer_environment(run.path)
    variables |= {"nnUNet_results": str(results), "nnUNet_n_proc_DA": "0", "nnUNet_def_n_proc": "1"}
    del variables[RUN_VARIABLE]
    (dataset,) = (run.workspace / "preprocessed").iterdir()
    arguments = [dataset.name, "2d", "0", "-tr", NAME, "-device", "cpu"]
    subprocess.run(
        [sys.executable, "-c", NNUNETS_COMMAND, *arguments],
        env=environment(**variables),
        check=True,
    )
    folder = results / dataset.name / f"{NAME}__nnUNetPlans__2d"
    members = sorted((folder / "fold_0" / "members").iterdir())
    assert [file.name for file in members] == [f"epoch_000{n}.pth" for n in range(3)]
    assert torch.load(members[0], weights_only=True)["init_args"] == {"configuration": "2d"}
    assert (folder / "fold_0" / "checkpoint_final.pth").exists()
    assert (folder / "fold_0" / "validation" / "summary.json").exists()
    assert (folder / "plans.json").exists()
    assert not (folder / "ensemble.json").exists()


def test_plans_without_settings_train_as_the_paper(run, make_trainer):
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
    plans = json.loads(json.dumps({PLANS_ENTRY: asdict(SETTINGS)}))
    assert read_settings(plans) == SETTINGS


@pytest.mark.parametrize(
    "entry", [{}, {"schedule": {"epochs": 0}, "selection": {}}, {**asdict(SETTINGS), "new": 1}]
)
def test_settings_of_another_version_are_refused(entry):
    with pytest.raises(ModelError, check=says(entry=PLANS_ENTRY)):
        read_settings({PLANS_ENTRY: entry})


def test_the_optimizer_gets_the_rate_of_every_epoch():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1)
    schedule = RestartSchedule(epochs=12, gamma=0.5)
    rate = EpochRate(optimizer, schedule)
    for epoch in (3, 0, 11, 4):
        rate.step(epoch)
        assert optimizer.param_groups[0]["lr"] == schedule.learning_rate(epoch)


# Writing


def test_the_state_is_saved_after_all_else(trainer, run, monkeypatch):
    written = []
    replace = os.replace

    def note(source, target):
        written.append(Path(target).name)
        replace(source, target)

    monkeypatch.setattr(atomic.os, "replace", note)
    trainer.on_epoch = lambda report: written.append(report.epoch)
    trainer.run_training()
    first = written.index("epoch_0001.pth")
    assert "checkpoint_latest.pth" in written[:first]  # for a kill at the first member
    of_epoch = written[first:]
    names = [name for name in of_epoch if name != "checkpoint_best.pth"]
    assert names == [
        *("epoch_0001.pth", "ensemble.json", 1, "checkpoint_latest.pth"),
        *("epoch_0002.pth", "ensemble.json", 2, "checkpoint_final.pth"),
    ]
    assert {"plans.json", "dataset.json", "dataset_fingerprint.json"} <= set(written)
    assert list(run.fold("0").glob(".*")) == []
    assert not run.trajectory("0").exists()  # without being asked for


@contextmanager
def no_file_larger_than(size):
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def assert_too_large(error, file):
    assert error.values["file"] == file
    assert error.values["reason"] == os.strerror(errno.EFBIG)
    assert error.values["free"] > 0
    assert error.remedies == (Remedy(Action.RESUME),)


def test_a_failed_save_leaves_the_last_state(trainer, run):
    trainer.initialize()
    file = run.fold("0") / "checkpoint_latest.pth"
    trainer.save_checkpoint(str(file))
    before = file.read_bytes()
    trainer.logger.local_logger.my_fantastic_logging["lrs"].append(0.1)
    with no_file_larger_than(500_000), pytest.raises(ModelError) as caught:
        trainer.save_checkpoint(str(file))
    assert_too_large(caught.value, file)
    assert file.read_bytes() == before
    assert [f.name for f in file.parent.glob("*.pth")] == [file.name]
    assert list(file.parent.glob(".*")) == []


def test_member_that_cannot_be_written_is_not_listed(trainer, run):
    trainer.on_train_start()
    trainer._keep_member(0)
    with no_file_larger_than(100_000), pytest.raises(ModelError) as caught:
        trainer._keep_member(1)
    assert_too_large(caught.value, run.member("0", 1))
    assert caught.value.statement.template.endswith(trainer_module.MEMBERS_USABLE)
    assert [m.epoch for m in read_record(run.record).members("0")] == [0]
    assert [f.name for f in run.members("0").iterdir()] == ["epoch_0000.pth"]


def test_layers_are_kept_of_every_epoch_before_its_report(trainer, run):
    trainer.settings = replace(
        SETTINGS, keep_trajectory=True, selection=MemberSelection(per_cycle=1)
    )
    counts = []
    trainer.on_epoch = lambda report: counts.append(len(list(run.trajectory("0").iterdir())))
    trainer.run_training()
    assert counts == [1, 2, 3]
    trajectory = read_trajectory(run.trajectory("0"))
    assert trajectory.epochs.tolist() == [0, 1, 2]
    last = trainer._weights
    for name, weights in trajectory.layers.items():
        assert np.array_equal(weights[-1], last[name].float().numpy().ravel())
        assert not np.array_equal(weights[0], weights[1])
    assert list(run.trajectory("0").glob(".*")) == []


def test_layers_that_cannot_be_written_are_explained(trainer, run):
    trainer.on_train_start()
    trainer._keep_layers(0)
    with no_file_larger_than(10_000), pytest.raises(ModelError) as caught:
        trainer._keep_layers(1)
    assert_too_large(caught.value, run.trajectory("0"))
    assert not caught.value.statement.template.endswith(trainer_module.MEMBERS_USABLE)
    assert [file.name for file in run.trajectory("0").iterdir()] == ["epoch_0000.npz"]


def assert_diverged(error, template):
    rate = SETTINGS.schedule.learning_rate(0)
    assert (
        error.statement.template
        == template + trainer_module._RESUMING_REPEATS + trainer_module._LOWER_RATE
    )
    assert (error.values["epoch"], error.values["rate"]) == (0, rate)


def test_weights_that_overflow_float16_are_not_kept(trainer, run):
    trainer.initialize()
    next(iter(trainer.network.parameters())).data.fill_(1e9)
    with pytest.raises(ModelError) as caught:
        trainer.on_epoch_end()
    assert_diverged(caught.value, trainer_module._WEIGHTS_DIVERGED)
    assert not run.members("0").exists()


def test_a_count_of_many_batches_is_no_divergence(trainer):
    trainer.initialize()
    norm = torch.nn.BatchNorm2d(1)
    norm.num_batches_tracked.fill_(65_520)  # infinite in float16
    trainer.network.add_module("norm", norm)
    assert trainer._weights_are_finite()
    norm.running_mean.fill_(torch.nan)
    assert not trainer._weights_are_finite()


def test_saved_state_that_would_run_code_is_refused(trainer, tmp_path):
    class Harmful:
        def __reduce__(self):
            return print, ("harm",)

    file = tmp_path / "checkpoint_latest.pth"
    torch.save({"network_weights": {}, "logging": Harmful()}, file)
    with pytest.raises(ModelError) as caught:
        trainer.load_checkpoint(str(file))
    assert "print" in caught.value.values["reason"]
    file.write_bytes(pickle.dumps("cut short")[:-3])
    with pytest.raises(ModelError, check=says(file=file.name)):
        trainer.load_checkpoint(str(file))


def test_nnunet_itself_loads_only_weights(trainer, tmp_path, monkeypatch):
    """nnU-Net opens the file again, and allows code."""
    state = tmp_path / "state.pth"
    trainer.initialize()
    trainer.save_checkpoint(str(state))
    touched = tmp_path / "touched"
    content = torch.load(state, weights_only=False)
    torch.save({**content, "more": Toucher(touched)}, state)
    monkeypatch.setattr(trainer_module, "read_checkpoint", lambda path: None)
    with pytest.raises(pickle.UnpicklingError):
        trainer.load_checkpoint(str(state))
    assert not touched.exists()
    assert "TORCH_FORCE_WEIGHTS_ONLY_LOAD" not in os.environ


def test_plans_that_could_run_code_are_refused(make_trainer, run, tmp_path):
    """The command of nnU-Net reads the plans of the workspace only here."""
    (file,) = run.workspace.glob("preprocessed/*/nnUNetPlans.json")
    plans = json.loads(file.read_text())
    touched = tmp_path / "touched"
    plans["configurations"]["2d"]["architecture"]["arch_kwargs"].update(
        nonlin="os.system", nonlin_kwargs={"command": f"touch '{touched}'"}
    )
    file.write_text(json.dumps(plans))
    with pytest.raises(ModelError, check=says(REFUSED_PLANS)):
        make_trainer().initialize()
    assert not touched.exists()


# Steps


def steps_with(trainer, network):
    """Initialize a trainer with another network; return its steps, which take no argument."""
    trainer.initialize()
    trainer.network.forward = network
    batch = {"data": torch.zeros(2, 1, 40, 48), "target": []}
    return [lambda: trainer.train_step(batch), lambda: trainer.validation_step(batch)]


@pytest.mark.parametrize(
    ("batch_size", "remedy"),
    [(20, change("batch_size", 10)), (1, change("preset", "demo"))],
)
def test_too_large_a_batch_suggests_one_that_fits(batch_size, remedy, trainer):
    def network(data):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")

    for step in steps_with(trainer, network):
        trainer.configuration_manager.configuration["batch_size"] = batch_size
        with pytest.raises(ModelError) as caught:
            step()
        assert caught.value.values == {"device": "cpu", "batch_size": batch_size}
        assert caught.value.remedies[0] == remedy


@pytest.fixture
def scaled(trainer):
    """A trainer that scales gradients as on CUDA; its next losses are those in its ``losses``."""
    trainer.initialize()
    trainer.grad_scaler = torch.GradScaler("cpu")
    trainer.losses = []
    trainer.loss = lambda output, target: output[0].float().square().mean() * trainer.losses.pop(0)
    return trainer


def scaled_steps(trainer, *losses):
    trainer.losses += losses
    batch = {"data": torch.ones(2, 1, *trainer.configuration_manager.patch_size), "target": []}
    return [trainer.train_step(batch) for _ in losses]


def test_a_step_that_the_scaler_skips_does_not_end_the_training(scaled):
    weight = next(iter(scaled.network.parameters()))
    first, scale = weight.detach().clone(), scaled.grad_scaler.get_scale()
    outcomes = scaled_steps(scaled, *[torch.inf] * (trainer_module.MOST_SKIPPED - 1), torch.nan)
    assert torch.equal(weight, first)
    assert scaled.grad_scaler.get_scale() < scale
    outcomes += scaled_steps(scaled, 1.0)
    assert not torch.equal(weight, first)
    logged = []
    scaled.logger.log = lambda name, value, epoch: logged.append(value)
    scaled.on_train_epoch_end(outcomes)
    assert logged == [outcomes[-1]["loss"]]
    with pytest.raises(ModelError) as caught:
        scaled.on_train_epoch_end(outcomes[:-1])
    assert_diverged(caught.value, trainer_module._LOSS_DIVERGED)


def test_steps_that_are_all_skipped_end_the_training(scaled):
    with pytest.raises(ModelError) as caught:
        scaled_steps(scaled, *[torch.nan] * (trainer_module.MOST_SKIPPED + 1))
    assert_diverged(caught.value, trainer_module._LOSS_DIVERGED)
    assert not scaled.losses


def test_a_skipped_step_with_weights_beyond_float16_ends_the_training(scaled):
    next(iter(scaled.network.parameters())).data.fill_(1e9)
    with pytest.raises(ModelError) as caught:
        scaled_steps(scaled, torch.nan)
    assert_diverged(caught.value, trainer_module._LOSS_DIVERGED)


@pytest.mark.parametrize(("seed", "device"), [(None, "cpu"), (5, "cuda")])
def test_only_repeatable_trainings_are_said_to_repeat(trainer, seed, device):
    trainer.settings, trainer.device = replace(SETTINGS, seed=seed), torch.device(device)
    error = trainer._diverged(trainer_module._LOSS_DIVERGED, loss="nan")
    expected = trainer_module._LOSS_DIVERGED + trainer_module._LOWER_RATE
    assert error.statement.template == expected


@pytest.mark.parametrize("fast", [True, False])
def test_bfloat16_is_used_if_the_cpu_has_it(fast, trainer, monkeypatch):
    """Any other error of a step is raised as it is."""
    enabled = []

    def network(data):
        enabled.append(torch.is_autocast_enabled("cpu"))
        raise RuntimeError("seen enough")

    monkeypatch.setattr(trainer_module, "has_fast_bfloat16", lambda: fast)
    step, _ = steps_with(trainer, network)
    with pytest.raises(RuntimeError, match="seen enough"):
        step()
    assert enabled == [fast]


def test_nnunet_does_not_validate_a_run_folder(trainer, run):
    trainer.initialize()
    trainer.perform_actual_validation()
    assert not (run.fold("0") / "validation").exists()


# Seeds and folds


def test_the_seed_gives_the_first_weights(make_trainer):
    weights = []
    for seed in (5, 5, 6, None, None):
        trainer = make_trainer()
        trainer.settings = TrainingSettings(seed=seed)
        trainer.initialize()
        weights.append(next(iter(trainer.network.parameters())).detach().clone())
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[1], weights[2])
    assert not torch.equal(weights[3], weights[4])


def test_each_epoch_has_its_own_seed(trainer):
    drawn = []
    for epoch in (0, 1, 0):
        trainer.current_epoch = epoch
        trainer.logger.local_logger.my_fantastic_logging["epoch_start_timestamps"] = [0.0] * epoch
        trainer.on_epoch_start()
        drawn.append(torch.rand(1).item())
    assert drawn[0] == drawn[2] != drawn[1]


def test_all_cases_are_in_sorted_order(make_trainer):
    trainer = make_trainer("all")
    training, validation = trainer.do_split()
    assert training == sorted(training) == validation
    assert trainer.num_val_iterations_per_epoch == 0


def test_structures_are_in_the_order_of_labels(trainer):
    trainer.dataset_json["labels"] = {"LV": 3, "background": 0, "MYO": 2, "RV": 1}
    assert trainer._structures == ["RV", "MYO", "LV"]


def test_a_gpu_other_than_the_first_is_used(make_trainer, run):
    stock = make_trainer().my_init_kwargs
    plans = {**stock["plans"], "continue_training": False}
    if not torch.cuda.is_available():
        pytest.skip("needs CUDA")  # for nnU-Net's gradient scaler
    made = CheckpointEnsembleTrainer(plans, "2d", 0, stock["dataset_json"], torch.device("cuda:1"))
    assert made.device == torch.device("cuda:1")
