"""A change of wording shows as a diff of tests/messages.txt, and in no other test."""

from .helpers.messages import SNAPSHOT, messages


def test_every_message_is_in_the_snapshot() -> None:
    """If this fails, run ``python -m tests.helpers.messages`` and read the diff aloud."""
    assert messages().splitlines() == SNAPSHOT.read_text(encoding="utf-8").splitlines()
