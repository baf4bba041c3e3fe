"""Tests that napari.yaml is valid, that its names exist, and that napari uses them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari._app_model.constants import MenuId
from napari.components import ViewerModel
from napari.errors import ReaderPluginError
from napari.layers import Image, Labels
from napari.plugins import _npe2
from npe2 import PluginManager, PluginManifest
from npe2.manifest.utils import import_python_name

from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.io.images.geometry import make_geometry
from napari_bayes_nnunet.io.images.nifti import NO_NIFTI, read_labels, read_volume, write_image

from .helpers.data.studies import make_study

NAME = "napari-bayes-nnunet"
ROOT = Path(__file__).parents[1]
GEOMETRY = make_geometry((3, 4, 5), (8, 1.5, 1.25), affine=np.diag([1.25, 1.5, 8, 1]))


@pytest.fixture(scope="module")
def manifest() -> Any:
    return PluginManifest.from_file(ROOT / "napari.yaml")


@pytest.fixture
def plugins(manifest: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[PluginManager]:
    """Return a plugin manager of napari with this plugin only."""
    manager = PluginManager()
    monkeypatch.setattr(PluginManager, "instance", lambda: manager)
    monkeypatch.setattr(_npe2.pm, "instance", lambda: manager)
    manager.register(manifest)
    yield manager
    manager.unregister(NAME)


def test_name_is_that_of_the_distribution(manifest: Any) -> None:
    assert manifest.name == NAME
    assert f'name = "{NAME}"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert manifest.display_name == "Bayesian nnU-Net"


def test_every_python_name_can_be_imported(manifest: Any) -> None:
    for command in manifest.contributions.commands:
        assert callable(import_python_name(command.python_name)), command.id


def test_contributions_use_exactly_the_commands(manifest: Any) -> None:
    given = manifest.contributions
    used = {
        contribution.command
        for kind in (given.readers, given.writers, given.sample_data, given.widgets)
        for contribution in kind
    }
    used |= {item.command for item in given.menus["napari/file/io_utilities"]}
    assert used == {command.id for command in given.commands}
    assert all(command.startswith(f"{NAME}.") for command in used)


def test_menus_accept_contributions_in_napari(manifest: Any) -> None:
    menus = manifest.contributions.menus
    assert "napari/layers/segment" in menus
    assert set(menus) <= {str(menu) for menu in MenuId.contributables()}


def test_no_keybindings_because_napari_ignores_them(manifest: Any) -> None:
    assert not manifest.contributions.keybindings


def test_the_names_of_the_docks(manifest: Any) -> None:
    names = [widget.display_name for widget in manifest.contributions.widgets]
    assert names == ["Segment", "Review", "Train", "Evaluate"]


@pytest.mark.usefixtures("plugins")
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "A.NII.GZ"])
def test_napari_opens_and_saves_through_the_plugin(tmp_path: Path, name: str) -> None:
    voxels = np.arange(1, 61, dtype=np.int16).reshape(3, 4, 5)
    write_image(tmp_path / name, voxels, GEOMETRY)
    viewer = ViewerModel()
    (layer,) = viewer.open(tmp_path / name, plugin=None)
    assert isinstance(layer, Image)
    assert layer.source.reader_plugin == NAME
    assert layer.scale == pytest.approx([8, 1.5, 1.25])
    (saved,) = viewer.layers.save(str(tmp_path / f"saved-{name}"))
    assert np.array_equal(read_volume(Path(saved)).voxels, voxels)
    assert read_volume(Path(saved)).geometry.same_grid(GEOMETRY)


@pytest.mark.usefixtures("plugins")
def test_napari_saves_labels_through_the_plugin(tmp_path: Path) -> None:
    drawn = np.full(GEOMETRY.shape, 2, np.uint8)
    viewer = ViewerModel()
    viewer.add_layer(Labels(drawn, metadata={"bayes": {"geometry": GEOMETRY}}))
    (saved,) = viewer.layers.save(str(tmp_path / "drawn.nii.gz"))
    assert np.array_equal(read_labels(Path(saved)).voxels, drawn)


@pytest.mark.usefixtures("plugins")
def test_saving_a_layer_without_geometry_is_refused(tmp_path: Path) -> None:
    viewer = ViewerModel()
    viewer.add_layer(Labels(np.ones(GEOMETRY.shape, np.uint8), name="mine"))
    with pytest.raises(DataError) as error:
        viewer.layers.save(str(tmp_path / "drawn.nii.gz"))
    assert error.value.values == {"layer": "mine"}


@pytest.mark.usefixtures("plugins")
def test_bad_file_without_window_raises_the_error(tmp_path: Path) -> None:
    (tmp_path / "a.nii").write_bytes(b"hello")
    file = tmp_path / "a.nii"
    sentence = f"DataError: {NO_NIFTI.format(file=file)}"
    with pytest.raises(ReaderPluginError, match=re.escape(sentence)):
        ViewerModel().open(file, plugin=None)


@pytest.mark.usefixtures("plugins")
def test_bad_file_in_window_adds_no_layer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari.current_viewer", ViewerModel)
    (tmp_path / "a.nii").write_bytes(b"hello")
    viewer = ViewerModel()
    assert viewer.open(tmp_path / "a.nii", plugin=None) == []
    assert len(viewer.layers) == 0


@pytest.mark.usefixtures("plugins")
def test_napari_opens_a_study_by_its_folder(tmp_path: Path) -> None:
    folder = make_study(tmp_path / "heart", phases=(1, 3))
    viewer = ViewerModel()
    layers = viewer.open(folder, plugin=None)
    assert [layer.metadata["bayes"]["role"] for layer in layers] == [
        "image",
        "entropy",
        "prediction",
        "edited",
    ]
    assert list(viewer.layers) == layers
    assert {layer.source.reader_plugin for layer in layers} == {NAME}
    assert layers[0].metadata["bayes"]["study"] == str(folder)


@pytest.mark.usefixtures("plugins")
def test_other_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ReaderPluginError, match="refused the file"):
        ViewerModel().open(tmp_path, plugin=None)


@pytest.mark.usefixtures("plugins")
@pytest.mark.parametrize(
    ("sample", "axes"), [("cine", "phase slice y x"), ("end_diastole", "slice y x")]
)
def test_napari_opens_the_samples(sample: str, axes: str) -> None:
    viewer = ViewerModel()
    (layer,) = viewer.open_sample(NAME, sample)
    assert " ".join(layer.axis_labels) == axes
    assert layer.data.shape[-3:] == (10, 192, 192)
