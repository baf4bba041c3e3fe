"""A part of the slices has the values that it has in the whole image."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_bayes_nnunet.app.segmentation.ensemble import Ensemble
from napari_bayes_nnunet.core.types import VoxelBox
from napari_bayes_nnunet.nnunet.cutout import ResampledAxis
from tests.helpers.data.models import made_image, make_model


@pytest.fixture(scope="module")
def predictor(tmp_path_factory):
    return Ensemble(make_model(tmp_path_factory.mktemp("m"), members=1), device="cpu")._predictor


@pytest.mark.parametrize("slices", [0, 1, 2])
@pytest.mark.parametrize("spacing", [(8.0, 1.2, 1.9), (8.0, 1.5, 1.5), (8.0, 3.1, 0.9)])
def test_resampled_part_equals_the_part_of_the_resampled(predictor, slices, spacing):
    image = np.moveaxis(made_image((4, 70, 90)), 0, slices)[None]
    moved = np.insert(spacing[1:], slices, spacing[0])
    prepared = predictor.prepare(image, tuple(moved))
    logits = torch.from_numpy(
        np.random.default_rng(0).normal(size=(4, *prepared.data.shape[1:])).astype(np.float32)
    )
    whole = predictor._on_image_grid(logits, prepared)
    found = np.zeros(image.shape[1:], bool)
    found[tuple(side // 2 for side in found.shape)] = True
    cutout = predictor.cutout(prepared, found, margin=5)
    assert cutout is not None
    assert [part.stop - part.start for part in cutout.parts] >= list(predictor.patch_size)
    part = predictor._on_image_grid(cutout.take(logits), replace(prepared, cutout=cutout))
    assert found[cutout.box].any()
    assert part.numel() < whole.numel()
    torch.testing.assert_close(part, whole[(slice(None), *cutout.box)], atol=2e-5, rtol=0)


def test_the_network_sees_only_the_part(predictor, monkeypatch):
    prepared = predictor.prepare(made_image((4, 90, 90))[None], (8.0, 1.5, 1.5))
    found = np.zeros((4, 90, 90), bool)
    found[:, 40:50, 40:50] = True
    cutout = predictor.cutout(prepared, found, margin=0)
    assert cutout is not None
    seen = []
    logits = predictor.network.logits
    monkeypatch.setattr(
        predictor.network,
        "logits",
        lambda batch, *a, **k: seen.append(batch) or logits(batch, *a, **k),
    )
    weights = {
        name: tensor.clone() for name, tensor in predictor.network.module.state_dict().items()
    }
    (part,) = predictor.probabilities([replace(prepared, cutout=cutout)], weights, mirrors=[()])
    torch.testing.assert_close(torch.cat(seen), cutout.take(prepared.data).transpose(0, 1))
    direct = torch.softmax(logits(torch.cat(seen), [()], at_once=4), dim=1).transpose(0, 1)
    torch.testing.assert_close(part, direct, atol=1e-5, rtol=0)


@pytest.mark.parametrize("configuration", ["2d", "3d_fullres"])
def test_no_part_if_nothing_was_found_or_the_network_is_3d(tmp_path, configuration):
    model = make_model(tmp_path, configuration=configuration, members=1)
    predictor = Ensemble(model, device="cpu")._predictor
    prepared = predictor.prepare(made_image((4, 90, 90))[None], (8.0, 1.5, 1.5))
    found = np.zeros((4, 90, 90), bool)
    assert predictor.cutout(prepared, found, margin=5) is None
    found[1, 50, 50] = True
    assert (predictor.cutout(prepared, found, margin=5) is None) == (configuration != "2d")
    found[:, 3::86, ::89] = True  # both ends of what nnU-Net keeps
    assert predictor.cutout(prepared, found, margin=5) is None


def edges_of(touched: np.ndarray) -> Callable[[VoxelBox], bool]:
    return lambda edge: bool(touched[edge].any())


def test_a_part_is_widened_where_it_is_touched(predictor):
    prepared = predictor.prepare(made_image((4, 90, 90))[None], (8.0, 1.5, 1.5))
    found = np.zeros((4, 90, 90), bool)
    found[:, 60, 45] = True
    cutout = predictor.cutout(prepared, found, margin=0)
    assert cutout is not None
    touched = np.zeros([side.stop - side.start for side in cutout.box], bool)
    assert cutout.widened(edges_of(touched), by=(8, 8)) is None
    touched[2, 20, -1] = True
    wider = cutout.widened(edges_of(touched), by=(8, 8))
    assert wider is not None
    (y, x), (new_y, new_x) = cutout.parts, wider.parts
    assert new_y == y
    assert new_x == slice(x.start, x.stop + 8)
    touched[2, 0, 20] = True
    wider = cutout.widened(edges_of(touched), by=(1000, 1000))
    assert wider is not None
    assert wider.parts == (slice(0, y.stop), slice(x.start, prepared.data.shape[-1]))
    at_end = np.zeros([side.stop - side.start for side in wider.box], bool)
    at_end[0, 0, -1] = True
    assert wider.widened(edges_of(at_end), by=(8, 8)) is None  # the image ends there


def test_positions_are_those_of_bilinear_resampling():
    axis = ResampledAxis(image=7, network=4, pad=3, padded=12)
    ramp = torch.arange(4, dtype=torch.float32)[None, None]
    resampled = torch.nn.functional.interpolate(ramp, size=7, mode="linear", align_corners=False)
    np.testing.assert_allclose(axis.positions() - 3, resampled[0, 0], atol=1e-6)
    assert axis.determined(slice(0, 12)) == slice(0, 7)
    assert axis.determined(slice(4, 6)) == slice(3, 4)
    assert axis.around(2, 3, margin=0, fewest=6) == slice(1, 7)
    assert axis.around(0, 0, margin=0, fewest=6) == slice(0, 6)
    assert axis.around(6, 6, margin=20, fewest=6) == slice(0, 12)
