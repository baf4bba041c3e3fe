"""Tests that versions and the manifest agree wherever they are repeated."""

from __future__ import annotations

import ast
import re
import shutil
import tomllib
from collections.abc import Iterator
from email import message_from_bytes
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
import yaml
from hatchling.builders.sdist import SdistBuilder
from hatchling.builders.wheel import WheelBuilder

import napari_bayes_nnunet

from .helpers.data.archives import unpack

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PACKAGE = Path("src", "napari_bayes_nnunet")
MANIFEST = PACKAGE / "napari.yaml"
LINK = "../../napari.yaml"
NOT_IMPORTED = {
    "PartSegCore-compiled-backend",  # found by napari
    "cryptography",  # imported by distributed, for the certificates of its workers
    "pylibjpeg",  # found by pydicom
    "setuptools",  # has distutils, which nnunetv2 imports
}
TEMPLATES = PACKAGE / "app" / "report" / "templates"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return the files of a build, with the manifest as git writes a link it cannot make."""
    files = [
        *(Path(name) for name in ("pyproject.toml", "hatch_build.py", "README.md", "napari.yaml")),
        *(Path(name) for name in PROJECT["project"]["license-files"]),
        *(PACKAGE / name for name in ("__init__.py", "py.typed")),
        *(TEMPLATES / file.name for file in (ROOT / TEMPLATES).iterdir()),
    ]
    for file in files:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / file, tmp_path / file)
    (tmp_path / MANIFEST).write_text(LINK, encoding="utf-8")
    return tmp_path


def build_wheel(root: Path) -> ZipFile:
    (built,) = WheelBuilder(str(root)).build(directory=str(root / "dist"), versions=["standard"])
    return ZipFile(built)


def test_wheel_has_version_types_and_manifest(checkout: Path) -> None:
    version = napari_bayes_nnunet.__version__
    wheel = build_wheel(checkout)
    metadata = wheel.read(f"napari_bayes_nnunet-{version}.dist-info/METADATA")
    assert message_from_bytes(metadata)["Version"] == version
    assert "napari_bayes_nnunet/py.typed" in wheel.namelist()
    assert wheel.namelist().count("napari_bayes_nnunet/napari.yaml") == 1
    assert wheel.read("napari_bayes_nnunet/napari.yaml") == (ROOT / "napari.yaml").read_bytes()


def test_description_on_an_index_has_no_relative_link(checkout: Path) -> None:
    (name,) = (name for name in build_wheel(checkout).namelist() if name.endswith("METADATA"))
    (wheel,) = (checkout / "dist").iterdir()
    description = message_from_bytes(ZipFile(wheel).read(name)).get_payload()
    assert 'pip install "napari-bayes-nnunet[all]" && bayes-nnunet demo' in description
    assert "in this folder" not in description
    assert not re.findall(r"\]\((?!https://)[^)]*\)", description)


def test_wheel_has_the_templates_of_reports(checkout: Path) -> None:
    wheel = build_wheel(checkout)
    for file in (ROOT / TEMPLATES).iterdir():
        name = Path(TEMPLATES.relative_to("src"), file.name).as_posix()
        assert wheel.read(name) == file.read_bytes()


def test_build_without_link_copies_the_manifest(checkout: Path) -> None:
    build_wheel(checkout)
    assert (checkout / MANIFEST).read_bytes() == (ROOT / "napari.yaml").read_bytes()


def test_build_of_the_sdist_copies_the_manifest(checkout: Path, tmp_path: Path) -> None:
    for name in ("bivme", "kept"):
        (checkout / "tests" / "fixtures" / name).mkdir(parents=True)
        (checkout / "tests" / "fixtures" / name / "image.dcm").touch()
    (sdist,) = SdistBuilder(str(checkout)).build(directory=str(tmp_path / "dist"))
    unpack(Path(sdist), tmp_path / "unpacked")
    (root,) = (tmp_path / "unpacked").iterdir()
    assert not (root / MANIFEST).exists()
    # A real examination is for a clone only.
    assert [file.parent.name for file in root.rglob("image.dcm")] == ["kept"]
    build_wheel(root)
    assert (root / MANIFEST).read_bytes() == (ROOT / "napari.yaml").read_bytes()


def test_build_leaves_a_link_alone(checkout: Path) -> None:
    (checkout / MANIFEST).unlink()
    try:
        (checkout / MANIFEST).symlink_to(LINK)
    except OSError:
        pytest.skip("this system makes no symbolic links")
    build_wheel(checkout)
    assert (checkout / MANIFEST).readlink().as_posix() == LINK


def test_packaged_manifest_is_the_top_level_one() -> None:
    packaged = ROOT / MANIFEST
    assert packaged.read_bytes() == (ROOT / "napari.yaml").read_bytes()
    if packaged.is_symlink():
        assert packaged.readlink().as_posix() == LINK


def test_changelog_names_the_version() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.search(r"^## .*?(\d+\.\d+\.\d+)", changelog, re.MULTILINE)
    assert newest is not None
    assert newest[1] == napari_bayes_nnunet.__version__


def test_dependencies_are_the_imported_packages() -> None:
    texts = (
        *PROJECT["project"]["dependencies"],
        *PROJECT["project"]["optional-dependencies"]["archive"],
    )
    named = {re.split(r"[^\w.-]", text)[0] for text in texts}
    of_module = packages_distributions()
    imported = {
        distribution
        for file in (ROOT / PACKAGE).rglob("*.py")
        for module in imported_modules(file)
        for distribution in of_module.get(module, [])
    }
    imported = {re.sub(r"[-_.]+", "-", name).lower() for name in imported}
    assert imported - {"napari-bayes-nnunet"} == named - NOT_IMPORTED


def imported_modules(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield str(node.module).partition(".")[0]


def test_conda_recipe_has_version_and_dependencies_of_the_project() -> None:
    recipe = yaml.safe_load((ROOT / "packaging" / "recipe.yaml").read_text(encoding="utf-8"))
    needed = {
        re.sub(r"\[.*\]|;.*", "", requirement).strip().lower().replace("torch>", "pytorch>")
        for requirement in PROJECT["project"]["dependencies"]
    }
    of_conda = {r.replace(" ", "") for r in recipe["requirements"]["run"]}
    assert needed == of_conda - {"python>=${{python_min}}", "pylibjpeg-openjpeg"}
    assert recipe["context"]["version"] == napari_bayes_nnunet.__version__


def test_pre_commit_has_the_versions_of_tox() -> None:
    groups: dict[str, list[Any]] = PROJECT["dependency-groups"]
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    hooks = [hook for repo in config["repos"] for hook in repo["hooks"]]
    repeated = {name for hook in hooks for name in hook.get("additional_dependencies", [])}
    assert repeated == {*groups["lint"], *groups["manifest"]}
    assert "mypy" in {hook["entry"] for hook in hooks}
