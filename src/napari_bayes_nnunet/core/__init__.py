"""The method in NumPy: posterior, queue, corrections and metrics. Reads and writes no files."""

from .problems import Problem


class InputError(Problem, ValueError):
    """Error for a value that a function of this layer cannot use."""
