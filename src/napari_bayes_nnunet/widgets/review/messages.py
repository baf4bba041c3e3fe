"""Messages of the Review dock: a line, the state of saving, and a notice on the canvas."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from qtpy.QtCore import QObject

from ...app.review.report_numbers import OF_SITE
from ..common.dock import MessageLabel
from ..common.message_line import MessageLine
from ..layers.captions import CanvasNotice
from ..reading.picture import OpenedStudy
from .controller import ReviewController

PROBLEMS, SCORE = "problems", "score"
"""Names of the notices that stay on the line."""
NO_STUDY: Final = (
    "Open a study, or drop its folder here. To make a study, press Review… in the Segment dock."
)
UNSAVED, VIEWED_ONLY = "Not saved", "Read-only"
CHANGED: Final = "Unsaved changes"


class ReviewMessages(QObject):
    """Messages to the reader, who sees them on the ``line``, and in ``hint`` without a study.

    ``saved`` shows whether there are changes to save, ``notice`` what the reader must not miss.
    """

    def __init__(self, viewer: Any, parent: QObject) -> None:
        super().__init__(parent)
        self.line = MessageLine(NO_STUDY)
        self.hint = MessageLabel(NO_STUDY)
        self.saved = MessageLabel()
        self.saved.setWordWrap(False)
        self.notice = CanvasNotice(viewer, self)
        self._is_open = False
        self._reported = ""
        self._found: list[str] = []

    def show(self, message: str) -> None:
        """Show a message on the line, or in full while no study is open."""
        self.line.show_message(message)
        self.hint.show_message("" if self._is_open else message)

    def ask(self, message: str) -> None:
        """Show a message that asks for something, also on the canvas."""
        self.show(message)
        self.notice.show(message)

    def connect_study(self, controller: ReviewController) -> None:
        """Show the messages of an open study from now on."""
        self._is_open = True
        controller.said.connect(self.ask)
        controller.reported.connect(self._report)
        controller.corrections.changed.connect(self._on_corrected)
        controller.saver.changed.connect(self._on_changed)
        controller.saver.saved.connect(self._on_saved)
        controller.saver.failed.connect(self._on_not_saved)
        controller.saver.other_found.connect(self._add_problem)
        controller.forms.export.reported.connect(self.show)
        controller.forms.queue.noted.connect(partial(self.line.keep, SCORE))

    def show_study(self, opened: OpenedStudy, *, read_only: bool) -> None:
        """Show the problems that were found when a study was opened."""
        info = opened.session.study.info
        self.show(self.line.message)
        site = opened.session.site
        sentences = (*opened.problems, *info.warnings, *opened.session.number_warnings())
        sentences = (*sentences, OF_SITE.format(site=site)) if site else sentences
        self.line.keep(PROBLEMS, "\n".join(filter(None, sentences)))
        if info.lacking:
            self.notice.show(info.lacking)
        if read_only:
            self.saved.show_message(VIEWED_ONLY, "warning")

    def end_study(self, message: str) -> None:
        """Show that no study is open, and the problems found while the last one was."""
        self._is_open = False
        self.saved.show_message("", "fine")
        self.notice.hide()
        for name in (PROBLEMS, SCORE, UNSAVED):
            self.line.keep(name, "")
        self.show("\n".join([*self._found, message]))
        self._found = []

    def _report(self, message: str) -> None:
        """Show a message about the previous slice until the reader does something else."""
        self._reported = message
        self.show(message)

    def _on_corrected(self) -> None:
        if self._reported and self.line.message == self._reported:
            self.show("")
        self._reported = ""

    def _add_problem(self, problem: str) -> None:
        """Add a problem to those found when the study was opened, and show it on the canvas."""
        problems = (self.line.notice(PROBLEMS), problem)
        self.line.keep(PROBLEMS, "\n".join(filter(None, problems)))
        self.notice.show(problem)
        self._found.append(problem)  # shown again at closing, which may have found it

    def _on_changed(self) -> None:
        """Show at once that there are changes to save, unless saving has failed."""
        if not self.line.notice(UNSAVED):
            self.saved.show_message(CHANGED)

    def _on_saved(self, message: str) -> None:
        """Show the time of the save, and keep other messages."""
        self.saved.show_message(message, "fine")
        self.line.keep(UNSAVED, "")

    def _on_not_saved(self, message: str) -> None:
        """Show that saving failed until it succeeds."""
        self.saved.show_message(UNSAVED, "warning")
        self.line.keep(UNSAVED, message)
        self.notice.show(message)
