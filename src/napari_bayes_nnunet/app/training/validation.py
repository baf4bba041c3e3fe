"""Mean Dice and calibration, measured on validation cases after a training."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from ...core.durations import TimeLeft
from ...core.problems import Problem
from ...core.steps import drain
from ...io.dataset.raw_dataset import RawDataset, TrainingCase
from ...io.ensemble.ensemble_folder import find_ensemble
from ...io.ensemble.run_folder import RunFolder, read_record, write_record
from ...io.images.nifti import ENDINGS
from ..messages import Message, Notice, StageStarted, text_fields
from ..segmentation.calibrate import (
    CalibrationCase,
    compare_case,
    fit_calibration,
    fit_kind_of_images,
    left_out,
    mean_scores,
    measure_training_labels,
)
from ..segmentation.calibration import write_calibration
from ..segmentation.ensemble import Ensemble
from ..segmentation.methods import refused_methods
from ..segmentation.settings import SegmentationSettings
from ..signals import StopRequest

SETTINGS = SegmentationSettings(temperature=1)
"""Default settings, because a calibration is only used for the settings it was fitted for."""
CALIBRATED = ("multi", "single", "vanilla")
"""Methods that are calibrated, so that they can be compared; the Dice is that of the first."""
LEARNING_KIND = "Learning the kind of images from case {case}"
MEASURING_CASE = "Measuring validation case {number} of {cases}"


def measure_validation(
    run: RunFolder,
    fold: str,
    dataset: RawDataset,
    *,
    device: str,
    send: Callable[[Message], None],
    stop: StopRequest,
) -> None:
    """Write the mean Dice to ``ensemble.json``, and fit the calibrations but for regions.

    Only records whether the training labels are one component if the fold has no validation cases,
    and does nothing if the dataset is not in NIfTI. Cases that cannot be read or segmented are left
    out. ``send`` gets a StageStarted for every case, and a Notice for each that is left out. Raises
    Stopped.
    """
    record = read_record(run.record)
    if dataset.json["file_ending"] not in ENDINGS:
        return
    folder = find_ensemble(run.path)
    members = tuple(member for member in folder.members if member.fold == fold)
    one_component, mass_range = measure_training_labels(folder, dataset, members)
    # Before the cases are segmented, which keep components by it.
    write_calibration(folder, one_component=one_component)
    names = {*record.validation_cases(fold)}
    cases = [case for case in dataset.cases if case.name in names]
    if not cases:
        return
    ensemble = Ensemble(replace(folder, members=members), device=device)
    refused = refused_methods(ensemble.folder)
    settings = [replace(SETTINGS, method=name) for name in CALIBRATED if name not in refused]
    measured = list(_measure(ensemble, cases, settings, record.patient, send, stop))
    if not measured:
        return
    compared = [of_case[0] for of_case in measured]
    if any(case.labels.size for case in compared) and not folder.class_order:
        steps = fit_kind_of_images(ensemble, dataset, record.patient)
        image_rule = drain(steps, lambda name: _report_look(name, send, stop))
        for of_method, results in zip(settings, zip(*measured, strict=True), strict=True):
            calibration = fit_calibration(
                ensemble.folder, of_method, results, mass_range=mass_range
            )
            write_calibration(folder, calibration, image=image_rule)
    record.validation[fold] = {
        "method": SETTINGS.method,
        "members": min(SETTINGS.members, len(ensemble.folder.usable_members)),
        "mirroring": SETTINGS.mirroring,
        "cases": len(compared),
        "dice": mean_scores(case.dice for case in compared),
    }
    write_record(run.record, record)


def _measure(
    ensemble: Ensemble,
    cases: Sequence[TrainingCase],
    settings: Sequence[SegmentationSettings],
    pattern: str,
    send: Callable[[Message], None],
    stop: StopRequest,
) -> Iterator[list[CalibrationCase]]:
    """Yield the comparisons of each validation case with its reference, one for each settings."""
    time_left = TimeLeft()
    for done, case in enumerate(cases):
        if done:
            time_left.step()
        left = time_left.seconds(len(cases) - done)
        text = MEASURING_CASE.format(number=done + 1, cases=len(cases))
        send(StageStarted(text=text, done=done, total=len(cases), eta_seconds=left))
        try:
            compared = [
                compare_case(ensemble, case, each, pattern, should_stop=lambda: bool(stop))
                for each in settings
            ]
        except Problem as problem:
            send(Notice(**text_fields(left_out(case, problem))))
            continue
        yield compared


def _report_look(name: str, send: Callable[[Message], None], stop: StopRequest) -> None:
    stop.check()
    send(StageStarted(text=LEARNING_KIND.format(case=name)))
