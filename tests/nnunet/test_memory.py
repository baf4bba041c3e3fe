"""Plans and images that would fill the memory are refused before."""

from contextlib import nullcontext
from typing import Any

import pytest
import torch

from napari_bayes_nnunet.nnunet import ModelError, memory
from napari_bayes_nnunet.nnunet.inference import Predictor
from napari_bayes_nnunet.nnunet.memory import (
    GIB,
    IMAGE_NEEDS_MEMORY,
    PATCH_NEEDS_MEMORY,
    check_image,
    check_patch,
    free_memory,
)

from ..helpers.data.models import LABELS, made_image, plans

DATASET = {"channel_names": {"0": "cine"}, "labels": LABELS, "file_ending": ".nii.gz"}
SPACING = (8.0, 1.5, 1.5)
CPU, GPU = torch.device("cpu"), torch.device("cuda:1")


def changed(**entries: Any) -> dict[str, Any]:
    """Return plans whose 2D configuration has other entries."""
    content = plans()
    content["configurations"]["2d"].update(entries)
    return content


@pytest.fixture
def scarce(monkeypatch):
    """Leave 4 MB of memory free."""
    monkeypatch.setattr(memory, "free_main_memory", lambda: 4_000_000)


@pytest.fixture
def gpus(monkeypatch):
    """Give every GPU 1 GB of free memory; return those that were asked for it."""
    asked: list[torch.device] = []

    def mem_get_info(gpu: torch.device) -> tuple[int, int]:
        asked.append(gpu)
        return 10**9, 10**10

    monkeypatch.setattr(memory.torch.cuda, "mem_get_info", mem_get_info)
    return asked


def make_predictor(content: dict[str, Any]) -> Predictor:
    return Predictor(content, DATASET, "2d", device=CPU)


def prepare(content: dict[str, Any]) -> None:
    make_predictor(content).prepare(made_image((4, 96, 80))[None], SPACING)


def test_patch_that_fills_the_memory_is_refused(scarce, gpus):
    patch = [512, 512]
    network = make_predictor(plans()).network.module
    with pytest.raises(ModelError) as caught:
        make_predictor(changed(patch_size=patch))
    assert gpus == []
    check_patch(network, patch, GPU)
    error = caught.value
    assert error.statement.template == PATCH_NEEDS_MEMORY
    # 4 features in the first stage, 8 at half and 8 at a quarter of the size.
    features = 512 * 512 * (4 + 8 / 4 + 8 / 16 + 3 * 4)
    assert error.values["needed"] == pytest.approx(4 * features / GIB)


def test_image_that_fills_the_memory_is_refused(scarce):
    prepare(plans())
    with pytest.raises(ModelError) as caught:
        prepare(changed(spacing=[0.75, 0.75]))
    assert caught.value.statement.template == IMAGE_NEEDS_MEMORY
    assert caught.value.values["needed"] > caught.value.values["free"]


@pytest.mark.parametrize(
    ("channels", "device", "is_accepted"), [(1, CPU, False), (1, GPU, True), (3, GPU, False)]
)
def test_image_is_resampled_in_main_memory_and_summed_on_the_device(
    scarce, gpus, channels, device, is_accepted
):
    """A channel takes 1.6 MB in main memory, the sums of five classes take 4.4 MB."""
    sides = (10, 100, 100)
    with nullcontext() if is_accepted else pytest.raises(ModelError) as caught:
        check_image((channels, *sides), sides, (48, 56), spacing=SPACING, classes=5, sums_on=device)
    assert gpus == [GPU] * (device == GPU)
    if not is_accepted:
        needed = 1_600_000 * channels + 4_400_000 * (device == CPU)
        assert caught.value.statement.template == IMAGE_NEEDS_MEMORY
        assert caught.value.values["needed"] == pytest.approx(needed / GIB)


def test_free_memory_includes_that_of_the_gpu(scarce, gpus):
    assert free_memory(1, GPU) == free_memory(10**8, CPU) == 4_000_000
    assert gpus == []  # asking takes memory on the GPU
    assert free_memory(10**8, GPU) == 10**9
    assert gpus == [GPU]
