"""Pictures of the docks Train and Review for the README.

python benchmarks/pictures.py train DATASET RUN   (an nnU-Net raw dataset, a run trained on it)
python benchmarks/pictures.py review              (the sample cine and the demo ensemble)
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import napari
from qtpy.QtCore import QEventLoop, QRect, QTimer
from qtpy.QtWidgets import QApplication, QWidget

import napari_bayes_nnunet
from napari_bayes_nnunet.app.prediction.predict import PredictionRequest, predict
from napari_bayes_nnunet.app.segmentation.ensemble import Ensemble
from napari_bayes_nnunet.sample_data import CINE
from napari_bayes_nnunet.widgets.common.settings import Settings
from napari_bayes_nnunet.widgets.reading.uncertainty_view import View
from napari_bayes_nnunet.widgets.review.dock import ReviewWidget
from napari_bayes_nnunet.widgets.training.dock import TrainingWidget

IMAGES = Path(__file__).parents[1] / "docs" / "images"
DEMO = Path(napari_bayes_nnunet.__file__).parent / "demo_ensemble"
WIDTH, PATIENCE_MS = 400, 120_000
WINDOW = (1500, 1180)


def wait_until(is_so: Callable[[], bool]) -> None:
    """Let Qt work until something holds."""
    loop, timer = QEventLoop(), QTimer()
    timer.timeout.connect(lambda: loop.quit() if is_so() else None)
    timer.start(50)
    QTimer.singleShot(PATIENCE_MS, loop.quit)
    loop.exec()
    if not is_so():
        raise click.ClickException("It took too long.")


def wait(milliseconds: int) -> None:
    """Let Qt work for a while."""
    loop = QEventLoop()
    QTimer.singleShot(milliseconds, loop.quit)
    loop.exec()


@contextmanager
def shown(make: Callable[[Any], QWidget], name: str) -> Iterator[tuple[Any, Any]]:
    """A window with one of the docks: the viewer and the dock."""
    viewer = napari.Viewer(show=True)
    viewer.window.resize(*WINDOW)
    dock = make(viewer)
    viewer.window.add_dock_widget(dock, name=name, area="right")
    yield viewer, dock
    viewer.close()


def take_all_of(dock: QWidget, name: str) -> None:
    """A picture of all that is in the dock, however long it is."""
    content = dock.layout().itemAt(0).widget().widget()
    content.setFixedWidth(WIDTH)
    QApplication.processEvents()
    height = content.layout().heightForWidth(WIDTH)
    content.grab(QRect(0, 0, WIDTH, height)).save(str(IMAGES / f"{name}.png"))


def make_study(folder: Path) -> Path:
    """The sample cine's ED and ES as a study."""
    for file in (CINE, CINE.with_name("Info.cfg")):
        shutil.copyfile(file, folder / file.name)
    request = PredictionRequest(
        images=(folder / CINE.name,),
        output=folder / "out",
        phases="ED,ES",
        save=frozenset({"study"}),
    )
    for outcome in predict(Ensemble(DEMO), request):
        if outcome.failure:
            raise click.ClickException(outcome.failure)
    (study,) = (file.parent for file in (folder / "out").glob("*/study.json"))
    return study


@click.group
def main() -> None:
    """Take the pictures in docs/images."""


@main.command
@click.argument("dataset", type=click.Path(path_type=Path, exists=True))
@click.argument("run", type=click.Path(path_type=Path, exists=True))
def train(dataset: Path, run: Path) -> None:
    """Take docs/images/train_*.png."""
    with (
        tempfile.TemporaryDirectory() as temporary,
        shown(
            lambda viewer: TrainingWidget(viewer, settings=Settings(Path(temporary) / "s.json")),
            "Train",
        ) as (_, dock),
    ):
        dock.new.data.choose(dataset)
        dock.new.schedule.choose_preset("quick")
        wait_until(lambda: dock.new.preflight.preflight is not None)
        take_all_of(dock, "train_new")
        dock.follow(run)
        wait_until(lambda: bool(dock.progress.reports))
        take_all_of(dock, "train_watch")


@main.command
def review() -> None:
    """Take docs/images/review.png."""
    with (
        tempfile.TemporaryDirectory() as temporary,
        shown(ReviewWidget, "Review") as (viewer, dock),
    ):
        dock.open(make_study(Path(temporary)))
        wait_until(lambda: dock.desk is not None)
        desk = dock.desk
        desk.accept()
        desk.outlines.set_view(View.INCLUSION)
        dock.forms.view.set_view(View.INCLUSION)
        viewer.window._qt_viewer.dockLayerControls.hide()
        wait(1500)
        viewer.screenshot(str(IMAGES / "review.png"), canvas_only=False)
        dock.close_study()


if __name__ == "__main__":
    main()
