"""Picture of the command ``demo``: ``python -m benchmarks.pictures.demo FILE``."""

import sys
from typing import Any

from qtpy.QtCore import QTimer

from napari_bayes_nnunet.widgets.review.dock import ReviewWidget
from napari_bayes_nnunet.widgets.segment.demo import run_demo

DRAWN_AFTER_MS = 4000
"""Layers and thumbnails are drawn by then."""


def picture_demo(file: str) -> None:
    """Run the demo until its review is open, write a picture of the window, and close it."""
    show = ReviewWidget.show_guide

    def show_and_take(dock: Any, text: str) -> None:
        def take() -> None:
            dock._viewer.screenshot(file, canvas_only=False)
            dock._viewer.close()

        show(dock, text)
        QTimer.singleShot(DRAWN_AFTER_MS, take)

    ReviewWidget.show_guide = show_and_take  # type: ignore[method-assign]
    run_demo()


if __name__ == "__main__":
    picture_demo(sys.argv[1])
