"""Mutants of the package: which lines of core, io and app/segmentation could be wrong unnoticed.

``draw`` writes ``drawn.json``; lines that are gone are replaced. ``map OUT [TESTS]`` finds the
tests that execute each line (it needs the package ``coverage``). ``run OUT`` runs the tests of each
mutant that has no result in OUT/results.jsonl yet, without a map those of its room.
``table OUT`` prints the share killed, and the survivors with their reasons in ``survivors.json``.
With ``--named``, both mean the mutants of ``named.json``, which are chosen by hand. Lines are found
by their text, so that the lists serve after they have moved; make the map anew then, and run into a
new OUT.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any, Final

import click

from ..results import append_row, read_rows
from .mutants import Mutant, read_mutants, write_mutants
from .mutations import draw
from .running import PACKAGE, ROOT, LineMap, run_mutants

HERE: Final = Path(__file__).parent
TESTS: Final = ("tests/core", "tests/io", "tests/app", "tests/nnunet", "tests/cli")
OUT = click.argument("out", type=click.Path(path_type=Path))
NAMED = click.option("--named", is_flag=True, help="Mutants chosen by hand, not the drawn ones.")


@click.group(help=__doc__)
def main() -> None:
    """Draw, run and list mutants."""


@main.command("draw")
@click.option("--seed", default=39, show_default=True)
@click.option("--count", default=150, show_default=True, help="Number of lines.")
def draw_command(seed: int, count: int) -> None:
    """Draw lines, and write a mutant of each; keep those whose line still exists."""
    drawn, earlier = HERE / "drawn.json", _mutants(named=False)
    write_mutants(drawn, draw(ROOT / PACKAGE, seed=seed, count=count, earlier=earlier))


@main.command("map")
@OUT
@click.argument("tests", nargs=-1)
def map_command(out: Path, tests: tuple[str, ...]) -> None:
    """Find the tests that execute each line. TESTS: those of core, io, app, nnunet and cli."""
    out.mkdir(parents=True, exist_ok=True)
    variables = {"MUTANTS_MAP": str(out.absolute() / "map.json")}
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0"]
    command += ["-p", "benchmarks.mutants.line_map", *(tests or TESTS)]
    subprocess.run(command, cwd=ROOT, env=os.environ | variables, check=False)


@main.command("run")
@OUT
@NAMED
@click.option("--workers", default=2, show_default=True)
@click.option("--again", is_flag=True, help="Also run again what survived.")
def run_command(out: Path, named: bool, workers: int, again: bool) -> None:
    """Run the tests of each mutant."""
    results = _read_results(out)
    wanted = {"gone", "survived", "unclear"} if again else set()
    left = [
        mutant
        for mutant in _mutants(named)
        if mutant.key not in results or results[mutant.key]["state"] in wanted
    ]
    for result in run_mutants(left, LineMap(out / "map.json"), out.absolute(), workers=workers):
        append_row(out / "results.jsonl", result)
        click.echo(f"{result['key']} {result['state']} {result['by']}")


@main.command("table")
@OUT
@NAMED
def table_command(out: Path, named: bool) -> None:
    """Print the share killed, and the survivors with their reasons."""
    results, mutants = _read_results(out), _mutants(named)
    states = Counter(results.get(m.key, {"state": "not run"})["state"] for m in mutants)
    share = states["killed"] / max(states["killed"] + states["survived"], 1)
    click.echo(f"{share:.1%} killed ({', '.join(f'{n} {state}' for state, n in states.items())})")
    known = json.loads((HERE / "survivors.json").read_text(encoding="utf-8"))
    reasons = {(e["file"], e["line"], e["replacement"]): e["reason"] for e in known}
    for mutant in mutants:
        if results.get(mutant.key, {"state": "killed"})["state"] != "killed":
            click.echo(f"\n{mutant.file} {mutant.function} ({mutant.key})")
            click.echo(f"- {mutant.line}\n+ {mutant.replacement}")
            place = (mutant.file, mutant.line, mutant.replacement)
            click.echo(reasons.get(place, "No reason is known."))


def _mutants(named: bool) -> list[Mutant]:
    return read_mutants(HERE / ("named.json" if named else "drawn.json"))


def _read_results(out: Path) -> dict[str, dict[str, Any]]:
    """Return key → the last result."""
    return {result["key"]: result for result in read_rows(out / "results.jsonl")}


if __name__ == "__main__":
    main()
