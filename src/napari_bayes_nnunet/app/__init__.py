"""What the program does, without any window: segment, train, talk to child processes."""


class AppError(Exception):
    """A request cannot be carried out; the message is one sentence for the user."""
