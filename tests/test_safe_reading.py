"""Nothing in the package runs what a file names, except in the modules that check it first."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from .test_architecture import FILES, PACKAGE

GATES = {
    "PlansManager": "nnunet/plans.py",
    "get_network_from_plans": "nnunet/architecture.py",
    "torch.load": "nnunet/weights.py",
}
"""What runs code that a file names or contains, and the only module that uses it."""

FORBIDDEN = {
    *("eval", "exec", "compile", "__import__", "locate", "literal_eval"),
    *("os.system", "os.popen", "os.startfile", "runpy", "shelve", "marshal", "joblib", "yaml"),
    *("pickle.load", "pickle.loads", "load_pickle", "pd.read_pickle", "torch.jit"),
    *("infer_dataset_class", "nnUNetDatasetNumpy", "nnUNetDatasetBlosc2", "nnUNetPredictor"),
    *("recursive_find_python_class", "blosc2.open"),
}


def names_used(file: Path) -> Iterator[str]:
    """Yield the names and dotted names of a file, except those for type checkers only."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = [ast.Pass()]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.Call | ast.ClassDef):
            for used in [node.func] if isinstance(node, ast.Call) else node.bases:
                yield ast.unparse(used)


def test_code_in_files_is_only_reached_through_checks() -> None:
    used: dict[str, set[str]] = {}
    for file in FILES:
        for name in names_used(file):
            used.setdefault(name, set()).add(file.relative_to(PACKAGE).as_posix())
    assert {name: used.get(name, set()) for name in GATES} == {n: {f} for n, f in GATES.items()}
    assert {name: used[name] for name in FORBIDDEN & set(used)} == {}


def test_no_call_allows_pickles_or_a_shell() -> None:
    wanted = {"weights_only": "True", "allow_pickle": "False", "shell": "False"}
    for file in FILES:
        tree = ast.parse(file.read_text(encoding="utf-8"))
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            given = {word.arg: ast.unparse(word.value) for word in call.keywords if word.arg}
            for name in wanted.keys() & given.keys():
                assert given[name] == wanted[name], file
            if ast.unparse(call.func) == "torch.load":
                assert "weights_only" in given


def test_plans_are_checked_where_they_are_opened() -> None:
    """The trainer's base class opens them itself, so the trainer checks them before."""
    for file, function, opens in (
        ("nnunet/plans.py", "open_plans", "PlansManager"),
        ("nnunet/trainer.py", "__init__", "super().__init__"),
    ):
        tree = ast.parse((PACKAGE / file).read_text(encoding="utf-8"))
        bodies = [
            ast.unparse(node)
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef) and node.name == function
        ]
        body = next(text for text in bodies if f"{opens}(" in text)
        assert body.index("refuse_foreign_parts(") < body.index(f"{opens}(")
