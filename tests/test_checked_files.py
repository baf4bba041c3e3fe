"""The page "What is checked and what is refused" is that of its table, whose lines have tests."""

import ast

from .helpers.checks.checked_files import CHECKS, PAGE, TESTS, page
from .test_hostile_files import PAYLOADS


def test_the_page_is_that_of_the_table() -> None:
    """If this fails, run ``python -m tests.helpers.checks.checked_files`` and read the diff."""
    assert page() == PAGE.read_text(encoding="utf-8")


def test_every_line_of_the_table_has_a_test() -> None:
    proofs = {check.proof for check in CHECKS}
    tests = {proof for proof in proofs if "::" in proof}
    functions = {
        f"{file}::{node.name}"
        for file in {test.partition("::")[0] for test in tests}
        for node in ast.walk(ast.parse((TESTS / file).read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }
    assert tests <= functions
    assert proofs - tests == set(PAYLOADS)


def test_sections_of_the_table_are_not_interleaved() -> None:
    sections = [check.section for check in CHECKS]
    assert sections == sorted(sections, key=sections.index)
    assert len({*CHECKS}) == len(CHECKS)
