"""Tests that README and docs/ name only existing commands, options, files, rooms and terms."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import napari_bayes_nnunet
from napari_bayes_nnunet.app.messages import Message
from napari_bayes_nnunet.app.segmentation.methods import METHODS
from napari_bayes_nnunet.cli import main
from napari_bayes_nnunet.cli.archive import archive_group
from napari_bayes_nnunet.cli.profile import profile_group
from napari_bayes_nnunet.core.ensemble.training_settings import PRESETS

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PACKAGE = ROOT / "src" / "napari_bayes_nnunet"
README = ROOT / "README.md"
API = DOCS / "reference" / "api.md"
ARCHITECTURE = DOCS / "architecture.md"
CONTRIBUTING = ROOT / "CONTRIBUTING.md"
GUIDES = [CONTRIBUTING, ROOT / "SECURITY.md", ROOT / "CODE_OF_CONDUCT.md"]
PAGES = sorted(DOCS.rglob("*.md"))
TEXTS = [README, *GUIDES, PACKAGE / "demo_ensemble" / "README.md", *PAGES]
MOST_README_LINES = 120
LAYERS_WITH_ROOMS = ("core", "io", "app", "paper", "widgets")
TERMS = (
    "agreement answer case cohort level member pass phase run score slice spread structure study"
)
OPTIONS_OF_OTHERS = {
    *("--dashboard-address", "--death-timeout", "--memory-limit", "--no-dashboard", "--nthreads"),
}
"""Options of Dask."""

FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
SPAN = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
ENDS_A_COMMAND = {"|", "||", "&&", "&", ">", "<", "2>&1", "\\", ";"}


def text_of(page: Path) -> str:
    """Return the text of a page."""
    return page.read_text(encoding="utf-8")


def prose_of(page: Path) -> str:
    """Return the text of a page without its code blocks."""
    return FENCE.sub("", text_of(page))


def names(page: Path) -> str:
    """Return the name of a page, for the report of a test."""
    return page.relative_to(ROOT).as_posix()


def code_lines(page: Path) -> Iterator[str]:
    """Yield the lines of code blocks, with continuations joined, and the spans of the prose."""
    for _, block in FENCE.findall(text_of(page)):
        yield from block.replace("\\\n", " ").splitlines()
    yield from SPAN.findall(prose_of(page))


def commands_in(line: str) -> Iterator[list[str]]:
    """Yield the words that follow every ``bayes-nnunet`` in a line of code."""
    for part in re.split(r"\bbayes-nnunet (?=[a-z-])", line)[1:]:
        words = shlex.split(part.replace('"', " ").replace("…", " "), comments=True)
        end = next((n for n, word in enumerate(words) if word in ENDS_A_COMMAND), len(words))
        yield words[:end]


def options_of(command: click.Command) -> set[str]:
    """Return every spelling of a command's options."""
    parameters = (p for p in command.params if isinstance(p, click.Option))
    return {name for p in parameters for name in (*p.opts, *p.secondary_opts)} | {"--help"}


def wrong_words(words: list[str]) -> list[str]:
    """Return the words after ``bayes-nnunet`` that the command line does not know."""
    command: click.Command = main
    while isinstance(command, click.Group):
        if not words or words[0] not in command.commands:
            return words[:1]
        command, *words = command.commands[words[0]], *words[1:]
    known = options_of(command)
    options = [word.partition("=")[0].rstrip(",.") for word in words if word.startswith("-")]
    return [option for option in options if option not in known]


