"""Picture of the command ``demo``: ``python -m benchmarks.pictures.demo FILE``."""

import sys
from functools import partial
from typing import Any

from qtpy.QtCore import QTimer

from napari_bayes_nnunet.widgets.review.dock import ReviewWidget
from napari_bayes_nnunet.widgets.segment.demo import run_demo

DRAWN_AFTER_MS = 4000  # with layers and thumbnails


def picture_demo(file: str) -> None:
    """Run the demo until its review is open, write a picture of the window, and close it."""
    show = ReviewWidget.show_guide

    def take(viewer: Any) -> None:
        viewer.screenshot(file, canvas_only=False)
        viewer.close()

    def show_and_take(dock: Any, text: str) -> None:
        show(dock, text)
        QTimer.singleShot(DRAWN_AFTER_MS, partial(take, dock._viewer))

    ReviewWidget.show_guide = show_and_take  # type: ignore[method-assign]
    run_demo()


if __name__ == "__main__":
    picture_demo(sys.argv[1])
