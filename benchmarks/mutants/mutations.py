"""Small changes of a module that a test should notice, found by its syntax tree."""

from __future__ import annotations

import ast
import itertools
import random
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Final

from .mutants import Mutant

ROOMS: Final = ("core", "io", "app/segmentation", "paper")
"""Folders of the package from which lines are drawn."""
OPERATORS: Final[dict[type, tuple[str, str]]] = {
    ast.Lt: ("<", "<="),
    ast.LtE: ("<=", "<"),
    ast.Gt: (">", ">="),
    ast.GtE: (">=", ">"),
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
    ast.In: ("in", "not in"),
    ast.NotIn: ("not in", "in"),
    ast.Is: ("is", "is not"),
    ast.IsNot: ("is not", "is"),
    ast.And: ("and", "or"),
    ast.Or: ("or", "and"),
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "/"),
    ast.Div: ("/", "*"),
    ast.FloorDiv: ("//", "/"),
    ast.Mod: ("%", "*"),
    ast.BitAnd: ("&", "|"),
    ast.BitOr: ("|", "&"),
    ast.LShift: ("<<", ">>"),
}
"""Operators, and what replaces them in the text."""
_PAIRS = ("min max", "any all", "argmin argmax", "floor ceil", "minimum maximum")
OTHER_NAMES: Final = dict(pair for text in _PAIRS for pair in (text.split(), text.split()[::-1]))
EMPTY: Final = {
    r".*\| None$": "None",
    r"bool$": "not ({})",
    r"int$": "0",
    r"float$": "0.0",
    r"str$": '""',
    r"list\[": "[]",
    r"tuple\[.*\.\.\.\]$": "()",
    r"dict\[|Mapping\[": "{{}}",
    r"set\[": "set()",
}
"""Beginnings of return types, and the value returned instead."""
PATHS: Final = re.compile(r"path|folder|file|run|root|home|output|parent|dataset|\bPath\b")
"""Operands of ``/`` that are paths: any other operator between them fails at once."""
NOT_CHECKED: Final = re.compile(r"_?LOG(GER)?\.|log|warnings|TypeVar|cast$|super$")
"""Calls that have no result to check."""
Span = tuple[int, int]


def draw(package: Path, *, seed: int, count: int, earlier: Iterable[Mutant] = ()) -> list[Mutant]:
    """Return one mutant of each of ``count`` lines, drawn from all lines of `ROOMS`.

    Of an ``earlier`` draw, mutants whose line still exists are kept, wherever it is now.
    """
    modules = [
        Module(file.relative_to(package).as_posix(), file.read_text(encoding="utf-8"))
        for room in ROOMS
        for file in sorted((package / room).rglob("*.py"))
    ]
    places = [(number, line) for number, module in enumerate(modules) for line in module.changes]
    chance = random.Random(seed)
    chance.shuffle(places)
    names = {module.name: number for number, module in enumerate(modules)}
    mutants: dict[tuple[int, int], Mutant] = {}
    for mutant in earlier:
        file, line = mutant.find(package) or (package, 0)
        name = file.relative_to(package).as_posix()
        if name in names:
            mutants.setdefault((names[name], line + 1), replace(mutant, file=name))
    for number, line in places:
        changes = modules[number].changes[line]
        chance.shuffle(changes)
        valid = (modules[number].mutant(change) for change in changes)
        if len(mutants) < count and (number, line) not in mutants:
            mutants.update(((number, line), mutant) for mutant in islice(filter(None, valid), 1))
    return [mutants[place] for place in sorted(mutants)]


@dataclass(frozen=True)
class Change:
    """New text for a span of a module, inside a function."""

    span: Span
    text: str
    kind: str
    function: str


