"""Predictors that are compared: nnU-Net's own predictor, or ours in one of its modes."""

from __future__ import annotations

import io
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_bayes_nnunet.app.segmentation.ensemble import Ensemble
from napari_bayes_nnunet.app.segmentation.methods import choose_members
from napari_bayes_nnunet.app.segmentation.result import Segmentation
from napari_bayes_nnunet.app.segmentation.settings import SegmentationSettings
from napari_bayes_nnunet.core.steps import drain
from napari_bayes_nnunet.io.ensemble.ensemble_folder import find_ensemble
from napari_bayes_nnunet.nnunet.device import choose_device


@dataclass(frozen=True, kw_only=True)
class Row:
    """Settings of a measurement; nnU-Net has no spread mirroring and no choice of precision."""

    mirroring: Any
    members: int
    stock: bool = False
    precision: Any = "auto"
    phases: int = 1


class Ours:
    """Our ensemble, opened as in the child process when the user presses Segment."""

    def __init__(self, run: Path, row: Row, device: str) -> None:
        self._row = row
        self.ensemble = Ensemble(run, device=device, precision=row.precision)
        self.device = self.ensemble.device
        self.precision = self.ensemble.precision
        self.settings = SegmentationSettings(
            members=row.members,
            mirroring=row.mirroring,
            temperature=1,  # like nnU-Net's, but with all that a calibrated ensemble computes
            window="whole",
        )

    def predict(self, image: NDArray[Any], spacing: Any) -> tuple[NDArray[np.float32], int]:
        """Return the mean probabilities of the (first) image and the number of members.

        Images are segmented as many together as the child process would.
        """
        images = [image] * self._row.phases
        together = self.ensemble.phases_at_once(image, self._row.mirroring)
        results: list[Segmentation] = []
        for first in range(0, len(images), together):
            group = images[first : first + together]
            results += drain(self.ensemble.phase_steps(group, spacing, self.settings))
        return results[0].probabilities, len(results[0].members)


class Stock:
    """nnU-Net's predictor with preloaded weights of each member, averaging softmax (Eq. 2)."""

    def __init__(self, run: Path, row: Row, device: str) -> None:
        from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

        chosen = choose_device(device)
        self.device, self.precision = str(chosen), "float16" if chosen.type == "cuda" else "float32"
        paths = _member_paths(run, row.members)
        self._predictor = nnUNetPredictor(
            use_mirroring=row.mirroring == "full", device=chosen, allow_tqdm=False
        )
        fold = next(folder for folder in paths[0].parents if folder.name.startswith("fold_"))
        with redirect_stdout(io.StringIO()):
            self._predictor.initialize_from_trained_model_folder(
                str(fold.parent),
                (fold.name.removeprefix("fold_"),),
                str(paths[0].relative_to(fold)),
            )
        self._member_weights = _member_weights(paths)

    def predict(self, image: NDArray[Any], spacing: Any) -> tuple[NDArray[np.float32], int]:
        """Return the mean probabilities of the image and the number of members."""
        total: Any = 0.0
        for weights in self._member_weights:
            self._predictor.list_of_parameters = [weights]
            with redirect_stdout(io.StringIO()):
                _, probabilities = self._predictor.predict_single_npy_array(
                    image.astype(np.float32), {"spacing": list(spacing)}, None, None, True
                )
            total = total + probabilities
        return total / len(self._member_weights), len(self._member_weights)


def _member_paths(run: Path, members: int) -> tuple[Path, ...]:
    return tuple(member.path for member in choose_members(find_ensemble(run), "multi", members))


@lru_cache
def _member_weights(paths: tuple[Path, ...]) -> list[dict[str, Any]]:
    """Return the weights of every member in float32, as in nnU-Net's own checkpoints."""
    from napari_bayes_nnunet.nnunet.weights import mean_weights, read_checkpoint

    checkpoints = [read_checkpoint(path)["network_weights"] for path in paths]
    return [mean_weights([weights, weights]) for weights in checkpoints]
