"""The network of a student with its mutual information, which the program itself does not use."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch

from napari_bayes_nnunet.nnunet.distillation.student import HEAD, join_head, widen_output
from napari_bayes_nnunet.nnunet.inference import Predictor
from napari_bayes_nnunet.nnunet.weights import StateDict, read_checkpoint


class StudentPredictor(Predictor):
    """Predictor whose probabilities are followed by the mutual information, in bit."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        widen_output(self.network.module)
        self.network.to(self.network.device)
        self.classes += 1

    def _activated(self, logits: torch.Tensor) -> torch.Tensor:
        """Return (C + 1, …) probabilities and mutual information, bit, from as many logits."""
        largest = math.log2(self.classes - 1)
        information = largest * torch.sigmoid(logits[-1:].float())
        return torch.cat([super()._activated(logits[:-1]), information])


def read_student(path: Path) -> tuple[StateDict, tuple[int, ...] | None]:
    """Return the weights of a student with the additional output, and its mirroring axes."""
    content = read_checkpoint(path)
    axes = content.get("inference_allowed_mirroring_axes")
    return join_head(content["network_weights"], content[HEAD]), tuple(axes) if axes else None
