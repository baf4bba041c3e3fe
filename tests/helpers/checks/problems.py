"""Checks of errors by their template and values, because the wording may change."""

from collections.abc import Callable
from typing import Any

from napari_bayes_nnunet.core.problems import Problem, Statement


def says(template: str | None = None, **values: Any) -> Callable[[Problem], bool]:
    """Return a check for ``pytest.raises``: an error of the template, with at least the values.

    The error may be inside the values of another one.
    """

    def check(problem: Problem) -> bool:
        return any(
            template in (None, told.template) and values.items() <= dict(told.values).items()
            for told in _statements(problem.statement)
        )

    return check


def says_only(template: str | None = None, **values: Any) -> Callable[[Problem], bool]:
    """Return a check for ``pytest.raises``: an error of the template, with just these values."""

    def check(problem: Problem) -> bool:
        return template in (None, problem.statement.template) and problem.values == values

    return check


def _statements(told: Statement) -> list[Statement]:
    inner = [value for value in told.values.values() if isinstance(value, Statement)]
    return [told, *(deeper for value in inner for deeper in _statements(value))]
