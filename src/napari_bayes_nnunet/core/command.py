"""Commands that run modules with the current Python."""

from __future__ import annotations

import sys
from typing import Final


def python_command(*words: str) -> tuple[str, ...]:
    """Return the command that runs the module ``words[0]`` with the other words as arguments.

    Without -P the child would import a file such as random.py in the current folder.
    """
    return (sys.executable, "-P", "-m", *words)


BAYES_NNUNET: Final = python_command("napari_bayes_nnunet")
"""The command ``bayes-nnunet``, even if its script is not on the path."""
