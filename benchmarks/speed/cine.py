"""Speed, memory and accuracy for whole cines, compared with nnU-Net's own predictor.

python -m benchmarks.speed.cine RUN DATASET OUT [--rows nnunet whole heart slices student]
    [--mirroring full spread none] [--volumes 2] [--members 30] [--phases 25] [--timed-phases 0]
    [--nnunet-members 0] [--device auto]   (resumable)
python -m benchmarks.speed.full_size DATASET OUT [the same options]

RUN is a training of `bayes-nnunet train`. A cine alternates the ED and the ES frame of a validation
patient (see --split) with about ten slices, because other phases have no reference. Rows are
nnU-Net's default, ours with all members on the whole image, with the window around the heart, and
with it until the slices are stable, each with these mirrors. Ours works as the dock does: a look at
every phase, which gives the volume curve, then all phases. *student* is only this look, if RUN has
a student.

nnU-Net is timed on the first three phases of every cine, and its time is scaled to all phases. So
is ours with --timed-phases, and nnU-Net's also to all members with --nnunet-members; then its Dice
and ECE are unknown. Each row and cine is measured in a process of its own and printed; OUT has
them, table.md and cine.csv. Start the command again to measure what is missing. The machine should
be idle.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from napari_bayes_nnunet.io.dataset.raw_dataset import TrainingCase

from ..gpu.progress import add_row, read_results
from ..held_back import SPLIT, held_back_cases, read_image
from .cine_measure import FRAMES, CineTask, Frames, MeasuredCine, measure_cine
from .cine_table import cine_line, cine_table, write_cine_csv
from .rows import PHASES, SLICES, Row, run_alone

TIMED_PHASES = 3
"""Phases on which nnU-Net is timed."""
KINDS = ("nnunet", "whole", "heart", "slices", "student")
MIRRORINGS = ("full", "spread", "none")


def make_cine_parser(doc: str | None, *paths: str) -> argparse.ArgumentParser:
    """Return a parser of paths and of the options that choose rows, cines and what is timed."""
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for path in paths:
        parser.add_argument(path, type=Path)
    parser.add_argument("--split", type=Path, default=SPLIT)
    parser.add_argument("--rows", nargs="+", choices=KINDS, default=list(KINDS[:-1]))
    parser.add_argument("--mirroring", nargs="+", choices=MIRRORINGS, default=["full", "spread"])
    parser.add_argument("--volumes", type=int, default=2)
    parser.add_argument("--members", type=int, default=30)
    parser.add_argument("--phases", type=int, default=PHASES)
    parser.add_argument("--timed-phases", type=int, default=0)
    parser.add_argument("--nnunet-members", type=int, default=0)
    parser.add_argument("--device", default="auto")
    return parser


def cine_rows(
    kinds: Iterable[str], mirrorings: Iterable[str], *, members: int, phases: int
) -> list[Row]:
    """Return nnU-Net's default and ours of these kinds, with each kind of mirroring."""
    chosen = set(kinds)
    rows = [Row(stock=True, mirroring="full", members=members, phases=phases)]
    for mirroring in mirrorings:
        whole = {"mirroring": mirroring, "members": members, "phases": phases}
        rows += [
            Row(**whole),  # type: ignore[arg-type]
            Row(**whole, window="heart"),  # type: ignore[arg-type]
            Row(**whole, window="heart", until_stable=True),  # type: ignore[arg-type]
        ]
    looks = {"mirroring": "none", "members": members, "phases": phases}
    rows.append(Row(**looks, window="heart", student=True))  # type: ignore[arg-type]
    return [row for row in rows if _kind(row) in chosen]


def _kind(row: Row) -> str:
    if row.stock:
        return "nnunet"
    if row.student:
        return "student"
    return "slices" if row.until_stable else row.window


def choose_cines(cases: Iterable[TrainingCase], count: int) -> list[Frames]:
    """Return the two frames of each of ``count`` patients, with about ten slices."""
    of_patient: dict[str, list[TrainingCase]] = defaultdict(list)
    for case in sorted(cases, key=lambda case: case.name):
        of_patient[case.name.partition("_")[0]].append(case)
    cines = [tuple(frames) for frames in of_patient.values() if len(frames) == FRAMES]
    return sorted(cines, key=lambda cine: abs(read_image(cine[0])[0].shape[1] - SLICES))[:count]


def make_tasks(
    options: argparse.Namespace, cines: Sequence[Frames], *, made_answers: bool = False
) -> Iterator[tuple[CineTask, Frames]]:
    """Yield the rows to measure, all on one cine after the other."""
    rows = cine_rows(
        options.rows, options.mirroring, members=options.members, phases=options.phases
    )
    few = options.nnunet_members or options.members
    for cine in cines:
        for row in rows:
            timed = TIMED_PHASES if row.stock else options.timed_phases or row.phases
            task = CineTask(
                run=str(options.run.resolve()),
                cine=cine[0].name.partition("_")[0],
                row=row,
                device=options.device,
                timed_phases=max(FRAMES, min(timed, row.phases)),
                timed_members=min(few, row.members) if row.stock else row.members,
                made_answers=made_answers,
            )
            yield task, cine


def measure_tasks(
    out: Path,
    tasks: Iterable[tuple[CineTask, Frames]],
    *,
    measure: Callable[[CineTask, Frames], MeasuredCine],
) -> list[MeasuredCine]:
    """Measure what ``out`` lacks, print and store each measurement, and return all."""
    known = {item.task: item for item in read_measured(out)}
    measured = []
    for task, cine in tasks:
        item = known.get(task) or measure(task, cine)
        if task not in known:
            store_measured(out, item)
        measured.append(item)
        print(cine_line(item), flush=True)
    return measured


def read_measured(out: Path) -> list[MeasuredCine]:
    """Return the stored measurements."""
    measured = []
    for content in read_results(out, "cine"):
        content.pop("kind")
        with np.load(out / content.pop("labels_file")) as stored:
            labels = [stored[name] for name in sorted(stored.files)]
        measured.append(MeasuredCine.from_json(content, labels))
    return measured


def store_measured(out: Path, item: MeasuredCine) -> None:
    """Add a measurement to those in ``out``."""
    (out / "labels").mkdir(parents=True, exist_ok=True)
    file = out / "labels" / f"{len(list((out / 'labels').iterdir()))}.npz"
    np.savez_compressed(file, *item.labels)
    labels_file = str(file.relative_to(out))
    add_row(out, {"kind": "cine", "labels_file": labels_file, **item.to_json()})


def run_cines(
    options: argparse.Namespace, cases: Iterable[TrainingCase], *, made_answers: bool = False
) -> None:
    """Measure all rows, print the table, and write it and the CSV file."""
    tasks = make_tasks(options, choose_cines(cases, options.volumes), made_answers=made_answers)
    measured = measure_tasks(
        options.out, tasks, measure=lambda task, cine: run_alone(measure_cine, task, cine)
    )
    table = cine_table(measured)
    print(table)
    (options.out / "table.md").write_text(table, encoding="utf-8")
    write_cine_csv(options.out / "cine.csv", measured)


def main(words: Sequence[str] | None = None) -> None:
    """Measure the rows of a trained ensemble."""
    options = make_cine_parser(__doc__, "run", "dataset", "out").parse_args(words)
    run_cines(options, held_back_cases(options.dataset, options.split))


if __name__ == "__main__":
    main()
