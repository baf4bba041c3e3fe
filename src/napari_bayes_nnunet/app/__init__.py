"""What the program does, without any window: segment, train, talk to child processes."""

from ..core.problems import Problem


class AppError(Problem):
    """Error: a request cannot be carried out."""
