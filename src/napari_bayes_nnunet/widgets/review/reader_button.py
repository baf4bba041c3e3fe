"""Button that says who reads the study, with a menu of its readers and readings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from qtpy.QtCore import QSize, Qt, Signal, SignalInstance
from qtpy.QtGui import QAction
from qtpy.QtWidgets import QMenu, QSizePolicy

from ...app.review.session import ReviewSession
from ...io.study.readings import Reading, is_blind, list_readings
from ..common.dialogs import ask_name
from ..common.eliding_button import ElidingButton

READER_HELP: Final = "Read this study under another name, or look at a finished reading."
BLIND_HELP: Final = "Hidden until your own reading of this study is finished."
CONTINUE_HELP: Final = "Continue this reader's reading, or start it from the prediction."
VIEW_HELP: Final = "Show this finished reading. It cannot be changed."
COMPARE_HELP: Final = "Compare the finished readings and the prediction of this study."
NAME_READING: Final = "Name the reader…"
OTHER_READER: Final = "Another reader…"
RENAME: Final = "Rename {name}…"
NAMING_HELP: Final = "Say whose reading this is. What was done before can no longer be undone."
RENAMING_HELP: Final = "Give all readings of this study by this reader another name."
READER_ASKED: Final = "Who reads this study now? The reading on screen is kept and hidden."
NAME_ASKED: Final = "Who reads this study?"
COMPARE: Final = "Compare readings"


class ReaderButton(ElidingButton):
    """Button with the reader's name, whose menu is made by `show_choices` when it opens.

    ``reader_chosen`` carries the name of the reader who shall read the study, ``reader_renamed``
    another name for the present one; ``ask_name`` asks for them. ``reading_chosen`` carries a
    finished reading to look at.
    """

    reader_chosen = Signal(str)
    reader_renamed = Signal(str)
    reading_chosen = Signal(object)
    compare_requested = Signal()

    def __init__(self) -> None:
        super().__init__("Reader", mode=Qt.TextElideMode.ElideRight)
        self.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
        self.setStyleSheet("padding: 0 4px")  # it stands in a line of text
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setToolTip(READER_HELP)
        self.ask_name = ask_name
        self.choices = QMenu(self)
        self.choices.setToolTipsVisible(True)
        self.setMenu(self.choices)

    def show_reader(self, session: ReviewSession) -> None:
        """Say whose reading is on screen."""
        name, viewed = session.state.reader, session.study.reading
        title = f"Reader: {name}" if name else "Reader"
        if viewed is not None:
            readings = {reading.path: reading for reading in list_readings(session.study.folder)}
            title = f"Version {readings[viewed].version}: {readings[viewed].name}"
        self.set_title(title)
        self.updateGeometry()

    def sizeHint(self) -> QSize:
        """Return the size for the text, so that a long one leaves room for the line it is in."""
        metrics = self.fontMetrics()
        width, height = metrics.horizontalAdvance(self.title), metrics.height()
        return QSize(min(width + 3 * height, 12 * height), height + 4)

    def minimumSizeHint(self) -> QSize:
        """Return the size for the word *Reader*."""
        return QSize(6 * self.fontMetrics().height(), self.sizeHint().height())

    def show_choices(self, session: ReviewSession, readings: Sequence[Reading]) -> None:
        """Offer the readers of the study and its finished readings, which may be hidden."""
        self.choices.clear()
        name, is_open = session.state.reader, session.study.reading is None
        readers = dict.fromkeys([name, *(reading.review.reader for reading in readings)])
        finished = [reading for reading in readings if reading.review.finished]
        is_hidden = not session.state.finished and is_blind(name, readings)
        others = {reading.review.reader for reading in finished if is_hidden} - {name}
        for reader in filter(None, readers):
            choose = partial(self.reader_chosen.emit, reader)
            action = self._add(reader, CONTINUE_HELP, choose, hidden=reader in others)
            action.setCheckable(True)
            action.setChecked(is_open and reader == name)
        if name:
            ask = partial(self._ask, READER_ASKED, self.reader_chosen)
            self._add(OTHER_READER, CONTINUE_HELP, ask)
        if is_open:
            ask = partial(self._ask, NAME_ASKED, self.reader_renamed)
            if name:
                self._add(RENAME.format(name=name), RENAMING_HELP, ask)
            else:
                self._add(NAME_READING, NAMING_HELP, ask)
        self.choices.addSeparator()
        for reading in finished:
            view, text = partial(self.reading_chosen.emit, reading), f"View {reading.title}"
            self._add(text, VIEW_HELP, view, hidden=reading.review.reader in others)
        if finished:
            self._add(COMPARE, COMPARE_HELP, self.compare_requested.emit, hidden=is_hidden)

    def _ask(self, question: str, chosen: SignalInstance) -> None:
        name = self.ask_name(self, question)
        if name:
            chosen.emit(name)

    def _add(
        self, text: str, help_text: str, do: Callable[[], None], *, hidden: bool = False
    ) -> QAction:
        # Qt takes a single & in a menu for the mark of a key.
        action = self.choices.addAction(text.replace("&", "&&"))
        action.setToolTip(BLIND_HELP if hidden else help_text)
        action.setEnabled(not hidden)
        action.triggered.connect(lambda _: do())
        return action
