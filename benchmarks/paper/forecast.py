"""Hours and disk space of the trainings, estimated before they start."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from time import monotonic
from typing import Any

import torch
from dynamic_network_architectures.architectures.unet import PlainConvUNet

from napari_bayes_nnunet.app.training.disk_space import estimate_disk_need, free_bytes, size_text
from napari_bayes_nnunet.app.training.preflight import check_cases
from napari_bayes_nnunet.app.training.request import has_begun
from napari_bayes_nnunet.core.counts import format_count
from napari_bayes_nnunet.core.ensemble.training_settings import NETWORKS
from napari_bayes_nnunet.core.ensemble.training_settings import PRESETS as TRAINING_PRESETS
from napari_bayes_nnunet.core.steps import drain
from napari_bayes_nnunet.io.dataset.raw_dataset import read_dataset
from napari_bayes_nnunet.io.ensemble.run_folder import RunFolder, read_record
from napari_bayes_nnunet.nnunet.cpu_kernels import train_channels_last
from napari_bayes_nnunet.nnunet.device import choose_device, has_fast_bfloat16
from napari_bayes_nnunet.nnunet.planning import FEATURES, LARGEST_PATCH

from .trainings import Preset, Training, finished_epochs, is_finished, trainings
from .workers import threads_of_worker

FULL_FEATURES, FULL_PATCH = (32, 64, 128, 256, 512, 512), (256, 224)
"""Network and patch that nnU-Net plans for ACDC in 2D."""
STEPS = 3
TRAJECTORY_EPOCH = 400_000
"""Bytes of the layers that one epoch of a trajectory keeps, before the first is measured."""


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What the unfinished trainings take on devices such as ``device``.

    ``seconds_per_step`` are those of finished epochs if ``is_trained``, otherwise of the network
    alone. ``hours`` is the time until the last worker is done, without the evaluation.
    """

    unfinished: int
    workers: int
    device: str
    steps: int
    seconds_per_step: float
    is_trained: bool
    hours: float
    needed_bytes: int
    free_bytes: int

    def __str__(self) -> str:
        network = f"of the network alone on {self.device}, without images"
        source = "of finished epochs" if self.is_trained else network
        at_least = "" if self.is_trained else "at least "
        return (
            f"{format_count(self.unfinished, 'training')} of {self.steps} steps in all, by "
            f"{format_count(self.workers, 'worker')}: {at_least}{self.hours:.1f} h at "
            f"{self.seconds_per_step:.3g} s per step ({source}), and up to "
            f"{size_text(self.needed_bytes)} of disk ({size_text(self.free_bytes)} are free). The "
            "evaluation comes on top."
        )


def forecast_trainings(
    dataset: Path,
    output: Path,
    split: Path,
    planned: Sequence[Training],
    *,
    preset: Preset,
    devices: Sequence[str],
) -> Forecast:
    """Return what the unfinished ones of ``planned`` take with one worker on each device.

    A step is measured on the first device, for a few seconds, unless a training has finished an
    epoch. Of the workers on a CPU as many count as it has cores.
    """
    missing = {t: _missing_steps(t, output, preset) for t in planned}
    missing = {training: steps for training, steps in missing.items() if steps}
    measured = _trained_seconds(output, preset)
    seconds = measured
    if seconds is None:
        threads = threads_of_worker(devices)
        seconds = measure_step(preset.name, devices[0], threads) if missing else 0.0
    device = choose_device(devices[0])
    cores = os.cpu_count() or 1
    side_by_side = min(len(devices), cores) if device.type == "cpu" else len(devices)
    return Forecast(
        unfinished=len(missing),
        workers=len(devices),
        device=str(device),
        steps=sum(missing.values()),
        seconds_per_step=seconds,
        is_trained=measured is not None,
        hours=_steps_of_busiest(list(missing.values()), side_by_side) * seconds / 3600,
        needed_bytes=_needed_bytes(list(missing), dataset, output, split, preset),
        free_bytes=free_bytes(output),
    )


