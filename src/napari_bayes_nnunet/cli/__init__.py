"""The command ``bayes-nnunet``: thin commands around ``app``."""

import click

from .evaluate import (
    evaluate_command,
    evaluate_queue_command,
    evaluate_reader_command,
    export_dicom_command,
)
from .segment import (
    calibrate_command,
    demo_command,
    devices_command,
    inspect_command,
    predict_command,
)
from .train import prepare_command, schedule_command, train_command, trajectory_command


@click.group()
@click.version_option(package_name="napari-bayes-nnunet")
def main() -> None:
    """Bayesian nnU-Net: checkpoint ensembles for segmentation with uncertainty."""


for _command in (
    schedule_command,
    train_command,
    inspect_command,
    predict_command,
    export_dicom_command,
    calibrate_command,
    evaluate_command,
    evaluate_queue_command,
    evaluate_reader_command,
    devices_command,
    demo_command,
    prepare_command,
    trajectory_command,
):
    main.add_command(_command)
