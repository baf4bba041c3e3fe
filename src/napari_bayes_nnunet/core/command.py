"""Commands that run modules with the current Python."""

from __future__ import annotations

import sys
from typing import Final, NoReturn

STARTED_BY_HAND: Final = (
    "This program is started by the napari plugin and by the command bayes-nnunet. Start one of "
    "them instead."
)


def python_command(*words: str) -> tuple[str, ...]:
    """Return the command that runs the module ``words[0]`` with the other words as arguments.

    Without -P the child would import a file such as random.py in the current folder.
    """
    return (sys.executable, "-P", "-m", *words)


def refuse_start_by_hand() -> NoReturn:
    """Exit with code 2 and a message, because a child program was not started by its parent."""
    sys.stderr.write(f"{STARTED_BY_HAND}\n")
    sys.exit(2)


BAYES_NNUNET: Final = python_command("napari_bayes_nnunet")
"""The command ``bayes-nnunet``, even if its script is not on the path."""
