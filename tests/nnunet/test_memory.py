"""Plans and images that would fill the memory or take hours are refused before."""

from __future__ import annotations

from typing import Any

import numpy as np
import psutil
import pytest
import torch

from napari_bayes_nnunet.nnunet import ModelError, memory
from napari_bayes_nnunet.nnunet.inference import Predictor
from napari_bayes_nnunet.nnunet.memory import (
    ENLARGED,
    ENOUGH_VOXELS,
    GIB,
    IMAGE_NEEDS_MEMORY,
    MOST_ENLARGED,
    PATCH_NEEDS_MEMORY,
    check_image,
    free_memory,
)
from napari_bayes_nnunet.nnunet.weights import expected_shapes

from ..helpers.data.models import LABELS, made_image, plans

DATASET = {"channel_names": {"0": "cine"}, "labels": LABELS, "file_ending": ".nii.gz"}
SPACING = (8.0, 1.5, 1.5)


def changed(**entries: Any) -> dict[str, Any]:
    """Return plans whose 2D configuration has other entries."""
    content = plans()
    content["configurations"]["2d"].update(entries)
    return content


@pytest.fixture
def scarce(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave 4 MB of memory free."""
    monkeypatch.setattr(memory, "free_memory", lambda needed: 4_000_000)


def prepare(content: dict[str, Any]) -> None:
    predictor = Predictor(content, DATASET, "2d", device=torch.device("cpu"))
    predictor.prepare(made_image((4, 96, 80))[None], SPACING)


def test_patch_that_fills_the_memory_is_refused(scarce: None) -> None:
    patch = [512, 512]
    expected_shapes(plans(), DATASET, "2d")
    with pytest.raises(ModelError) as caught:
        expected_shapes(changed(patch_size=patch), DATASET, "2d")
    error = caught.value
    assert error.statement.template == PATCH_NEEDS_MEMORY
    # 4 features in the first stage, 8 at half and 8 at a quarter of the size.
    features = 512 * 512 * (4 + 8 / 4 + 8 / 16 + 3 * 4)
    assert error.values["needed"] == pytest.approx(4 * features / GIB)


@pytest.mark.parametrize(
    "entries", [{"spacing": [0.05, 0.05]}, {"patch_size": [4096, 4096]}], ids=["spacing", "patch"]
)
def test_plans_that_enlarge_every_image_are_refused(entries: dict[str, Any]) -> None:
    with pytest.raises(ModelError) as caught:
        prepare(changed(**entries))
    assert caught.value.statement.template == ENLARGED
    assert caught.value.values["factor"] > MOST_ENLARGED


def test_image_that_fills_the_memory_is_refused(scarce: None) -> None:
    prepare(plans())
    with pytest.raises(ModelError) as caught:
        prepare(changed(spacing=[0.75, 0.75]))
    assert caught.value.statement.template == IMAGE_NEEDS_MEMORY
    assert caught.value.values["needed"] > caught.value.values["free"]


@pytest.mark.parametrize(
    ("shape", "spacing", "patch"),
    [((1, 4, 20, 24), (10, 1.5, 1.5), (256, 256)), ((1, 4, 20, 24), (0.5, 0.1, 0.1), (8, 32, 32))],
)
def test_small_images_may_be_enlarged_more(
    shape: tuple[int, ...], spacing: tuple[float, ...], patch: tuple[int, ...]
) -> None:
    steps = np.divide((10, 1.5, 1.5), spacing)
    resampled = np.multiply(shape[1:], steps)
    assert resampled.prod() < ENOUGH_VOXELS
    check_image(shape, resampled, patch, spacing=spacing, classes=4)


def test_free_memory_includes_that_of_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    main = psutil.virtual_memory().total
    asked: list[int] = []
    free = {0: main * 2, 1: 0}

    def mem_get_info(gpu: int) -> tuple[int, int]:
        asked.append(gpu)
        return free[gpu], main * 3

    monkeypatch.setattr(memory.torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(memory.torch.cuda, "mem_get_info", mem_get_info)
    assert 0 < free_memory(1) <= main
    assert asked == []  # asking takes memory on the GPU
    assert free_memory(main * 1.5) == main * 2
    assert asked == [0, 1]
