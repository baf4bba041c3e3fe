"""Commands that segment, or inspect ensembles and devices. Heavy imports happen inside them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import fields
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from ..app.segmentation.settings import DEFAULT_WINDOW, SegmentationSettings
from ..core.counts import format_count
from ..core.ensemble.maps import MAPS
from ..core.problems import Statement
from .options import (
    PATH,
    RESOURCES,
    VOXEL_SIZE,
    Command,
    options_of,
    output_option,
)

if TYPE_CHECKING:  # numpy, which the pages of the commands are built without
    from ..core.choices import Window

_Function = TypeVar("_Function", bound=Callable[..., Any])


segmentation_options = options_of(
    SegmentationSettings,
    window={
        "default": None,
        "show_default": "heart; whole if the ensemble is calibrated only for it",
    },
    device={
        "help": "Device to compute on: auto, cuda, mps or cpu. cuda:1 is the second GPU. Or "
        "another computer, ssh://[USER@]HOST[:PORT], followed by ?command=COMMAND if "
        "bayes-nnunet is not on the PATH there."
    },
)
"""Decorator that adds the options of a segmentation."""


def cluster_options(command: _Function) -> _Function:
    """Add the options of a Dask cluster."""
    # Decorators apply from the last one to the first.
    for option in reversed(_CLUSTER):
        command = option(command)
    return command


_CLUSTER: Final = (
    click.option(
        "--scheduler",
        metavar="ADDRESS",
        help="Address of a Dask cluster that segments the studies, such as tls://server:8786.",
    ),
    click.option(
        "--certificates",
        type=PATH,
        help="Folder with the ca.pem, cert.pem and key.pem of a tls:// address.",
    ),
    click.option(
        "--resources", type=RESOURCES, help="Resources of a worker for one study, such as GPU=1."
    ),
)


@click.command("predict", cls=Command, short_help="Segment images with an ensemble.")
@click.argument("ensemble", type=PATH)
@click.argument("images", nargs=-1, required=True, type=PATH)
@output_option("Folder to write the results to.")
@segmentation_options
@click.option(
    "--phases",
    default="all",
    show_default=True,
    help="Phases of a cine: numbers (1,8), ED,ES or all.",
)
@click.option(
    "--save",
    show_default="labels only; study for folders without a profile that draws",
    help=f"Results to save next to the labels, from {','.join(MAPS)},probabilities,study.",
)
@click.option("--overwrite", is_flag=True, help="Replace existing results.")
@click.option("--continue", "skip_finished", is_flag=True, help="Skip cases that are finished.")
@click.option("--series", type=int, help="Number of the DICOM series, if there are several cines.")
@click.option(
    "--spacing",
    type=VOXEL_SIZE,
    show_default="that of each file",
    help="Voxel size in mm (slices, rows, columns), if that of the files is wrong.",
)
@click.option("--folder-names", is_flag=True, help="Name DICOM cases after their folders.")
@click.option(
    "--anyway",
    is_flag=True,
    help="Segment images even if they are not short-axis cines by their DICOM tags or names.",
)
@click.option("--strict", is_flag=True, help="Refuse images that may not be a short-axis cine.")
@cluster_options
@click.option(
    "--profile",
    type=PATH,
    help="Profile of your site (see bayes-nnunet profile): how to draw, and its intervals.",
)
@click.option(
    "--jsonl", is_flag=True, help="Print JSON lines instead of a progress bar, for folders."
)
def predict_command(
    ensemble: Path,
    images: tuple[Path, ...],
    save: str | None,
    profile: Path | None,
    jsonl: bool,
    **flags: Any,
) -> None:
    """Segment IMAGES with the checkpoint ensemble in the folder ENSEMBLE.

    IMAGES are NIfTI files, or folders that are searched for studies: NIfTI images and the
    short-axis cines of DICOM studies. The results of a folder have the same subfolders, next to
    cohort.csv and cohort.html. DICOM studies get a pseudonym. With --folder-names they are named
    after their folders, which may reveal the patients.
    """
    from ..app.prediction.request import PredictionRequest
    from ..core.heart.site_profile import NO_PROFILE
    from ..io.heart.site_profile import read_profile

    cluster = take_cluster(flags)
    has_folders = any(image.is_dir() for image in images)
    is_cohort = has_folders or jsonl or cluster["scheduler"] is not None
    site = NO_PROFILE if profile is None else read_profile(profile)
    # A study keeps what the ensemble draws, so it is no result of a profile that draws.
    if save is None:
        save = "study" if has_folders and not site.draws else ""
    # Labels are always written, so it is no error to name them.
    results = frozenset(part.strip() for part in save.split(",") if part.strip()) - {"labels"}
    settings = take_settings(ensemble, flags)
    request = PredictionRequest(
        images=images, save=results, settings=settings, profile=site, **flags
    )
    if is_cohort:
        from ..app.cohort.run import CohortRequest
        from ..app.cohort.terminal import run_in_terminal

        code = run_in_terminal(
            CohortRequest(ensemble=ensemble, prediction=request),
            jsonl=jsonl,
            **cluster,
        )
    else:
        from ..app.prediction.terminal import predict_in_terminal

        code = 0 if predict_in_terminal(ensemble, request) else 1
    if code:
        raise click.exceptions.Exit(code)


def take_cluster(flags: dict[str, Any]) -> dict[str, Any]:
    """Remove the options of a Dask cluster from ``flags``, and return them.

    Raises an error of click if the others are given without a scheduler.
    """
    cluster = {name: flags.pop(name) for name in ("scheduler", "certificates", "resources")}
    if not cluster["scheduler"] and any(cluster.values()):
        raise click.UsageError("--certificates and --resources require --scheduler.")
    return cluster


def take_settings(ensemble: Path, flags: dict[str, Any]) -> SegmentationSettings:
    """Remove the options of a segmentation from ``flags``, and return them as settings."""
    flags["window"] = flags["window"] or _usual_window(ensemble)
    values = {field.name: flags.pop(field.name) for field in fields(SegmentationSettings)}
    return SegmentationSettings(**values)


def _usual_window(ensemble: Path) -> Window:
    """Return the window of an ensemble; a folder without one is refused later."""
    from ..app.segmentation.calibration import usual_window
    from ..io import DataError
    from ..io.ensemble.ensemble_folder import find_ensemble

    with suppress(DataError):
        return usual_window(find_ensemble(ensemble))
    return DEFAULT_WINDOW


@click.command("inspect", cls=Command, short_help="List the members of an ensemble.")
@click.argument("folder", type=PATH)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def inspect_command(folder: Path, as_json: bool) -> None:
    """List the members of the ensemble in FOLDER, and why other files cannot be used.

    The exit code is 1 if no member can be used.
    """
    import json

    from ..app.segmentation import inspection

    ensemble = inspection.inspect_ensemble(folder)
    click.echo(
        json.dumps(inspection.inspection_json(ensemble), indent=1)
        if as_json
        else inspection.inspection_text(ensemble)
    )
    if not ensemble.usable:
        raise click.exceptions.Exit(1)


@click.command("export-model", cls=Command, short_help="Write a zip file that nnU-Net installs.")
@click.argument("ensemble", type=PATH)
@output_option("Zip file to write.")
@click.option(
    "--dataset",
    metavar="NAME",
    show_default="that of the training",
    help="Dataset under which nnU-Net installs it, such as Dataset120_heart.",
)
def export_model_command(ensemble: Path, output: Path, dataset: str | None) -> None:
    """Write ENSEMBLE to a zip file for nnUNetv2_install_pretrained_model_from_zip.

    nnU-Net predicts with its last member, or with the one that -chk names.
    """
    from ..app.model_export import export_model

    name = export_model(ensemble, output, dataset)
    click.echo(f"nnU-Net will install {output} as {name}.")


@click.command("devices", cls=Command, short_help="List the devices that can train and segment.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def devices_command(as_json: bool) -> None:
    """List the devices of this computer that can train and segment, the fastest first."""
    import json

    from ..nnunet.device import describe_devices

    devices = describe_devices()
    lines = [f"{name}: {text}" for name, text in devices.items()]
    lines.append(f"torch {version('torch')}")
    click.echo(json.dumps(devices) if as_json else "\n".join(lines))


@click.command("serve", cls=Command, short_help="Segment for another computer, by ssh.")
def serve_command() -> None:
    """Segment for another computer, which starts this command by ssh.

    Requests are read from standard input until it is closed; answers go to standard output.
    """
    from ..app.worker import serve_another_computer

    serve_another_computer()


@click.command("calibrate", cls=Command, short_help="Fit temperature, intervals and failure score.")
@click.argument("ensemble", type=PATH)
@click.argument("dataset", type=PATH)
@options_of(
    SegmentationSettings,
    only=(
        *("method", "members", "mirroring", "window", "until_stable"),
        *("largest_component", "device"),
    ),
)
def calibrate_command(ensemble: Path, dataset: Path, **flags: Any) -> None:
    """Fit temperature, prediction intervals and failure score on ENSEMBLE's validation cases.

    DATASET is the nnU-Net raw dataset on which the ensemble was trained. The calibration is stored
    in ENSEMBLE and used for results with the same method, members, mirroring, window and stopping.
    If it is interrupted, start it again: finished cases are kept in ENSEMBLE/.calibration.
    """
    from ..app.segmentation.calibrate import (
        COVERAGE,
        TOO_FEW,
        CalibrationCase,
        calibrate,
        coverage_table,
        held_out_coverage,
    )
    from ..app.segmentation.ensemble import Ensemble

    settings = SegmentationSettings(**flags)
    cases = []
    for step in calibrate(Ensemble(ensemble, device=settings.device), dataset, settings):
        if isinstance(step, CalibrationCase):
            cases.append(step)
            # Standard output has only the outcome.
            click.echo(step.name, err=True)
        elif isinstance(step, Statement):
            click.echo(step, err=True)
        elif isinstance(step, str):
            click.echo(f"features of {step}", err=True)
        else:
            count = format_count(len(cases), "case")
            click.echo(f"Temperature {step.temperature:g}, fitted on {count}.")
            if not step.volumes:
                click.echo(TOO_FEW)
    table = coverage_table(held_out_coverage(cases))
    if table:
        click.echo(f"\n{COVERAGE}\n{table}")


@click.command("demo", cls=Command, short_help="Segment a real heart and open its review.")
def demo_command() -> None:
    """Open napari with a real heart, segmented by the built-in ensemble and ready for review."""
    from ..widgets.segment.demo import run_demo

    # Read from the installed package, because importing torch takes seconds.
    click.echo(f"torch {version('torch')}")
    kept = run_demo()
    if kept is not None:
        click.echo(f"Your study was kept in {kept}. Open it with Open… in the Review dock.")
