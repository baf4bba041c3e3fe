"""Commands that talk to an archive."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from ..core.counts import format_count
from ..core.dates import parse_dates
from ..io.known_archives import (
    KnownArchive,
    check_client,
    find_archive,
    forget_archive,
    keep_archive,
)
from .options import PATH, Command, TextType, output_option
from .segment import cluster_options, segmentation_options, take_cluster, take_settings

if TYPE_CHECKING:  # dicomweb-client, which is optional
    from ..io.archive import Archive

NOT_SENT: Final = "Nothing was sent."


DATES = TextType(
    "DATE[:DATE]",
    parse_dates,
    expected="a date such as 2026-01-31, or a range such as 2026-01-01:",
)
ca_option = click.option(
    "--ca", type=PATH, help="PEM file with the certificate of the authority that vouches for URL."
)


@click.group("archive", short_help="Find, fetch and store studies.")
def archive_group() -> None:
    """Find, fetch and store studies in an archive that speaks DICOMweb.

    URL is its address, such as https://archive.example.org/dicom-web, or its name. User and
    password, or a token, come from the keyring of the system, from the environment or from a
    prompt.
    """


@archive_group.command("add", cls=Command, short_help="Give the archive at URL a NAME.")
@click.argument("name")
@click.argument("url")
@ca_option
def add_command(name: str, url: str, ca: Path | None) -> None:
    """Give the archive at URL a NAME, which other commands and the window then know.

    The keyring keeps the login under this name: keyring set NAME USER
    """
    check_client()
    from ..io.archive import Archive

    Archive(url, ca=ca)  # which refuses what cannot be an address
    # The next command may run in another folder.
    keep_archive(KnownArchive(name, url, str(ca.absolute()) if ca else ""))


@archive_group.command("remove", cls=Command)
@click.argument("name")
def remove_command(name: str) -> None:
    """Forget the NAME of an archive, but not its login in the keyring."""
    forget_archive(name)


@archive_group.command("list", cls=Command)
@click.argument("url")
@click.option("--patient", default="", help="ID of the patient; * stands for any characters.")
@click.option("--name", default="", help="Name of the patient, or a part of it.")
@click.option(
    "--date", "dates", type=DATES, default="", help="Day of the study, or the first and the last."
)
@ca_option
def list_command(url: str, patient: str, name: str, dates: str, ca: Path | None) -> None:
    """List the studies of the archive at URL, the latest first.

    The list shows names of patients.
    """
    from ..app.text_table import align_columns

    studies = _connect(url, ca).find_studies(patient=patient, name=name, dates=dates)
    rows = [("Patient", "Name", "Date", "Description", "Series", "Images", "Study UID")]
    for study in studies:
        who = study.patient
        about = study.description, study.series, study.images, study.uid
        rows.append((who.patient_id, who.name, who.date, *about))
    click.echo("\n".join(align_columns(rows)) if studies else "No study matches.")


@archive_group.command("fetch", cls=Command)
@click.argument("url")
@click.argument("study")
@output_option("Folder to write the images to.")
@ca_option
def fetch_command(url: str, study: str, output: Path, ca: Path | None) -> None:
    """Fetch all images of a study from the archive at URL.

    STUDY is its UID, which the list shows. The folder appears when all images are there.
    """
    from ..app.terminal import drain_with_bar

    archive = _connect(url, ca)
    total = drain_with_bar(archive.fetch(study, output), _place("image"))
    click.echo(f"{format_count(total, 'image')} in {output}")


@archive_group.command("store", cls=Command)
@click.argument("url")
@click.argument("files", nargs=-1, required=True, type=PATH)
@click.option("--yes", is_flag=True, help="Send without asking.")
@ca_option
def store_command(url: str, files: tuple[Path, ...], yes: bool, ca: Path | None) -> None:
    """Send DICOM FILES to the archive at URL, after a question."""
    from ..app.terminal import drain_with_bar

    archive = _connect(url, ca)
    from ..io.archive import describe_files

    click.echo("\n".join(describe_files(files)))
    count = format_count(len(files), "file")
    if not yes and not click.confirm(f"Send {count} to {archive.url}?"):
        # The exit code tells a script that nothing was sent.
        click.echo(NOT_SENT)
        raise click.exceptions.Exit(1)
    drain_with_bar(archive.store(files), _place("file"))
    click.echo(f"Sent {count} to {archive.url}")


@archive_group.command("watch", cls=Command, short_help="Segment new cines as they arrive.")
@click.argument("url")
@output_option("Folder of the cohort.")
@click.option(
    "--ensemble", type=PATH, show_default="the built-in one",
    help="Folder of the checkpoint ensemble.",
)  # fmt: skip
@click.option(
    "--date", "dates", type=DATES, default="", help="Day of the studies, or the first and the last."
)
@click.option(
    "--store-back", "stores", is_flag=True,
    help="Store the unreviewed SEG and SR of each segmented study in the archive.",
)  # fmt: skip
@click.option("--once", is_flag=True, help="Look once, and end.")
@click.option(
    "--interval", type=click.FloatRange(min=1), default=60, show_default=True,
    help="Seconds between two looks.",
)  # fmt: skip
@click.option(
    "--phases", default="ED,ES", show_default=True,
    help="Phases of a cine: numbers (1,8), ED,ES or all.",
)  # fmt: skip
@segmentation_options
@cluster_options
@ca_option
def watch_command(
    url: str,
    output: Path,
    ensemble: Path | None,
    ca: Path | None,
    once: bool,
    interval: float,
    dates: str,
    stores: bool,
    phases: str,
    **flags: Any,
) -> None:
    """Segment each new cine of the archive at URL, and put it into a cohort.

    All MR studies are fetched into the folder images of the cohort, each once. cohort.csv lists
    those that cannot be segmented with the reason. Start the command again to continue after an
    interruption. A study that is being sent is left until its number of images stays the same.
    """
    cluster = take_cluster(flags)
    archive = _connect(url, ca)
    from ..app.cohort.run import CohortRequest
    from ..app.cohort.watch import ArchiveWatch
    from ..app.prediction.request import PredictionRequest
    from ..app.remote.store import BUILT_IN_FOLDER

    ensemble = ensemble or BUILT_IN_FOLDER
    prediction = PredictionRequest(
        images=(),
        output=output.absolute(),
        settings=take_settings(ensemble, flags),
        phases=phases,
        save=frozenset({"study"}),
        skip_finished=True,
    )
    request = CohortRequest(ensemble=ensemble, prediction=prediction)
    watch = ArchiveWatch(archive, request, dates=dates, stores=stores, cluster=cluster)
    code = watch.look() if once else watch.run(interval=interval)
    if code:
        raise click.exceptions.Exit(code)


def _connect(place: str, ca: Path | None) -> Archive:
    """Return the archive after its first answer; ask for a login if it wants one and none is known.

    A login that the user enters is kept nowhere.
    """
    check_client()
    from ..io.archive import LoginRefusedError, connect_archive, find_login

    known = find_archive(place)
    # The option counts more than the file that is kept with the name.
    if ca is not None:
        known = replace(known, ca=str(ca))
    try:
        return connect_archive(known)
    except LoginRefusedError:
        # A login that is kept and refused must be corrected where it is kept.
        if find_login(known) is not None or not _can_ask():
            raise
        # Standard output has only the results, for other programs.
        user = click.prompt("User", err=True)
        return connect_archive(known, (user, click.prompt("Password", hide_input=True, err=True)))


def _can_ask() -> bool:
    """Return whether somebody sits at the terminal."""
    return sys.stdin.isatty()


def _place(noun: str) -> Callable[[Any], tuple[str, int, int]]:
    """Return a function that words a step of (done, total) for the bar."""
    return lambda step: (f"{noun} {step[0]} of {step[1]}", *step)
