r"""What the program has and what it computes, recorded, so that a change of its inside is seen.

\b
xvfb-run -a python -m benchmarks.baseline record ACDC DICOM OUT   (some minutes on two cores)
python -m benchmarks.baseline compare BEFORE AFTER

``record`` writes texts into OUT: ``surface`` (options of the commands, the manifest, keys, and all
controls of the docks), ``outputs`` (of commands, a training and a review on a fixed set; arrays as
checksums; without times, paths and UIDs) and ``seconds``. ``compare`` prints the first differences
of each file, and exits with 1 if there is one, but for those of the seconds. Outputs are equal bit
by bit only on the same kind of processor: record both on one machine.
"""

from __future__ import annotations

import difflib
import platform
from pathlib import Path
from typing import Final

import click

from . import outputs, seconds, surface

MOST_SHOWN: Final = 12
"""Differing lines that are printed for a file."""
FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@click.group(help=__doc__)
def main() -> None:
    """Record and compare."""


@main.command("record")
@click.argument("acdc", type=FOLDER)
@click.argument("dicom", type=FOLDER)
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--only", type=click.Choice(["surface", "outputs", "seconds"]), multiple=True)
def record(acdc: Path, dicom: Path, out: Path, only: tuple[str, ...]) -> None:
    """Write the baseline into OUT, from the dataset ACDC and a folder with a DICOM cine."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "machine.txt").write_text(f"{platform.platform()} {platform.processor()}\n")
    if not only or "outputs" in only:
        outputs.record(acdc, dicom, out / "outputs")
    if not only or "surface" in only:
        surface.record(out / "surface")
    if not only or "seconds" in only:
        seconds.record(out / "seconds")


@main.command("compare")
@click.argument("before", type=FOLDER)
@click.argument("after", type=FOLDER)
@click.pass_context
def compare(context: click.Context, before: Path, after: Path) -> None:
    """Print what differs between two baselines."""
    differs = False
    names = {str(f.relative_to(d)) for d in (before, after) for f in d.rglob("*") if f.is_file()}
    for name in sorted(names):
        texts = [_lines(folder / name) for folder in (before, after)]
        if texts[0] != texts[1]:
            differs |= not name.startswith(("seconds", "machine"))
            click.echo(f"{name}:")
            changed = list(difflib.unified_diff(*texts, lineterm="", n=0))[2:]
            click.echo("\n".join(f"    {line}" for line in changed[:MOST_SHOWN]))
            if len(changed) > MOST_SHOWN:
                click.echo(f"    … {len(changed) - MOST_SHOWN} more")
    context.exit(int(differs))


def _lines(file: Path) -> list[str]:
    return file.read_text(encoding="utf-8").splitlines() if file.exists() else []


if __name__ == "__main__":
    main()
