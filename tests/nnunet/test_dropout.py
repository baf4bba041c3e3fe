"""Passes with dropout: each is one sample of the weights, in the blocks of the placement."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
import torch
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from torch.nn.modules.dropout import _DropoutNd

from napari_bayes_nnunet.app.segmentation.ensemble import Ensemble
from napari_bayes_nnunet.app.segmentation.methods import ForwardPass
from napari_bayes_nnunet.core.ensemble.training_settings import TrainingSettings
from napari_bayes_nnunet.io.ensemble.ensemble_folder import PLANS_ENTRY
from napari_bayes_nnunet.nnunet import ModelError
from napari_bayes_nnunet.nnunet.dropout import (
    PLACEMENT,
    dropout_placement,
    one_weight_sample,
    place_dropout,
)
from napari_bayes_nnunet.nnunet.inference import mirrors_of
from napari_bayes_nnunet.nnunet.network import Network
from napari_bayes_nnunet.nnunet.planning import add_dropout
from napari_bayes_nnunet.nnunet.trainer import CheckpointEnsembleTrainer, read_settings
from tests.helpers.data.models import LABELS, made_image, make_model, plans

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:torch.jit")

DATASET = {"channel_names": {"0": "cine"}, "labels": LABELS, "file_ending": ".nii.gz"}
DROP = 0.5
SPACING = (8.0, 1.5, 1.5)


def plans_with(placement: str | None, *, residual: bool = False, name: str = "2d") -> Any:
    made = plans(residual=residual)
    add_dropout(made["configurations"][name], DROP)
    return made if placement is None else made | {PLANS_ENTRY: {PLACEMENT: placement}}


def make_network(
    placement: str | None = None, *, name: str = "2d", residual: bool = False
) -> Network:
    torch.manual_seed(0)
    manager = PlansManager(plans_with(placement, residual=residual, name=name))
    settings = manager.get_configuration(name)
    return Network(manager, settings, DATASET, torch.device("cpu"), precision="full")


def patches(count: int, *, dimension: int = 2) -> torch.Tensor:
    image = made_image((count, *(16, 32, 24)[-dimension:])).reshape(
        count, 1, *(16, 32, 24)[-dimension:]
    )
    return torch.from_numpy(image)


def logits(
    network: Network, batch: torch.Tensor, *, seed: int, mirrors: Any = ((),)
) -> torch.Tensor:
    with network.dropping_out(seed):
        return network.logits(batch, list(mirrors), at_once=2)


# One sample of the weights


def test_equal_slices_have_equal_logits() -> None:
    network = make_network()
    batch = patches(1).expand(5, -1, -1, -1)
    found = logits(network, batch, seed=3)
    torch.testing.assert_close(found, found[:1].expand_as(found))


@pytest.mark.parametrize(("name", "dimension"), [("2d", 2), ("3d_fullres", 3)])
def test_mirrors_commute_with_a_pass(name, dimension) -> None:
    network = make_network(name=name)
    batch = patches(2, dimension=dimension)
    mirrors = mirrors_of("full", tuple(range(dimension)))
    found = logits(network, batch, seed=1, mirrors=mirrors)
    flipped = logits(network, batch.flip(-1), seed=1, mirrors=mirrors)
    torch.testing.assert_close(flipped.flip(-1), found, atol=1e-5, rtol=1e-4)


def test_seeds_differ_and_repeat() -> None:
    network = make_network()
    batch = patches(2)
    first, second, again = (logits(network, batch, seed=seed) for seed in (0, 1, 0))
    torch.testing.assert_close(first, again, rtol=0, atol=0)
    assert not torch.allclose(first, second, atol=1e-3)
    torch.testing.assert_close(logits(make_network(), batch, seed=0), first)


def test_sober_network_follows_a_pass() -> None:
    network = make_network()
    batch = patches(2)
    before = network.logits(batch, [()], at_once=2)
    state = torch.get_rng_state()
    logits(network, batch, seed=0)
    torch.testing.assert_close(network.logits(batch, [()], at_once=2), before, rtol=0, atol=0)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_dropped_channel_is_a_constant_and_the_others_stay() -> None:
    """A block is convolution, dropout, instance norm and LeakyReLU."""
    block = make_network().module.encoder.stages[0][0].convs[0]
    torch.nn.init.normal_(block.norm.bias)
    batch = patches(2)
    with torch.no_grad(), one_weight_sample(block, 0):
        found = block(batch)
    plain = block(batch).detach()
    constants = torch.nn.functional.leaky_relu(block.norm.bias).detach()
    dropped = torch.from_numpy(np.random.default_rng((0, 0)).random(4) < DROP)
    assert 0 < int(dropped.sum()) < 4
    expected = torch.where(dropped[:, None, None], constants[:, None, None], plain)
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("shape", [(2, 40, 5, 6), (2, 40, 3, 5, 6)])
def test_channels_are_dropped_whole_and_scaled(shape) -> None:
    kind = torch.nn.Dropout2d if len(shape) == 4 else torch.nn.Dropout3d
    layer = torch.nn.Sequential(kind(p=0.25)).eval()
    with one_weight_sample(layer, seed=0):
        found = layer(torch.ones(shape))
    mask = found[:1, :, :1, :1] if len(shape) == 4 else found[:1, :, :1, :1, :1]
    torch.testing.assert_close(found, mask.expand(shape))
    assert sorted(np.unique(mask.numpy())) == pytest.approx([0, 4 / 3])
    assert 0.5 < float((mask > 0).float().mean()) < 0.95


def test_a_pass_is_the_same_in_any_batches(tmp_path) -> None:
    ensemble = Ensemble(make_model(tmp_path, members=1, dropout=DROP), device="cpu")
    image = np.repeat(made_image((1, 60, 50)), 5, axis=0)
    (member,) = ensemble.folder.members

    def answer(batch: int) -> Any:
        ensemble._predictor.batch_size = batch
        (found,) = ensemble.pass_probabilities(image, SPACING, [ForwardPass((member,), 7)])
        return found

    one, many = answer(1), answer(64)
    torch.testing.assert_close(one, many, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(one, one[:, :1].expand_as(one), atol=1e-5, rtol=1e-4)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_pass_is_the_same_on_a_gpu() -> None:
    network = make_network()
    batch = patches(2)
    expected = logits(network, batch, seed=5)
    network.to(torch.device("cuda"))
    torch.testing.assert_close(logits(network, batch, seed=5).cpu(), expected, atol=1e-2, rtol=1e-2)


# Placement


def chances(network: torch.nn.Module) -> dict[str, set[float]]:
    """Return encoder and decoder → probabilities of their layers."""
    found: dict[str, set[float]] = {"encoder": set(), "decoder": set()}
    for name, module in network.named_modules():
        if isinstance(module, _DropoutNd):
            found[name.split(".")[0]].add(module.p)
    return found


@pytest.mark.parametrize("residual", [False, True], ids=["plain", "residual"])
@pytest.mark.parametrize(
    ("placement", "decoder"), [("encoder", 0.0), ("everywhere", DROP), (None, DROP)]
)
def test_network_drops_where_its_plans_say(placement, decoder, residual) -> None:
    network = make_network(placement, residual=residual)
    assert chances(network.module) == {"encoder": {DROP}, "decoder": {decoder}}


def test_placement_changes_passes_but_no_names() -> None:
    encoder, everywhere = make_network("encoder"), make_network("everywhere")
    assert encoder.module.state_dict().keys() == everywhere.module.state_dict().keys()
    encoder.load(everywhere.module.state_dict())
    batch = patches(2)
    sober = [network.logits(batch, [()], at_once=2) for network in (encoder, everywhere)]
    torch.testing.assert_close(*sober)
    dropped = [logits(network, batch, seed=2) for network in (encoder, everywhere)]
    assert not torch.allclose(*dropped, atol=1e-3)


@pytest.mark.parametrize("placement", ["encoder", "everywhere"])
def test_trainer_drops_where_its_settings_say(placement) -> None:
    settings = TrainingSettings(dropout_placement=placement)
    written = plans_with(None) | {PLANS_ENTRY: json.loads(json.dumps(asdict(settings)))}
    assert read_settings(written).dropout_placement == placement
    manager = PlansManager(written)
    network = CheckpointEnsembleTrainer.build_network_architecture(
        manager, manager.get_configuration("2d"), 1, 4, True
    )
    expected = DROP if placement == "everywhere" else 0.0
    assert chances(network) == {"encoder": {DROP}, "decoder": {expected}}


def test_settings_of_an_old_run_drop_everywhere() -> None:
    old = asdict(TrainingSettings())
    del old["dropout_placement"]
    assert dropout_placement({PLANS_ENTRY: old}) == "everywhere"


def test_unknown_placement_is_refused(tmp_path) -> None:
    model = make_model(tmp_path, members=1, dropout=DROP)
    written = json.loads((model / "plans.json").read_text())
    (model / "plans.json").write_text(json.dumps(written | {PLANS_ENTRY: {PLACEMENT: "skips"}}))
    with pytest.raises(ModelError):
        Ensemble(model, device="cpu")


def test_network_without_an_encoder_is_refused() -> None:
    with pytest.raises(AttributeError):
        place_dropout(torch.nn.Sequential(torch.nn.Dropout2d()), "encoder")
