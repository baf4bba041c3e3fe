"""Results of every row and case in small files, to be kept when the weights are not.

python -m benchmarks.paper.archive OUTPUT FOLDER [--preset cpu|paper]

Writes FOLDER/KIND.tar.xz for every kind of training that has results: the record of the experiment,
rows, losses, the records of the trainings, and their epochs. Unpacked into one OUTPUT they give the
tables again with `--only report`.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import tarfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from napari_bayes_nnunet.core.problems import Problem
from napari_bayes_nnunet.io.ensemble.run_folder import RunFolder
from napari_bayes_nnunet.io.files.atomic import replacing
from napari_bayes_nnunet.io.files.json_files import read_json

from ..command_line import existing_folder, new_folder
from .rows import rows
from .temperatures import kept_losses
from .trainings import PRESETS, Preset, has_ended, record_of, trainings


def main() -> None:
    """Write the archives."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("output", type=existing_folder)
    parser.add_argument("folder", type=new_folder)
    parser.add_argument("--preset", choices=PRESETS, default="cpu")
    options = parser.parse_args()
    try:
        _check_preset(options.output, options.preset)
        for archive in write_archives(options.output, options.folder, PRESETS[options.preset]):
            print(f"{archive}: {archive.stat().st_size / 1e6:.2f} MB")
    except Problem as problem:
        sys.exit(str(problem))


def _check_preset(output: Path, preset: str) -> None:
    """Exit unless ``output`` holds an experiment of the preset."""
    try:
        experiment = read_json(record_of(output), dict[str, Any], repair="Choose another OUTPUT.")
    except FileNotFoundError:
        sys.exit(f"{output} holds no experiment. Choose the OUTPUT of one.")
    if experiment["preset"] != asdict(PRESETS[preset]):
        sys.exit(f"{output} holds an experiment of another preset. Choose it with --preset.")


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
                content = _without_cut_lines(file).encode()
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


def _without_cut_lines(file: Path) -> str:
    """Return the text of a file, without JSON Lines that a kill has cut short."""
    text = file.read_text(encoding="utf-8")
    if file.suffix != ".jsonl":
        return text
    whole = []
    for line in text.splitlines(keepends=True):
        with suppress(ValueError):
            json.loads(line)
            whole.append(line)
    return "".join(whole)


if __name__ == "__main__":
    main()
