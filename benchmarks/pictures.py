"""Screenshots of the docks for the README and the tutorials.

python benchmarks/pictures.py all DATASET RUN     (all pictures of docs/images)
python benchmarks/pictures.py segment             (the sample cine and the demo ensemble)
python benchmarks/pictures.py review              (the sample cine as a study)
python benchmarks/pictures.py train DATASET RUN   (an nnU-Net raw dataset, a run trained on it)
python benchmarks/pictures.py evaluate DATASET    (validation cases of ACDC, the demo ensemble)

Without a screen: xvfb-run -a -s "-screen 0 1600x1300x24" python benchmarks/pictures.py …
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import click
import napari
from qtpy.QtCore import QEventLoop, QRect, QTimer
from qtpy.QtWidgets import QApplication, QWidget

import napari_bayes_nnunet
from napari_bayes_nnunet.app.prediction.predict import predict
from napari_bayes_nnunet.app.prediction.request import PredictionRequest
from napari_bayes_nnunet.app.segmentation.ensemble import Ensemble
from napari_bayes_nnunet.app.segmentation.settings import SegmentationSettings
from napari_bayes_nnunet.sample_data import CINE
from napari_bayes_nnunet.widgets.common.settings import Settings
from napari_bayes_nnunet.widgets.evaluation.dock import EvaluationWidget
from napari_bayes_nnunet.widgets.layers.viewing import shown_plane, zoom_to_area
from napari_bayes_nnunet.widgets.review.dock import ReviewWidget
from napari_bayes_nnunet.widgets.segment.demo import run_demo
from napari_bayes_nnunet.widgets.segment.dock import SegmentWidget
from napari_bayes_nnunet.widgets.training.dock import TrainingWidget

DEMO = Path(napari_bayes_nnunet.__file__).parent / "demo_ensemble"
SPLIT = Path(__file__).parent / "acdc_splits_final.json"
WIDTH, TIMEOUT_MS, DRAWN_AFTER_MS = 400, 900_000, 1500
WINDOW = (1500, 1180)
EVALUATED_CASES = 8

images_folder = Path(__file__).parents[1] / "docs" / "images"


def wait_until(condition: Callable[[], bool]) -> None:
    """Process Qt events until a condition is true."""
    loop, timer, limit = QEventLoop(), QTimer(), QTimer()
    timer.timeout.connect(lambda: loop.quit() if condition() else None)
    timer.start(50)
    limit.setSingleShot(True)
    limit.timeout.connect(loop.quit)
    limit.start(TIMEOUT_MS)
    loop.exec()
    if not condition():
        raise click.ClickException(f"Timed out after {TIMEOUT_MS // 1000} s.")


def wait(milliseconds: int) -> None:
    """Process Qt events for some time."""
    loop = QEventLoop()
    QTimer.singleShot(milliseconds, loop.quit)
    loop.exec()


def picture(name: str) -> str:
    """Return the path of a picture."""
    return str(images_folder / f"{name}.png")


@contextmanager
def shown(make: Callable[[Any], QWidget], name: str) -> Iterator[tuple[Any, Any]]:
    """Show a window with one of the docks, and yield the viewer and the dock."""
    viewer = napari.Viewer(show=True)
    viewer.window.resize(*WINDOW)
    dock = make(viewer)
    viewer.window.add_dock_widget(dock, name=name, area="right")
    yield viewer, dock
    viewer.close()


@contextmanager
def temporary_settings() -> Iterator[Settings]:
    """Yield temporary settings, so that no earlier choice appears in a picture."""
    with tempfile.TemporaryDirectory() as folder:
        yield Settings(Path(folder) / "settings.json")


def take_whole_dock(dock: QWidget, name: str) -> None:
    """Take a picture of the whole dock, including what would need scrolling."""
    content = dock.layout().itemAt(0).widget().widget()
    content.setFixedWidth(WIDTH)
    wait(DRAWN_AFTER_MS)  # parts whose height follows the width are laid out again
    height = content.layout().heightForWidth(WIDTH)
    content.grab(QRect(0, 0, WIDTH, height)).save(picture(name))


def take_part(part: QWidget, name: str) -> None:
    """Take a picture of one part of a dock."""
    QApplication.processEvents()
    part.grab().save(picture(name))


def write_predictions(request: PredictionRequest) -> None:
    """Segment with the demo ensemble. Raises ClickException if a case fails."""
    for outcome in predict(Ensemble(DEMO), request):
        if outcome.failure:
            raise click.ClickException(outcome.failure)


def make_study(folder: Path) -> Path:
    """Make a study of the sample cine's ED and ES."""
    for file in (CINE, CINE.with_name("Info.cfg")):
        shutil.copyfile(file, folder / file.name)
    request = PredictionRequest(
        images=(folder / CINE.name,),
        output=folder / "out",
        phases="ED,ES",
        save=frozenset({"study"}),
    )
    write_predictions(request)
    (study,) = (file.parent for file in (folder / "out").glob("*/study.json"))
    return study


