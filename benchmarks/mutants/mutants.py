"""A mutant: a line of a module and what replaces it, found again after the line has moved."""

from __future__ import annotations

import ast
import json
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """Change of one line, or of the lines of one statement.

    ``file`` is relative to the package. ``line`` and ``replacement`` have no indentation. ``nth``
    counts equal lines of the same ``function`` from 0.
    """

    file: str
    function: str
    line: str
    replacement: str
    kind: str
    nth: int = 0

    @property
    def key(self) -> str:
        """Name in files of results, which stays the same wherever the line is."""
        text = "\0".join((self.file, self.function, self.line, self.replacement, str(self.nth)))
        return sha256(text.encode()).hexdigest()[:12]

    def lines_in(self, source: str) -> list[tuple[str, int]]:
        """Return the function and the first line, from 0, of each place of the line."""
        wanted, lines = _stripped(self.line), _stripped(source)
        functions = _functions(source)
        return [
            (functions[number], number)
            for number in range(len(lines) - len(wanted) + 1)
            if lines[number : number + len(wanted)] == wanted
        ]

    def find(self, package: Path) -> tuple[Path, int] | None:
        """Return the file and the first line, from 0; None if no file has the line any more.

        Other files are looked through if the named one does not have it.
        """
        own = package / self.file
        others = (file for file in sorted(package.rglob("*.py")) if file != own)
        for file in (own, *others):
            if file.exists() and (number := self._line_in(file)) is not None:
                return file, number
        return None

    def _line_in(self, file: Path) -> int | None:
        found = self.lines_in(file.read_text(encoding="utf-8"))
        name = self.function.rpartition(".")[2]
        same = [number for function, number in found if function.rpartition(".")[2] == name]
        if same:
            return same[min(self.nth, len(same) - 1)]
        return found[0][1] if len(found) == 1 else None

    def apply(self, source: str, number: int) -> str:
        """Return the source with the lines from ``number`` on replaced."""
        lines = source.split("\n")
        indent = lines[number][: len(lines[number]) - len(lines[number].lstrip())]
        stop = number + self.line.count("\n") + 1
        lines[number:stop] = textwrap.indent(self.replacement, indent).split("\n")
        return "\n".join(lines)


def read_mutants(file: Path) -> list[Mutant]:
    """Return the mutants of a list."""
    return [Mutant(**entry) for entry in json.loads(file.read_text(encoding="utf-8"))]


def write_mutants(file: Path, mutants: Sequence[Mutant]) -> None:
    """Write a list for `read_mutants`."""
    text = json.dumps([asdict(mutant) for mutant in mutants], indent=1, ensure_ascii=False)
    file.write_text(text + "\n", encoding="utf-8")


def _stripped(text: str) -> list[str]:
    return [line.strip() for line in text.split("\n")]


def _functions(source: str) -> list[str]:
    """Return the name of the innermost function or class of each line, "" outside."""
    names = [""] * (source.count("\n") + 1)
    for name, node in _definitions(ast.parse(source), ""):
        names[node.lineno - 1 : node.end_lineno] = [name] * (node.end_lineno - node.lineno + 1)
    return names


def _definitions(node: ast.AST, outer: str) -> Iterator[tuple[str, ast.AST]]:
    """Yield names and definitions, outer ones first."""
    for child in ast.iter_child_nodes(node):
        name = outer
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            name = f"{outer}.{child.name}".strip(".")
            yield name, child
        yield from _definitions(child, name)