class Module:
    """Source of a module, and the possible changes of each line, counted from 1.

    Not changed are docstrings, type hints, decorators, imports, assertions, texts, raised errors
    and other calls with a message, logging and ``__all__``.
    """

    def __init__(self, name: str, source: str) -> None:
        self.name, self._source = name, source
        self._lines = source.splitlines(keepends=True)
        self._starts = [0, *itertools.accumulate(map(len, self._lines))]
        self.changes: dict[int, list[Change]] = defaultdict(list)
        for line, change in self._changes(ast.parse(source), ""):
            self.changes[line].append(change)

    def mutant(self, change: Change) -> Mutant | None:
        """Return the mutant with a change, or None if it is not a valid or not another program."""
        start, stop = change.span
        first = self._source.rfind("\n", 0, start) + 1
        end = self._source.find("\n", stop)
        line = self._source[first:end]
        replacement = self._source[first:start] + change.text + self._source[stop:end]
        try:
            changed = ast.parse(self._source[:first] + replacement + self._source[end:])
        except SyntaxError:
            return None
        if ast.dump(changed) == ast.dump(ast.parse(self._source)):
            return None
        indent = len(line) - len(line.lstrip())
        mutant = Mutant(
            file=self.name,
            function=change.function,
            line=line[indent:],
            replacement=replacement[indent:],
            kind=change.kind,
        )
        number = self._source.count("\n", 0, first)
        function, _ = places = next(
            place for place in mutant.lines_in(self._source) if place[1] == number
        )
        same = [place for place in mutant.lines_in(self._source) if place[0] == function]
        return replace(mutant, function=function, nth=same.index(places))

    def _changes(self, node: ast.AST, function: str) -> Iterator[tuple[int, Change]]:
        if _is_left_alone(node):
            return
        for span, text, kind in self._changes_of(node):
            yield self._source.count("\n", 0, span[0]) + 1, Change(span, text, kind, function)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            function = f"{function}.{node.name}".strip(".")
        for field, value in ast.iter_fields(node):
            if field in {"annotation", "returns", "decorator_list", "bases", "type_params"}:
                continue
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    yield from self._changes(child, function)

    def _changes_of(self, node: ast.AST) -> Iterator[tuple[Span, str, str]]:
        if isinstance(node, ast.Constant):
            yield from self._changes_of_constant(node)
        elif isinstance(node, ast.Compare) and len(node.ops) == 1:
            yield from self._operator(node.left, node.comparators[0], node.ops[0], "comparison")
        elif isinstance(node, ast.BoolOp):
            for left, right in zip(node.values, node.values[1:], strict=False):
                yield from self._operator(left, right, node.op, "boolean")
        elif isinstance(node, ast.BinOp) and not self._is_text_path_or_type(node):
            yield from self._operator(node.left, node.right, node.op, "arithmetic")
        elif isinstance(node, ast.AugAssign):
            yield from self._operator(node.target, node.value, node.op, "arithmetic")
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub | ast.Invert):
            start, stop = self._span(node)
            yield (start, stop), f"({self._text(node.operand)})", "sign"
        elif isinstance(node, ast.FunctionDef):
            yield from self._empty_returns(node)
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            yield self._span(node), "pass", "removed call"
        elif isinstance(node, ast.Continue | ast.Break):
            yield (
                self._span(node),
                "break" if isinstance(node, ast.Continue) else "continue",
                "loop",
            )
        elif isinstance(node, ast.Call):
            yield from self._other_name(node.func)
        if isinstance(node, ast.If | ast.IfExp | ast.While):
            yield self._span(node.test), f"(not ({self._text(node.test)}))", "condition"

    def _empty_returns(self, function: ast.FunctionDef) -> Iterator[tuple[Span, str, str]]:
        """Yield an empty value of the same type, as mypy would notice another one."""
        kind = ast.unparse(function.returns) if function.returns else ""
        empty = next((value for name, value in EMPTY.items() if re.match(name, kind)), "")
        for node in ast.walk(function) if empty else ():
            if (
                isinstance(node, ast.Return)
                and node.value
                and self._text(node.value) not in (empty, "{}", "None")
            ):
                yield self._span(node.value), empty.format(self._text(node.value)), "return value"

    def _changes_of_constant(self, node: ast.Constant) -> Iterator[tuple[Span, str, str]]:
        value, span = node.value, self._span(node)
        if isinstance(value, bool):
            yield span, str(not value), "constant"
        elif isinstance(value, int):
            yield span, str(value + 1), "off by one"
            if value > 0:
                yield span, str(value - 1), "off by one"
        elif isinstance(value, float):
            yield span, repr(value * 2 if value else 1.0), "constant"
            if value:
                yield span, repr(value / 2), "constant"

    def _operator(
        self, left: ast.AST, right: ast.AST, operator: ast.AST, kind: str
    ) -> Iterator[tuple[Span, str, str]]:
        if type(operator) not in OPERATORS:
            return
        old, new = OPERATORS[type(operator)]
        start, stop = self._span(left)[1], self._span(right)[0]
        word = rf"\b{old}\b" if old[0].isalpha() else re.escape(old)
        found = re.search(word, self._source[start:stop])
        if found is not None:
            yield (start + found.start(), start + found.end()), new, kind

    def _other_name(self, function: ast.AST) -> Iterator[tuple[Span, str, str]]:
        name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
        if name in OTHER_NAMES:
            stop = self._span(function)[1]
            yield (stop - len(name), stop), OTHER_NAMES[name], "function"

    def _is_text_path_or_type(self, node: ast.BinOp) -> bool:
        sides = (node.left, node.right)
        if any(isinstance(side, ast.JoinedStr) or _is_text(side) for side in sides):
            return True
        if isinstance(node.op, ast.Div):
            return any(PATHS.search(self._text(side)) for side in sides)
        return isinstance(node.op, ast.BitOr) and any(
            isinstance(side, ast.Constant) or self._text(side)[0].isupper() for side in sides
        )

    def _span(self, node: ast.AST) -> Span:
        start = self._offset(node.lineno, node.col_offset)
        return start, self._offset(node.end_lineno, node.end_col_offset)

    def _offset(self, line: int, byte: int) -> int:
        before = self._lines[line - 1].encode()[:byte].decode()
        return self._starts[line - 1] + len(before)

    def _text(self, node: ast.AST) -> str:
        start, stop = self._span(node)
        return self._source[start:stop]


def _is_left_alone(node: ast.AST) -> bool:
    """Return whether nothing inside a node is changed."""
    if isinstance(
        node, ast.Raise | ast.Assert | ast.Import | ast.ImportFrom | ast.JoinedStr | ast.Delete
    ):
        return True
    if isinstance(node, ast.keyword):
        return node.arg == "strict"
    if isinstance(node, ast.AnnAssign):
        return ast.unparse(node.annotation).startswith("TypeAlias")
    if isinstance(node, ast.Assign):
        return ast.unparse(node.targets[0]) == "__all__"
    if isinstance(node, ast.If):
        return ast.unparse(node.test) == "TYPE_CHECKING"
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        return _is_left_alone(node.value)
    if isinstance(node, ast.Call):
        has_message = bool(node.args) and _is_text(node.args[0]) and " " in node.args[0].value
        return has_message or bool(NOT_CHECKED.match(ast.unparse(node.func)))
    return False


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)
