"""Results of every row and case in small files, to be kept when the weights are not.

python -m benchmarks.paper.archive OUTPUT FOLDER [--preset cpu|paper]

Writes FOLDER/KIND.tar.xz for every kind of training that has results: the record of the experiment,
rows, losses, the records of the trainings, and their epochs. Unpacked into one OUTPUT they give the
tables again with `--only report`. Says which rows lack cases, also those on damaged lines, which no
archive has, and then ends with exit code 1.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import tarfile
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from napari_bayes_nnunet.io.ensemble.run_folder import RunFolder
from napari_bayes_nnunet.io.files.atomic import replacing
from napari_bayes_nnunet.io.files.json_files import read_json

from ..command_line import existing_folder, exiting_with_problems, new_folder
from .judging import file_of, read_lines
from .rows import rows
from .shifts import UNSHIFTED
from .temperatures import kept_losses
from .trainings import PRESETS, Fold, Preset, has_ended, record_of, trainings

INCOMPLETE = (
    "{count} of {all} rows lack results of cases, such as {first}. Start `python -m "
    "benchmarks.paper` with this OUTPUT again to train and evaluate what is missing, and keep the "
    "weights until then."
)


@dataclass(frozen=True)
class _Experiment:
    preset: dict[str, Any]
    split: list[Fold]


def main() -> None:
    """Write the archives."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("output", type=existing_folder)
    parser.add_argument("folder", type=new_folder)
    parser.add_argument("--preset", choices=PRESETS, default="cpu")
    options = parser.parse_args()
    preset = PRESETS[options.preset]
    with exiting_with_problems():
        cases = _validation_cases(options.output, preset)
        for archive in write_archives(options.output, options.folder, preset):
            print(f"{archive}: {archive.stat().st_size / 1e6:.2f} MB")
        if incomplete := incomplete_rows(options.output, preset, cases):
            counts = {"count": len(incomplete), "all": len(rows(preset))}
            sys.exit(INCOMPLETE.format(**counts, first=incomplete[0]))


def _validation_cases(output: Path, preset: Preset) -> list[str]:
    """Return the cases of all rows. Exit unless ``output`` holds an experiment of the preset."""
    try:
        experiment = read_json(record_of(output), _Experiment, repair="Choose another OUTPUT.")
    except FileNotFoundError:
        sys.exit(f"{output} holds no experiment. Choose the OUTPUT of one.")
    if experiment.preset != asdict(preset):
        sys.exit(f"{output} holds an experiment of another preset. Choose it with --preset.")
    return experiment.split[0]["val"]


def incomplete_rows(output: Path, preset: Preset, cases: Collection[str]) -> list[str]:
    """Return the rows without a line for one of the ``cases``.

    Under another condition, those without a line for a case that another row has.
    """
    wanted = {UNSHIFTED: {*cases}}
    known = {}
    for condition in {UNSHIFTED, *(folder.name for folder in output.glob("rows/*"))}:
        for row in (row for row in rows(preset) if row.is_judged_under(condition)):
            names = {name for name, _ in read_lines(file_of(output, condition, row))}
            known[condition, row.name] = names
            wanted.setdefault(condition, set()).update(names)
    return sorted({row for (condition, row), names in known.items() if names < wanted[condition]})


def write_archives(output: Path, folder: Path, preset: Preset) -> Iterator[Path]:
    """Write the archive of every kind of training that has results, and yield its path.

    The same results give the same bytes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for kind in dict.fromkeys(training.kind for training in trainings(preset)):
        files = sorted(_files(kind, output, preset))
        if not files:
            continue
        archive = folder / f"{kind}.tar.xz"
        with replacing(archive) as new, tarfile.open(new, "w:xz", preset=9) as tar:
            for file in (record_of(output), *files):
                content = _without_cut_lines(file)
                member = tarfile.TarInfo(file.relative_to(output).as_posix())
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
        yield archive


def _files(kind: str, output: Path, preset: Preset) -> Iterator[Path]:
    of_kind = [row.name for row in rows(preset) if row.folder.partition("/")[0] == kind]
    for name in of_kind:
        for folder in (output, kept_losses(output)):
            yield from folder.glob(f"rows/*/{name}.jsonl")
    for training in (training for training in trainings(preset) if training.kind == kind):
        if has_ended(training, output):
            run = RunFolder(training.folder(output))
            yield from (file for file in (run.record, run.progress) if file.exists())
    yield from output.glob(f"modes/{kind}-seed*.json")


def _without_cut_lines(file: Path) -> bytes:
    """Return the content of a file, without JSON Lines that are damaged, as by a kill."""
    content = file.read_bytes()
    if file.suffix != ".jsonl":
        return content
    whole = []
    for line in content.splitlines(keepends=True):
        with suppress(ValueError):
            json.loads(line)
            whole.append(line)
    return b"".join(whole)


if __name__ == "__main__":
    main()
