"""Commands that segment, and look at what segments. Heavy imports happen inside them."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import click

from .options import (
    METHOD_HELP,
    MIRRORING,
    Command,
    Resources,
    Temperature,
)


@click.command("predict", cls=Command)
@click.argument("ensemble", type=click.Path(path_type=Path))
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path))
@click.option("--method", default="multi", show_default=True, help=METHOD_HELP)
@click.option("--members", default=30, show_default=True, type=click.IntRange(1))
@click.option("--mirroring", type=MIRRORING, default="full", show_default=True)
@click.option(
    "--temperature",
    type=Temperature(),
    help="Above 1 less sure of itself; or fitted, by calibrate.  [1; for temperature 1.5]",
)
@click.option("--until-stable", is_flag=True, help="Ask no more members once nothing moves.")
@click.option("--device", default="auto", show_default=True, help="auto, cuda, mps or cpu.")
@click.option(
    "--precision",
    type=click.Choice(["auto", "full"]),
    default="auto",
    show_default=True,
    help="auto: half where the device is fast with it; full: float32.",
)
@click.option("--phases", default="all", show_default=True, help="Of a cine: 1,8 or ED,ES or all.")
@click.option(
    "--save",
    help="entropy,mutual-information,probabilities,study  [labels alone; of folders: study]",
)
@click.option("--overwrite", is_flag=True, help="Replace outputs that exist.")
@click.option("--continue", "skip_finished", is_flag=True, help="Leave finished cases alone.")
@click.option("--series", type=int, help="The DICOM series to take where there are several cines.")
@click.option("--folder-names", is_flag=True, help="Name DICOM cases as their folders.")
@click.option("--scheduler", metavar="ADDRESS", help="Of a Dask cluster: tls://server:8786.")
@click.option(
    "--certificates",
    type=click.Path(path_type=Path),
    help="Folder with ca.pem, cert.pem and key.pem for tls://.",
)
@click.option("--resources", type=Resources(), help="What a study needs of a worker: GPU=1.")
@click.option("--jsonl", is_flag=True, help="JSON lines instead of a progress bar; of folders.")
def predict_command(
    ensemble: Path,
    images: tuple[Path, ...],
    save: str | None,
    scheduler: str | None,
    certificates: Path | None,
    resources: dict[str, float] | None,
    jsonl: bool,
    **flags: Any,
) -> None:
    """Segment IMAGES with the checkpoint ensemble in the folder ENSEMBLE.

    IMAGES are NIfTI files, or folders that are searched for studies: NIfTI images and the short-
    axis cines of DICOM studies. The results repeat the tree of a folder, with cohort.csv and
    cohort.html. DICOM studies are called by a pseudonym; with --folder-names by their folders,
    which may name the patients.
    """
    from ..app.prediction.request import PredictionRequest
    from ..app.segmentation.settings import SegmentationSettings

    if (certificates or resources) and not scheduler:
        raise click.UsageError("--certificates and --resources belong to --scheduler.")
    has_folders = any(image.is_dir() for image in images)
    of_many = has_folders or jsonl or scheduler is not None
    if save is None:
        save = "study" if has_folders else ""
    wanted = frozenset(part.strip() for part in save.split(",") if part.strip()) - {"labels"}
    values = {field.name: flags.pop(field.name) for field in fields(SegmentationSettings)}
    settings = SegmentationSettings(**values)
    request = PredictionRequest(images=images, save=wanted, settings=settings, **flags)
    if of_many:
        from ..app.cohort.run import CohortRequest
        from ..app.cohort.terminal import run_in_terminal

        code = run_in_terminal(
            CohortRequest(ensemble=ensemble, prediction=request),
            scheduler=scheduler,
            certificates=certificates,
            resources=resources,
            jsonl=jsonl,
        )
    else:
        from ..app.prediction.terminal import predict_in_terminal

        code = 0 if predict_in_terminal(ensemble, request) else 1
    if code:
        raise click.exceptions.Exit(code)


@click.command("inspect", cls=Command)
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")
def inspect_command(folder: Path, as_json: bool) -> None:
    """List the members of the ensemble in FOLDER, and why others cannot be used."""
    import json

    from ..app.segmentation import inspection

    found = inspection.inspect(folder)
    click.echo(
        json.dumps(inspection.inspection_json(found), indent=1)
        if as_json
        else inspection.inspection_text(found)
    )


@click.command("devices", cls=Command)
@click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")
def devices_command(as_json: bool) -> None:
    """List the devices of this machine that can train and segment, the fastest first."""
    import json

    from ..nnunet.device import describe_devices

    found = describe_devices()
    lines = [f"{name}: {text}" for name, text in found.items()]
    click.echo(json.dumps(found) if as_json else "\n".join(lines))


@click.command("calibrate", cls=Command)
@click.argument("ensemble", type=click.Path(path_type=Path))
@click.argument("dataset", type=click.Path(path_type=Path))
@click.option("--method", default="temperature", show_default=True, help=METHOD_HELP)
@click.option("--members", default=30, show_default=True, type=click.IntRange(1))
@click.option("--mirroring", type=MIRRORING, default="full", show_default=True)
@click.option("--device", default="auto", show_default=True, help="auto, cuda, mps or cpu.")
def calibrate_command(ensemble: Path, dataset: Path, **flags: Any) -> None:
    """Fit the temperature of a method on the cases the training of ENSEMBLE held back.

    DATASET is the nnU-Net raw dataset it was trained on. The temperature is kept in ENSEMBLE, for
    predict --temperature fitted.
    """
    from ..app.segmentation.calibrate import calibrate
    from ..app.segmentation.ensemble import Ensemble
    from ..app.segmentation.settings import SegmentationSettings

    settings = SegmentationSettings(**flags)
    for step in calibrate(Ensemble(ensemble, device=settings.device), dataset, settings):
        if isinstance(step, str):
            click.echo(step, err=True)
        else:
            click.echo(f"Temperature {step.temperature:g}, fitted on {len(step.cases)} cases.")


@click.command("demo", cls=Command)
@click.option(
    "--screenshot",
    type=click.Path(path_type=Path),
    help="Run unattended, save a picture of the window after the last member and exit.",
)
def demo_command(screenshot: Path | None) -> None:
    """Open napari on a real heart, segmented by the built-in ensemble."""
    from ..widgets.segment.demo import run_demo

    run_demo(screenshot)