def slugs_of(page: Path) -> set[str]:
    """Return the anchors of a page's headings."""
    titles = (re.sub(r"[`*]", "", title).lower() for title in HEADING.findall(prose_of(page)))
    return {re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", title)).strip("-") for title in titles}


def links_of(page: Path) -> Iterator[tuple[Path, str]]:
    """Yield file and anchor of every link that stays in the repository."""
    for target in LINK.findall(prose_of(page)):
        if not re.match(r"[a-z]+:", target):
            file, _, anchor = target.partition("#")
            yield (page.parent / file if file else page), anchor


def test_readme_is_short() -> None:
    assert len(text_of(README).splitlines()) <= MOST_README_LINES


@pytest.mark.parametrize("page", TEXTS, ids=names)
def test_commands_in_code_exist(page: Path) -> None:
    wrong = [
        (line, words)
        for line in code_lines(page)
        for command in commands_in(line)
        if (words := wrong_words(command))
    ]
    assert wrong == []


@pytest.mark.parametrize("page", TEXTS, ids=names)
def test_options_in_prose_exist(page: Path) -> None:
    groups = main, archive_group, profile_group
    commands = (command for group in groups for command in group.commands.values())
    known = {option for command in commands for option in options_of(command)}
    spans = [span.split() for span in SPAN.findall(prose_of(page))]
    alone = {span[0].partition("=")[0] for span in spans if span[0].startswith("--")}
    assert alone - known - OPTIONS_OF_OTHERS == set()
    after_a_command = [span for span in spans if span[0] in main.commands and len(span) > 1]
    assert [(span, wrong) for span in after_a_command if (wrong := wrong_words(span))] == []


def test_wrong_commands_and_options_are_found() -> None:
    assert wrong_words(["foretell", "RUN"]) == ["foretell"]
    assert wrong_words(["archive", "burn"]) == ["burn"]
    assert wrong_words(["archive", "list", "URL", "--ca", "F", "--on"]) == ["--on"]
    assert wrong_words(["predict", "RUN", "-o", "OUT", "--certain"]) == ["--certain"]
    (words,) = commands_in('sbatch --wrap "bayes-nnunet train D --output RUN --device cuda" &')
    assert words == ["train", "D", "--output", "RUN", "--device", "cuda"]


@pytest.mark.parametrize("page", TEXTS, ids=names)
def test_benchmarks_in_code_exist(page: Path) -> None:
    """Commands after `git checkout` are those of that commit."""
    now = re.sub(r"git checkout [0-9a-f]{8}\n.*?```", "```", text_of(page), flags=re.DOTALL)
    modules = re.findall(r"python -m (benchmarks\.\w+)", now)
    files = [ROOT.joinpath(*module.split(".")) for module in modules]
    files += [ROOT / file for file in re.findall(r"(benchmarks/\w+\.py)", now)]
    assert [f for f in files if not (f.is_dir() or f.with_suffix(".py").is_file())] == []


@pytest.mark.parametrize("page", [README, *GUIDES, *PAGES], ids=names)
def test_links_lead_somewhere(page: Path) -> None:
    broken = [
        (file, anchor)
        for file, anchor in links_of(page)
        if not file.exists() or (anchor and anchor not in slugs_of(file))
    ]
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_links_of_the_site_stay_in_it(page: Path) -> None:
    assert [file for file, _ in links_of(page) if not file.resolve().is_relative_to(DOCS)] == []


def test_every_page_is_in_the_navigation_once() -> None:
    listed = re.findall(r"^ +- .*?: (\S+\.md)$", text_of(ROOT / "mkdocs.yml"), re.MULTILINE)
    assert sorted(listed) == [page.relative_to(DOCS).as_posix() for page in PAGES]


def test_every_picture_is_shown() -> None:
    pictures = {file.resolve() for file in DOCS.rglob("*.png")}
    shown = {file.resolve() for page in PAGES for file, _ in links_of(page)}
    assert pictures - shown == set()


def test_api_page_has_every_public_name() -> None:
    documented = re.findall(r"^::: napari_bayes_nnunet\.(\w+)$", text_of(API), re.MULTILINE)
    assert sorted(documented) == sorted({*napari_bayes_nnunet.__all__} - {"__version__"})


@pytest.mark.parametrize("page", TEXTS, ids=names)
def test_imports_in_code_are_public(page: Path) -> None:
    imports = re.findall(r"^from napari_bayes_nnunet import (.+)$", text_of(page), re.MULTILINE)
    imported = {name.strip() for line in imports for name in line.split(",")}
    assert imported <= {*napari_bayes_nnunet.__all__}


def glossary_terms() -> list[str]:
    """Return the terms of the glossary, in its order."""
    return re.findall(r"^(.+)\n: ", text_of(DOCS / "glossary.md"), re.MULTILINE)


def test_glossary_is_sorted_and_has_the_terms() -> None:
    terms = glossary_terms()
    assert sorted({*terms}, key=str.casefold) == terms
    assert {*TERMS.split()} <= {*terms}


def test_glossary_names_every_method_and_preset() -> None:
    spans = {*SPAN.findall(text_of(DOCS / "glossary.md"))}
    assert {*METHODS, *PRESETS} <= spans


def rooms() -> set[str]:
    """Return the folders of the package's layers that hold modules."""
    layers = ("cli", "core", "io", "nnunet", "app", "paper", "widgets")
    folders = {file.parent for layer in layers for file in (PACKAGE / layer).rglob("*.py")}
    return {folder.relative_to(PACKAGE).as_posix() for folder in folders}


def test_architecture_lists_every_room_once() -> None:
    table = text_of(ARCHITECTURE).partition("## Rooms")[2].partition("\n## ")[0]
    listed = re.findall(r"^\| `([\w/]+)` \|", table, re.MULTILINE)
    assert sorted(listed) == sorted(rooms() - {*LAYERS_WITH_ROOMS, "nnunet/trainers"})


def test_architecture_names_files_that_exist() -> None:
    named = re.findall(r"`(\w+/[\w/]+\.py|tests/[\w/]+)`", text_of(ARCHITECTURE))
    at_top = {"benchmarks", "tests"}
    files = [(ROOT if file.split("/")[0] in at_top else PACKAGE) / file for file in named]
    assert files
    assert [file for file in files if not file.exists()] == []


def test_contributing_names_fixtures_and_helpers_that_exist() -> None:
    table = text_of(CONTRIBUTING).partition("| Fixture or helper |")[2].partition("\n\n")[0]
    spans = {span for row in table.splitlines() for span in SPAN.findall(row.rpartition(" | ")[0])}
    helpers = {Path(span).name for span in spans if span.endswith(".py")} - {"conftest.py"}
    tests = ROOT / "tests"
    assert helpers <= {file.name for file in (tests / "helpers").rglob("*.py")}
    code = "".join(map(text_of, tests.rglob("conftest.py")))
    fixtures = {span for span in spans if span.isidentifier()} - {"make_napari_viewer", "qtbot"}
    assert fixtures
    assert {name for name in fixtures if f"def {name}(" not in code} == set()


def test_architecture_names_every_kind_of_message() -> None:
    kinds = {kind.kind for kind in all_kinds(Message) if hasattr(kind, "kind")}
    assert kinds <= {*SPAN.findall(text_of(ARCHITECTURE))}


def all_kinds(base: type[Message]) -> set[type[Message]]:
    """Return the classes of messages."""
    below = base.__subclasses__()
    return {*below} | {kind for subclass in below for kind in all_kinds(subclass)}
