"""Segmentation, training, reviews and evaluations, without any window."""

from ..core.problems import Problem


class AppError(Problem):
    """Request that cannot be carried out."""
