"""The command ``bayes-nnunet``: thin commands around ``app``."""

import os
from typing import Any

import click

from .archive import archive_group
from .evaluate import (
    compare_readings_command,
    evaluate_command,
    export_dicom_command,
)
from .paper import (
    evaluate_queue_command,
    evaluate_reader_command,
    prepare_command,
    trajectory_command,
)
from .profile import profile_group
from .segment import (
    calibrate_command,
    demo_command,
    devices_command,
    export_model_command,
    inspect_command,
    predict_command,
    serve_command,
)
from .train import schedule_command, train_command


class Commands(click.Group):
    """The commands of ``bayes-nnunet``, run in a process of their own."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Run a command whose child processes import nothing from the current folder.

        The processes of Dask and nnU-Net would import a file such as random.py from there.
        """
        os.environ["PYTHONSAFEPATH"] = "1"
        return super().__call__(*arguments, **options)


@click.group(cls=Commands)
@click.version_option(package_name="napari-bayes-nnunet")
def main() -> None:
    """Bayesian nnU-Net: checkpoint ensembles for segmentation with uncertainty."""


for _command in (
    schedule_command,
    train_command,
    inspect_command,
    predict_command,
    serve_command,
    export_model_command,
    export_dicom_command,
    archive_group,
    calibrate_command,
    profile_group,
    evaluate_command,
    evaluate_queue_command,
    evaluate_reader_command,
    compare_readings_command,
    devices_command,
    demo_command,
    prepare_command,
    trajectory_command,
):
    main.add_command(_command)
