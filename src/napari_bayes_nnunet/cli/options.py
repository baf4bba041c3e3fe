"""Parts that several commands share: how they fail, types of values, the schedule's options."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import click

from ..core.ensemble.schedule import UNUSED, MemberSelection, RestartSchedule


class Command(click.Command):
    """A command whose expected failures end in one sentence and exit code 1."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; errors of our layers are for the user, others for the developer."""
        from ..app import AppError
        from ..io import DataError
        from ..nnunet import ModelError

        try:
            return super().invoke(ctx)
        except (AppError, DataError, ModelError) as error:
            raise click.ClickException(str(error)) from error


class Temperature(click.ParamType):  # type: ignore[type-arg]
    """A number above 0, or "fitted"."""

    name = "FLOAT|fitted"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float | str:
        """The number, or the word."""
        try:
            return "fitted" if value == "fitted" else float(value)
        except ValueError:
            self.fail(f"{value!r} is neither a number nor 'fitted'.", param, ctx)


class Resources(click.ParamType):  # type: ignore[type-arg]
    """What a Dask task needs of its worker: "GPU=1", or several with commas between."""

    name = "NAME=NUMBER"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> dict[str, float]:
        """Name → amount."""
        try:
            pairs = [part.split("=") for part in str(value).split(",")]
            return {name.strip(): float(amount) for name, amount in pairs}
        except ValueError:
            self.fail(f"{value!r} is not like GPU=1.", param, ctx)


MIRRORING = click.Choice(["full", "spread", "none"])
METHOD_HELP = (
    "multi, single, vanilla, temperature, swa, mc-dropout, deep-ensemble, cross-validation or "
    "snapshot."
)


def schedule_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """All parameters of Eq. 4 and of the kept members; None leaves a value to the preset."""
    flags = [
        click.option(
            "--schedule",
            "shape",
            type=click.Choice(["restarts", "poly", "cosine"]),
            help="Eq. 4, nnU-Net's own decay, or the cosines of snapshot ensembles.  [restarts]",
        ),
        click.option("--epochs", type=int, help="T, epochs in all.  [paper: 1200]"),
        click.option("--cycles", type=int, help="M, cycles of equal length.  [paper: 3]"),
        click.option("--gamma", type=float, help="Decaying fraction of a cycle.  [paper: 0.8]"),
        click.option("--initial-lr", type=float, help="α0.  [paper: 0.01]"),
        click.option("--restart-lr", type=float, help="α_r, first epoch.  [paper: 0.1]"),
        click.option("--exponent", type=float, help="ε of the decay.  [paper: 0.9]"),
        click.option("--decay-over", type=click.Choice(["T", "Tc"]), help="Denominator of Eq. 4."),
        click.option("--members-per-cycle", type=int, help="Latest epochs kept.  [paper: 30]"),
        click.option("--member-step", type=int, help="Epochs between them.  [paper: 2]"),
        click.option(
            "--restart-first-cycle/--no-restart-first-cycle",
            default=None,
            help="Use α_r on the random weights of epoch 0 too.  [paper: yes]",
        ),
    ]
    for flag in reversed(flags):
        command = flag(command)
    return command


def parse_schedule(
    flags: dict[str, Any], schedule: RestartSchedule, selection: MemberSelection
) -> tuple[RestartSchedule, MemberSelection]:
    """Take the schedule's flags out of ``flags`` and lay them over the given values."""
    of_selection = {"members_per_cycle": "per_cycle", "member_step": "step"}
    of_schedule = RestartSchedule.__dataclass_fields__
    changes = {name: flags.pop(name) for name in list(flags) if name in of_schedule}
    kept = {new: flags.pop(old) for old, new in of_selection.items()}
    if changes["shape"] == "poly" and changes["cycles"] is None:
        changes["cycles"] = 1
    for name in UNUSED.get(changes["shape"], ()):
        if changes[name] is not None:
            flag = f"--{name.replace('_', '-')}"
            raise click.UsageError(
                f"{flag} means nothing with --schedule {changes['shape']}: leave it out."
            )
    try:
        return (
            replace(schedule, **{k: v for k, v in changes.items() if v is not None}),
            replace(selection, **{k: v for k, v in kept.items() if v is not None}),
        )
    except ValueError as error:
        raise click.UsageError(str(error)) from error
