"""Groups that the members of one cycle form in the space of weights, beside those of a control.

They are written to OUTPUT/modes, because the weights may be deleted later.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from napari_bayes_nnunet.io.files.atomic import write_json
from napari_bayes_nnunet.paper.trajectory.analysis import analyse_trajectory, with_control

from .trainings import Preset, Training, is_finished, trainings

CONTROL = "poly", 1
"""Kind and seed of the training without restarts, of which the same epochs are compared."""


def keep_modes(output: Path, preset: Preset) -> None:
    """Measure the members of each training with restarts whose weights, and the control's, exist.

    The layer is the last one of the decoder.
    """
    planned = {(training.kind, training.seed): training for training in trainings(preset)}
    control = planned[CONTROL]
    if not is_finished(control, output):
        return
    for training in planned.values():
        file = _file(output, training)
        if training.kind != "restarts" or file.exists() or not is_finished(training, output):
            continue
        analysis = analyse_trajectory(training.folder(output))
        layer = with_control(analysis, control.folder(output)).drawn
        numbers = [layer.modes.ratio, layer.modes.silhouette]
        if layer.control is not None:
            numbers += [layer.control.ratio, layer.control.silhouette]
        file.parent.mkdir(parents=True, exist_ok=True)
        write_json(file, [float(number) for number in numbers])


def read_modes(output: Path, preset: Preset) -> Iterator[tuple[Training, list[float]]]:
    """Yield each measured training with its ratio of distances between and within cycles.

    The silhouette follows, and both numbers of the control, if it has the same epochs.
    """
    for training in trainings(preset):
        file = _file(output, training)
        if file.exists():
            yield training, json.loads(file.read_text(encoding="utf-8"))


def _file(output: Path, training: Training) -> Path:
    return output / "modes" / f"{training.kind}-seed{training.seed}.json"
