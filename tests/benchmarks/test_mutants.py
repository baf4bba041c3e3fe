"""Mutants: what is changed, what is left alone, and lines that have moved."""

from __future__ import annotations

import ast
from pathlib import Path

from benchmarks.mutants import running
from benchmarks.mutants.mutants import read_mutants, write_mutants
from benchmarks.mutants.mutations import Module, draw

SOURCE = '''"""A docstring with 1 > 0."""

__all__ = ["area"]


def area(height: float, width: float = 2.0, *, strict: bool = False) -> bool | None:
    """Return 1 + 1."""
    if height < 0 and strict:
        raise ValueError(f"{height} < {0}")
    sizes = [height * 2]
    sizes.append(width)
    for a, b in zip(sizes, sizes, strict=True):
        if a is not b:
            continue
    return max(sizes) > 3
'''
CHANGED = {
    ("width: float = 2.0", "width: float = 4.0"),
    ("strict: bool = False", "strict: bool = True"),
    ("height < 0 and strict", "height <= 0 and strict"),
    ("height < 0 and strict", "height < 0 or strict"),
    ("height < 0 and strict", "(not (height < 0 and strict))"),
    ("height * 2", "height / 2"),
    ("height * 2", "height * 3"),
    ("sizes.append(width)", "pass"),
    ("a is not b", "a is b"),
    ("continue", "break"),
    ("max(sizes)", "min(sizes)"),
    ("max(sizes) > 3", "None"),
    ("> 3", ">= 3"),
    ("> 3", "> 4"),
}


def mutants_of(source: str) -> list:
    module = Module("shapes.py", source)
    made = [module.mutant(change) for changes in module.changes.values() for change in changes]
    return [mutant for mutant in made if mutant is not None]


def test_code_is_changed_but_no_text() -> None:
    mutants = mutants_of(SOURCE)
    for old, new in CHANGED:
        assert any(
            old in mutant.line and mutant.line.replace(old, new) == mutant.replacement
            for mutant in mutants
        ), new
    left = ("docstring", "__all__", "Return 1", "raise", "zip(sizes")
    assert not [mutant for mutant in mutants if any(text in mutant.line for text in left)]


def test_moved_and_indented_line_is_found(tmp_path: Path) -> None:
    body = "".join(f"    {line}\n" for line in SOURCE.splitlines())
    moved = f"sizes = []\nsizes.append(width)\n\n\nclass Shapes:\n{body}"
    (tmp_path / "other.py").write_text(moved)
    for mutant in mutants_of(SOURCE):
        file, number = mutant.find(tmp_path)
        changed = mutant.apply(moved, number)
        assert file == tmp_path / "other.py"
        assert number > moved[: moved.index("class")].count("\n")
        assert ast.dump(ast.parse(changed)) != ast.dump(ast.parse(moved))


def test_equal_lines_of_a_function_are_told_apart(tmp_path: Path) -> None:
    source = "def f(x):\n    x += 1\n    x += 1\n    return x\n"
    (tmp_path / "shapes.py").write_text("\n" + source)
    found = {mutant.find(tmp_path)[1] for mutant in mutants_of(source)}
    assert found == {2, 3}


def test_line_that_is_gone_is_not_found(tmp_path: Path) -> None:
    (tmp_path / "shapes.py").write_text("def area():\n    return 4\n")
    assert {mutant.find(tmp_path) for mutant in mutants_of(SOURCE)} == {None}


def test_drawn_lines_follow_from_seed_and_survive_file(tmp_path: Path) -> None:
    (tmp_path / "core").mkdir()
    (tmp_path / "core" / "shapes.py").write_text(SOURCE)
    drawn = draw(tmp_path, seed=1, count=4)
    assert drawn == draw(tmp_path, seed=1, count=4) != draw(tmp_path, seed=2, count=4)
    assert len({mutant.line for mutant in drawn}) == 4
    write_mutants(tmp_path / "a.json", drawn)
    assert read_mutants(tmp_path / "a.json") == drawn


def test_lines_that_are_gone_are_drawn_anew(tmp_path: Path) -> None:
    (tmp_path / "core").mkdir()
    file = tmp_path / "core" / "shapes.py"
    file.write_text(SOURCE)
    earlier = draw(tmp_path, seed=1, count=4)
    file.write_text(SOURCE.replace(earlier[-1].line, "return max(sizes)"))
    file = file.rename(file.with_name("forms.py"))
    drawn = draw(tmp_path, seed=1, count=4, earlier=earlier)
    assert len({mutant.find(tmp_path) for mutant in drawn} - {None}) == 4
    assert {m.replacement for m in earlier[:-1]} < {m.replacement for m in drawn}
    assert {mutant.file for mutant in drawn} == {"core/forms.py"}


def test_without_a_map_tests_that_import_the_module_are_run(tmp_path: Path) -> None:
    room = tmp_path / "tests" / "core" / "heart"
    room.mkdir(parents=True)
    assert running.tests_of_file(tmp_path, "core/heart/shapes.py") == ["tests/core/heart"]
    (room / "test_a.py").write_text("from napari_bayes_nnunet.core.heart.shapes import area\n")
    (room / "test_b.py").write_text("from napari_bayes_nnunet.core.heart.shapes_2 import area\n")
    (room / "test_shapes.py").write_text("")
    names = ["tests/core/heart/test_shapes.py", "tests/core/heart/test_a.py"]
    names += ["tests/core/heart"]  # for what no test imports by its name
    assert running.tests_of_file(tmp_path, "core/heart/shapes.py") == names
