"""A change of wording shows as a diff of tests/messages.txt, and in no other test."""

import re

from .helpers.checks.messages import SNAPSHOT, messages

WORDED_FOR_A_TERMINAL = ("# cli/", "# core/problems.py")
"""Modules whose sentences only the command line shows."""


def test_every_message_is_in_the_snapshot() -> None:
    """If this fails, run ``python -m tests.helpers.checks.messages`` and read the diff aloud."""
    assert messages().splitlines() == SNAPSHOT.read_text(encoding="utf-8").splitlines()


def test_only_the_command_line_names_its_options() -> None:
    module, named = "", []
    for line in messages().splitlines():
        module = line if line.startswith("# ") else module
        is_command = "dask worker" in line or "--resources" in line or "in a terminal" in line
        if not module.startswith(WORDED_FOR_A_TERMINAL) and not is_command:
            named += re.findall(r"(?:^|[\s(\"“`])--[a-z].*", line)
    assert not named
