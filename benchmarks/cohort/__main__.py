"""Cohort segmented on this machine and on a cluster whose workers are killed.

``python -m benchmarks.cohort ENSEMBLE DATA OUTPUT`` writes OUTPUT/tree, segments it into
OUTPUT/local and OUTPUT/cluster, and lists the files that differ. DATA holds ``acdc`` and
``sunnybrook``.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from time import perf_counter

import click

from napari_bayes_nnunet.core.command import BAYES_NNUNET

from .killer import KillingCluster
from .same import differences
from .tree import BROKEN, make_tree

PREDICT = (*BAYES_NNUNET, "predict")


@click.command()
@click.argument("ensemble", type=click.Path(path_type=Path))
@click.argument("data", type=click.Path(path_type=Path))
@click.argument("output", type=click.Path(path_type=Path))
@click.option("--studies", default=60, show_default=True)
@click.option("--members", default=3, show_default=True)
@click.option("--workers", default=3, show_default=True)
@click.option(
    "--every", default=8.0, show_default=True, help="Seconds between two kills of a worker."
)
def main(
    ensemble: Path, data: Path, output: Path, studies: int, members: int, workers: int, every: float
) -> None:
    """Compare a run on this machine with a run on a cluster whose workers are killed."""
    tree = output / "tree"
    studies_made = (
        len(list(tree.iterdir())) if tree.exists() else make_tree(data, tree, studies=studies)
    )
    click.echo(f"{studies_made} studies, {BROKEN} of them damaged")
    options = ("--members", str(members), "--mirroring", "none", "--phases", "ED,ES", "--save",
             "study,entropy,probabilities")  # fmt: skip
    common = (*PREDICT, str(ensemble), str(tree), *options)
    _run([*common, "-o", str(output / "local")])
    with KillingCluster(workers, every=every) as cluster:
        _run([*common, "-o", str(output / "cluster"), "--scheduler", cluster.address])
        click.echo(f"{cluster.kills} workers killed")
    differing = differences(output / "local", output / "cluster")
    click.echo("\n".join(differing) or "All results are identical.")
    raise SystemExit(bool(differing))


def _run(command: list[str]) -> None:
    started = perf_counter()
    code = subprocess.run(command, check=False).returncode
    click.echo(f"Exit code {code} after {perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
