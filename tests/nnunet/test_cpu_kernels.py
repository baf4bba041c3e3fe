"""Tests that a CPU trains in channels-last order with unchanged mathematics."""

import copy

import pytest
import torch

from napari_bayes_nnunet.nnunet.cpu_kernels import train_channels_last


def make_network(dimensions=2):
    nn = torch.nn
    convolution = nn.Conv2d if dimensions == 2 else nn.Conv3d
    transposed = nn.ConvTranspose2d
    norm = nn.InstanceNorm2d if dimensions == 2 else nn.InstanceNorm3d
    torch.manual_seed(0)
    network = nn.Sequential(
        *(convolution(2, 4, 3, padding=1), norm(4, affine=True), nn.LeakyReLU()),
        *(convolution(4, 8, 3, stride=2, padding=1), norm(8, affine=True), convolution(8, 5, 1)),
        transposed(5, 4, 2, stride=2) if dimensions == 2 else nn.Identity(),
        transposed(4, 3, (3, 1), stride=(3, 1), bias=False) if dimensions == 2 else nn.Identity(),
    ).double()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter)
    return network


def results(network, batch):
    """Return the output of ``network`` and the gradients of its weights and of the batch."""
    batch = batch.clone().requires_grad_()
    output = network(batch)
    weights = torch.arange(output.numel(), dtype=output.dtype).sin().reshape(output.shape)
    return [output, *torch.autograd.grad((output * weights).sum(), [batch, *network.parameters()])]


@pytest.mark.parametrize("pixels", [(72, 40), (12, 10)], ids=["large", "small"])
@pytest.mark.parametrize("samples", [1, 3])
def test_outputs_and_gradients_stay_the_same(pixels, samples):
    network = make_network()
    fast = copy.deepcopy(network)
    train_channels_last(fast)
    batch = torch.randn(samples, 2, *pixels, dtype=torch.float64)
    assert network(batch).stride() != fast(batch).stride()
    for expected, found in zip(results(network, batch), results(fast, batch), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


def test_names_and_shapes_of_weights_stay():
    network = make_network()
    expected = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    train_channels_last(network)
    assert network.state_dict().keys() == expected.keys()
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, expected[name])


def test_network_in_three_dimensions_stays():
    network = make_network(dimensions=3)
    train_channels_last(network)
    assert all(parameter.is_contiguous() for parameter in network.parameters())
    assert not any("forward" in vars(module) for module in network.modules())


@pytest.mark.parametrize(
    "options",
    [
        {"stride": 1},
        {"stride": 2, "padding": 1},
        {"stride": 2, "output_padding": 1},
        {"stride": 2, "groups": 2},
        {"stride": 2, "dilation": 2},
    ],
    ids=lambda options: "-".join(options),
)
def test_transposed_convolutions_that_mix_blocks_stay(options):
    network = torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 1), torch.nn.ConvTranspose2d(4, 4, 2, **options)
    )
    fast = copy.deepcopy(network)
    train_channels_last(fast)
    batch = torch.randn(2, 1, 6, 5)
    torch.testing.assert_close(fast(batch), network(batch))