def _missing_steps(training: Training, output: Path, preset: Preset) -> int:
    if is_finished(training, output):
        return 0
    run = RunFolder(training.folder(output))
    done = len(finished_epochs(run.path)) if has_begun(run, "0") else 0
    return max(1, training.epochs - done) * preset.iterations


def _trained_seconds(output: Path, preset: Preset) -> float | None:
    seconds = [e.seconds for t in trainings(preset) for e in finished_epochs(t.folder(output))]
    return median(seconds) / preset.iterations if seconds else None


def _steps_of_busiest(steps: Sequence[int], workers: int) -> int:
    """Return the steps of the worker that ends last; each takes the next training of the list."""
    busy = [0] * workers
    for count in steps:
        busy[busy.index(min(busy))] += count
    return max(busy)


def _needed_bytes(
    missing: Sequence[Training], dataset: Path, output: Path, split: Path, preset: Preset
) -> int:
    """Return the largest size of all missing files; the preprocessed images are there once."""
    raw = read_dataset(dataset)
    checks = drain(check_cases(raw)) if missing else ()
    total = images = 0
    for training in missing:
        run = RunFolder(training.folder(output))
        settled = read_record(run.record) if run.record.exists() else None
        request = training.request(dataset, output, split, preset=preset, device="auto")
        need = estimate_disk_need(request, raw, checks, fold="0", settled=settled, free_bytes=0)
        images = max(images, need.parts["preprocessed images"])
        total += need.needed_bytes - need.parts["preprocessed images"]
        kept = [file.stat().st_size for file in run.trajectory("0").glob("epoch_*.npz")]
        total += (training.epochs - len(kept)) * max(kept, default=TRAJECTORY_EPOCH)
    return total + images


def measure_step(preset: str, device: str, threads: int | None = None) -> float:
    """Return the seconds of a training step of a preset's network on random images.

    ``threads`` are those of a CPU, None for all of them. The process that measures ends at once,
    because the command lives as long as the trainings, and one that has used a GPU keeps memory
    there, or, if the GPU is set to one process, all of it.
    """
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(_measure_step, preset, device, threads).result()


def _measure_step(preset: str, device: str, threads: int | None) -> float:
    values = TRAINING_PRESETS[preset]
    network, features, patch = NETWORKS[values.preset], FULL_FEATURES, FULL_PATCH
    if network != "full":
        features, side = FEATURES[network], LARGEST_PATCH[network]
        patch = min(side, FULL_PATCH[0]), min(side, FULL_PATCH[1])
    if threads:
        torch.set_num_threads(threads)
    step = _training_step(features, patch, values.batch_size, choose_device(device))
    step()  # the first chooses kernels and allocates memory
    started = monotonic()
    for _ in range(STEPS):
        step()
    return (monotonic() - started) / STEPS


def _training_step(
    features: Sequence[int], patch: tuple[int, int], batch_size: int, device: torch.device
) -> Any:
    """Return a function that runs one step of nnU-Net's training, in its precision."""
    stages = len(features)
    network = PlainConvUNet(
        1, stages, features, torch.nn.Conv2d, 3, [1] + [2] * (stages - 1), 2, 4, 2,
        conv_bias=True, norm_op=torch.nn.InstanceNorm2d, norm_op_kwargs={"affine": True},
        nonlin=torch.nn.LeakyReLU, deep_supervision=True,
    ).to(device)  # fmt: skip
    precision: Any = nullcontext()
    if device.type == "cuda":
        precision = torch.autocast("cuda")
    elif device.type == "cpu" and has_fast_bfloat16():
        train_channels_last(network)
        precision = torch.autocast("cpu", dtype=torch.bfloat16)
    optimizer = torch.optim.SGD(network.parameters(), 0.01, momentum=0.99, nesterov=True)
    images = torch.randn(batch_size, 1, *patch, device=device)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with precision:
            loss = sum(logits.float().logsumexp(1).mean() for logits in network(images))
        loss.backward()
        optimizer.step()
        loss.item()  # wait for the device

    return step
