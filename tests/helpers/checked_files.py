"""What is checked and what is refused: one table for the tests and for the page of that name.

A new check is a new line of `CHECKS`. ``python -m tests.helpers.checked_files`` writes the page,
and ``tests/test_checked_files.py`` fails if it is old or if a line has no test.
"""

# ruff: noqa: E501 (a check is one line)

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent / "docs" / "reference" / "what-is-checked.md"
CODE = "Files that could run code"

REFUSED = "The command stops with an error message."
LEFT_OUT = "The member is refused with the reason. Other members are used."
NOT_READ = "The file is not read."
TEXT = "The content is only ever text and numbers."

TITLE = """# What is checked and what is refused

A folder with an ensemble, a run, a study or images can come from anywhere. This page lists what its
files could do and what happens instead. Each line has a test. This command writes the page:
`python -m tests.helpers.checked_files`.
"""


class Check(NamedTuple):
    """A file, what it could do, the commands that read it, and what happens instead.

    ``proof`` is a test, as ``io/files/test_atomic.py::test_name``, or the name of a payload of
    ``test_hostile_files.py``, which tries it with every command.
    """

    section: str
    file: str
    threat: str
    commands: tuple[str, ...]
    outcome: str
    proof: str


READ_PLANS = (
    *("inspect", "predict", "calibrate", "train --resume", "train --add-cycle"),
    *("Segment (dock)", "cluster worker"),
)
READ_MEMBERS = ("inspect", "predict", "Segment (dock)", "cluster worker")

NO_COMMANDS = ("Segment (dock)", "Review (dock)", "cluster worker")

# fmt: off
CHECKS: tuple[Check, ...] = (
    Check(CODE, "plans.json", "name a Python function as a layer or as the network", READ_PLANS, REFUSED, "name_a_function_as_layer"),
    Check(CODE, "plans.json", "name a Python function as reader, preprocessor, resampling, normalisation or label manager", ("inspect", "predict", "train --resume"), REFUSED, "name_functions_elsewhere"),
    Check(CODE, "plans.json", "name a folder outside the run, which nnU-Net would delete", ("inspect", "predict", "train --resume"), REFUSED, "name_a_folder_to_delete"),
    Check(CODE, "plans.json", "reach the processes of a training on several GPUs unchecked", ("train --num-gpus",), REFUSED, "nnunet/test_trainer.py::test_plans_that_could_run_code_are_refused"),
    Check(CODE, "dataset.json of a run", "name a Python function as the reader of images", ("inspect", "predict"), REFUSED, "name_a_reader"),
    Check(CODE, "dataset.json of a dataset", "name a Python function as the reader of images", ("train", "train --resume", "train --add-cycle"), REFUSED, "name_a_reader"),
    Check(CODE, "ensemble.json", "name a dataset outside the run, whose folder nnU-Net would replace", ("train --resume", "train --add-cycle"), REFUSED, "name_a_dataset_elsewhere"),
    Check(CODE, "member", "run a function when it is unpickled", READ_MEMBERS, LEFT_OUT, "pickle_a_member"),
    Check(CODE, "member", "run a function when it is unpickled", ("trajectory",), REFUSED, "pickle_a_member"),
    Check(CODE, "checkpoint_latest.pth", "run a function when it is unpickled", ("train --resume",), REFUSED, "pickle_the_latest_state"),
    Check(CODE, "checkpoint_latest.pth", "run a function when it is unpickled", ("inspect", "predict"), NOT_READ, "pickle_the_latest_state"),
    Check(CODE, "checkpoint_final.pth", "run a function when it is unpickled", ("train --add-cycle",), REFUSED, "pickle_the_final_state"),
    Check(CODE, "checkpoint_final.pth", "run a function when it is unpickled", ("inspect", "predict"), NOT_READ, "pickle_the_final_state"),
    Check(CODE, "preprocessed .pkl", "run a function when it is unpickled", ("train --resume",), REFUSED, "pickle_properties"),
    Check(CODE, "preprocessed .b2nd", "name a codec for which blosc2 starts Python", ("train --resume",), REFUSED, "forge_codecs"),
    Check(CODE, "preprocessed .b2nd", "name another file, an address or an expression to compute", ("train --resume",), REFUSED, "nnunet/test_preprocessed.py::test_anything_but_a_plain_array_is_refused"),
    Check(CODE, "preprocessed .npz", "run a function when it is unpickled", ("train --resume",), REFUSED, "replace_arrays"),
    Check(CODE, "train.log and progress.jsonl", "be a link to a file that the shell runs", ("train --resume", "train --add-cycle"), REFUSED, "link_logs"),
    Check(CODE, "use_log.csv of a study", "be a link to a file that the shell runs", ("Review (dock)",), "The use is not recorded, and a message says so.", "io/study/test_usage_log.py::test_a_log_that_is_a_link_is_refused"),
    Check(CODE, "splits, fingerprint, job.json and progress.jsonl", "contain a shell command", ("train --resume", "inspect", "predict"), TEXT, "write_commands"),
    Check(CODE, "layers of an epoch (.npz)", "run a function when it is unpickled", ("trajectory",), REFUSED, "pickle_layers"),
    Check(CODE, "posterior of a study (.npz)", "run a function when it is unpickled", ("evaluate-queue",), REFUSED, "pickle_posteriors"),
    Check(CODE, "study.json and review.json", "contain a shell command and a path", ("evaluate-queue",), TEXT, "write_commands_into_studies"),
    Check(CODE, "probabilities (.npz)", "run a function when it is unpickled", ("evaluate",), REFUSED, "pickle_probabilities"),
    Check(CODE, "Info.cfg", "contain a shell command", ("prepare acdc",), TEXT, "write_commands_into_acdc"),
    Check(CODE, "table of M&Ms", "contain a shell command and a path", ("prepare mnms",), TEXT, "write_commands_into_mnms"),
    Check(CODE, "DICOM", "have UIDs and names that are shell commands and paths", ("predict", "export-dicom"), TEXT, "write_commands_into_dicom"),
    Check(CODE, "text of any file", "become part of a page as HTML", ("evaluate", "predict", "Review (dock)"), TEXT, "app/report/test_html.py::test_values_are_escaped"),
)
# fmt: on


def pairs() -> Iterator[tuple[Check, str]]:
    """Yield every check that a payload proves, with each of its commands."""
    for check in CHECKS:
        if "::" not in check.proof:
            yield from ((check, command) for command in check.commands)


def page() -> str:
    """Return the page of the documentation, with a table for each section."""
    parts = [TITLE]
    for section, checks in groupby(CHECKS, key=lambda check: check.section):
        rows = [("File", "What it could do", "Read by", "What happens")]
        rows += [(c.file, c.threat, _listed(c.commands), c.outcome) for c in checks]
        lines = ["| " + " | ".join(row) + " |" for row in rows]
        parts.append(
            "\n".join([f"## {section}", "", lines[0], "|---|---|---|---|", *lines[1:], ""])
        )
    return "\n".join(parts)


def _listed(commands: tuple[str, ...]) -> str:
    return ", ".join(c if c in NO_COMMANDS else f"`{c}`" for c in commands)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