@click.group
@click.option(
    "--output", type=click.Path(path_type=Path), help="Output folder. Default: docs/images."
)
def main(output: Path | None) -> None:
    """Take the pictures in docs/images."""
    global images_folder
    images_folder = (output or images_folder).absolute()
    images_folder.mkdir(parents=True, exist_ok=True)


@main.command
def segment() -> None:
    """Take demo.png and segment.png."""
    with temporary_settings() as settings:
        run_demo(
            images_folder / "demo.png",
            make_dock=partial(_make_pictured_dock, settings=settings),
            make_review=partial(ReviewWidget, settings=settings),
        )


def _make_pictured_dock(viewer: Any, *, settings: Settings) -> SegmentWidget:
    """Return the dock of the demo; its picture is taken after the last member."""
    dock = SegmentWidget(viewer, settings=settings)

    def take(outcome: str, _: str) -> None:
        if outcome == "finished":
            QTimer.singleShot(0, lambda: take_part(dock, "segment"))

    dock.job.ended.connect(take)
    return dock


@main.command
@click.argument("dataset", type=click.Path(path_type=Path, exists=True))
@click.argument("run", type=click.Path(path_type=Path, exists=True))
def train(dataset: Path, run: Path) -> None:
    """Take train_new.png and train_watch.png."""
    with (
        temporary_settings() as settings,
        shown(lambda viewer: TrainingWidget(viewer, settings=settings), "Train") as (_, dock),
    ):
        dock.new.data.choose(dataset)
        dock.new.schedule.choose_preset("quick")
        check = dock.new.preflight
        wait_until(lambda: check.preflight is not None and bool(check.structures.names))
        wait_until(lambda: check.devices.count() > 1)
        take_whole_dock(dock, "train_new")
        dock.follow(run)
        wait_until(lambda: bool(dock.progress.reports))
        take_whole_dock(dock, "train_watch")


@main.command
def review() -> None:
    """Take the pictures review*.png."""
    with (
        tempfile.TemporaryDirectory() as temporary,
        temporary_settings() as settings,
        shown(lambda viewer: ReviewWidget(viewer, settings=settings), "Review") as (viewer, dock),
    ):
        dock.open(make_study(Path(temporary)))
        wait_until(lambda: dock.controller is not None and not dock.is_opening)
        controller = dock.controller
        controller.accept()
        dock.reading_button.click()
        wait(DRAWN_AFTER_MS)
        edited = controller.picture.edited
        zoom_to_area(viewer, edited, edited.data[shown_plane(viewer, edited)] > 0)
        wait_until(lambda: not dock.forms.thumbnails.is_drawing)
        wait(DRAWN_AFTER_MS)
        viewer.screenshot(picture("review"), canvas_only=False)
        controller.step_alternative(1)
        wait(DRAWN_AFTER_MS)
        viewer.screenshot(picture("review_answer"))
        take_part(dock.forms.corrections, "review_correct")
        controller.corrections.accept_preview()  # so that predicted values differ
        wait(DRAWN_AFTER_MS)
        wait_until(lambda: not dock.forms.numbers.numbers.highlighted)
        for section in dock.forms.sections.values():
            section.expand()
        take_part(dock.forms.numbers, "review_numbers")
        take_part(dock.forms.export, "review_export")
        dock.close_study()


@main.command
@click.argument("dataset", type=click.Path(path_type=Path, exists=True))
def evaluate(dataset: Path) -> None:
    """Take evaluate.png, which compares two methods on validation cases of the demo ensemble."""
    cases = json.loads(SPLIT.read_text(encoding="utf-8"))[0]["val"][:EVALUATED_CASES]
    files = tuple(dataset.absolute() / "imagesTr" / f"{case}_0000.nii.gz" for case in cases)
    with tempfile.TemporaryDirectory() as temporary, chdir(temporary):
        for method in ("multi", "vanilla"):
            request = PredictionRequest(
                images=files,
                output=Path(method),
                settings=SegmentationSettings(method=method, mirroring="none"),
                save=frozenset({"probabilities", "entropy", "mutual-information"}),
            )
            write_predictions(request)
        os.symlink(dataset.absolute() / "labelsTr", "labelsTr")
        with (
            temporary_settings() as settings,
            shown(lambda v: EvaluationWidget(v, settings=settings), "Evaluate") as (_, dock),
        ):
            dock.form.methods.set_methods([("", Path("multi")), ("", Path("vanilla"))])
            dock.form.labels.choose(Path("labelsTr"))
            dock.form.report.choose(Path("report"))
            wait_until(lambda: dock.preview is not None)
            dock.evaluate()
            wait_until(lambda: dock.results.outcome is not None)
            wait(DRAWN_AFTER_MS)
            take_whole_dock(dock, "evaluate")


@main.command("all")
@click.argument("dataset", type=click.Path(path_type=Path, exists=True))
@click.argument("run", type=click.Path(path_type=Path, exists=True))
@click.pass_context
def take_all(context: click.Context, dataset: Path, run: Path) -> None:
    """Take every picture."""
    context.invoke(train, dataset=dataset, run=run)
    context.invoke(review)
    context.invoke(evaluate, dataset=dataset)
    context.invoke(segment)  # last, because napari's event loop ends with its window


if __name__ == "__main__":
    main()
