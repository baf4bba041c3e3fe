"""All messages of the program, read from the source: ``python -m tests.helpers.checks.messages``.

Messages are the sentences of the modules and of the templates of reports.

The command rewrites tests/messages.txt, so that a change of wording appears as a diff.
"""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import napari_bayes_nnunet

PACKAGE = Path(napari_bayes_nnunet.__file__).parent
SNAPSHOT = Path(__file__).parents[2] / "messages.txt"
FEWEST_WORDS = 3


@cache
def messages() -> str:
    """Return the sentences of every file, with braces in place of values."""
    parts = []
    for file in sorted([*PACKAGE.rglob("*.py"), *PACKAGE.rglob("*.j2")]):
        read = _sentences if file.suffix == ".py" else _template_sentences
        sentences = list(dict.fromkeys(read(file)))
        if sentences:
            parts += [f"# {file.relative_to(PACKAGE).as_posix()}", *sentences, ""]
    return "\n".join(parts)


def _sentences(file: Path) -> Iterator[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    silent = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    inner = {
        id(value)
        for node in ast.walk(tree)
        if isinstance(node, ast.JoinedStr)
        for value in node.values
    }
    for node in ast.walk(tree):
        if id(node) in silent | inner:  # a docstring, or a part of a longer sentence
            continue
        text = _text(node)
        if len(text.split()) >= FEWEST_WORDS and "\n" not in text.strip("\n"):
            yield text.strip("\n")


def _template_sentences(file: Path) -> Iterator[str]:
    text = re.sub(r"\{[#%].*?[#%]\}", "", file.read_text(encoding="utf-8"), flags=re.DOTALL)
    for line in re.sub(r"\{\{.*?\}\}", "{}", text, flags=re.DOTALL).splitlines():
        sentence = re.sub(r"<[^>]*>", " ", line)
        if len(re.findall(r"[A-Za-z]{2,}", sentence)) >= FEWEST_WORDS:
            yield " ".join(sentence.split())


def _text(node: ast.AST) -> str:
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(value) or "{}" for value in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


if __name__ == "__main__":
    SNAPSHOT.write_text(messages(), encoding="utf-8")
