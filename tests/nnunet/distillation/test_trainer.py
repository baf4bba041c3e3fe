"""Loss of a student."""

import pytest
import torch

from napari_bayes_nnunet.nnunet.distillation.trainer import StudentLoss


@pytest.fixture
def wanted():
    """Mean probabilities (N, C, y, x), and mutual information from 0 to 1."""
    torch.manual_seed(1)
    return torch.rand(3, 4, 6, 5).softmax(1), torch.rand(3, 6, 5)


@pytest.mark.parametrize("batch_dice", [False, True])
def test_loss_is_least_for_equal_outputs(batch_dice, wanted):
    probabilities, information = wanted
    outputs = torch.cat([probabilities.log(), information.logit()[:, None]], dim=1)
    outputs.requires_grad_()
    targets = torch.cat([probabilities[:, 1:], information[:, None]], dim=1)
    loss = StudentLoss(batch_dice=batch_dice)(outputs, targets)
    loss.backward()
    assert abs(loss.item()) < 1e-5
    assert outputs.grad.abs().max() < 1e-6
    for channel in (0, 2, 4):
        changed = outputs.detach().clone()
        changed[:, channel] += 1
        assert StudentLoss(batch_dice=batch_dice)(changed, targets) > 0.01


def test_certain_targets_give_a_finite_loss():
    targets = torch.zeros(1, 4, 6, 5)
    targets[0, 1, 2:4] = 1
    outputs = torch.zeros(1, 5, 6, 5, requires_grad=True)
    loss = StudentLoss(batch_dice=True)(outputs, targets)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(outputs.grad).all()
