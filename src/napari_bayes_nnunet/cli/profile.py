"""Commands for the profile of a site."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .options import PATH, Command, TextType, output_option

if TYPE_CHECKING:  # numpy, which the pages of the commands are built without
    from ..core.heart.site_profile import SiteProfile


def _values_of(field: str) -> Callable[[str], dict[Any, float]]:
    """Return a function that reads the numbers of structures for a field of a profile."""

    def parse(text: str) -> dict[Any, float]:
        from ..core.heart.site_profile import SiteProfile
        from ..core.heart.structures import HEART_STRUCTURES

        pairs = [part.split("=") for part in text.split(",")]
        values = {name.strip().upper(): float(number) for name, number in pairs}
        if not {*values} <= {*HEART_STRUCTURES}:
            raise ValueError(text)
        changed: dict[str, Any] = {field: values}
        # This raises ValueError for numbers beyond the limits.
        SiteProfile(name="", **changed)
        return values

    return parse


SLICES = TextType("LV=N,RV=N", _values_of("es_base"), expected="0 to 4 slices, such as LV=1,RV=0.5")
OFFSETS = TextType(
    "NAME=MM,…",
    _values_of("offset_mm"),
    expected="up to 5 mm for LV, MYO or RV, such as LV=0.5,MYO=-0.5",
)


@click.group("profile", short_help="State or learn how your site draws.")
def profile_group() -> None:
    """State or learn how your site draws, for predict --profile."""


@profile_group.command("make", cls=Command)
@output_option("File to write the profile to.", metavar="SITE.json")
@click.option("--name", show_default="name of the file", help="Name of the profile in results.")
@click.option("--es-base", type=SLICES, help="Slices by which LV and RV begin lower at ES.")
@click.option(
    "--offset",
    type=OFFSETS,
    help="Distance in mm of LV, MYO (the epicardium) and RV from the ensemble's contours, "
    "negative inside.",
)
@click.option("--papillary-as-muscle", is_flag=True, help="Count papillary muscles as muscle.")
def make_command(
    output: Path,
    name: str | None,
    es_base: dict[Any, float] | None,
    offset: dict[Any, float] | None,
    papillary_as_muscle: bool,
) -> None:
    """State by hand how your site draws, compared with the ensemble."""
    from ..core.heart.site_profile import SiteProfile

    profile = SiteProfile(
        name=name or output.stem,
        es_base=es_base or {},
        offset_mm=offset or {},
        papillary_as_muscle=papillary_as_muscle,
    )
    _write(output, profile)


@profile_group.command("learn", cls=Command, short_help="Learn how your site draws from STUDIES.")
@click.argument("studies", nargs=-1, required=True, type=PATH)
@output_option("File to write the profile to.", metavar="SITE.json")
@click.option("--name", show_default="name of the file", help="Name of the profile in results.")
@click.option("--keep-labels", is_flag=True, help="Learn intervals only: labels stay as they are.")
def learn_command(
    studies: tuple[Path, ...], output: Path, name: str | None, keep_labels: bool
) -> None:
    """Learn how your site draws from reviewed STUDIES, or folders of them.

    Two or more studies are needed in which all queued slices of ED and ES are accepted. Prints what
    they show, and whether the ensemble's intervals hold for them. If too few of them agree, nothing
    is learnt. Nine studies of a scanner give the profile intervals of your site for it.
    """
    from ..app.review.learnt_profile import learn_from_studies
    from ..core.steps import drain

    learning = learn_from_studies(studies, name or output.stem, draws=not keep_labels)
    _write(output, drain(learning))


@profile_group.command("show", cls=Command)
@click.argument("file", metavar="SITE.json", type=PATH)
def show_command(file: Path) -> None:
    """Print what a profile says, and whether labels are drawn by it."""
    from ..io.heart.site_profile import read_profile

    _print(read_profile(file))


def _write(file: Path, profile: SiteProfile) -> None:
    from ..io.heart.site_profile import write_profile

    write_profile(file, profile)
    _print(profile)


def _print(profile: SiteProfile) -> None:
    sentences = *profile.sentences, profile.effect
    click.echo("\n".join(sentences))
