"""Line of fixed height for messages."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFrame, QVBoxLayout

from .dock import MessageLabel
from .eliding_button import ElidingButton
from .levels import Level, Themed, level_color

MORE_MESSAGES = "{text} …"
"""Text of the line if a click shows further messages, as if it is cut off."""
_STYLE = """
QPushButton {{ text-align: left; border: 0; background: transparent; {color} }}
QPushButton:hover, QPushButton:focus {{ text-decoration: underline; }}
"""


class MessageLine(Themed, ElidingButton):
    """Line for the latest message, which never changes its height; a click shows all messages.

    `show_message` sets the current message. `keep` sets a notice that stays until it is replaced
    and is shown while there is no message.
    """

    def __init__(self, message: str = "") -> None:
        self._message: tuple[str, Level] = (message, "fine")
        self._notices: dict[str, tuple[str, Level]] = {}
        self._is_styling = False
        super().__init__("", mode=Qt.TextElideMode.ElideRight)
        self.panel: QFrame | None = None
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setAccessibleName("Messages")
        self.clicked.connect(self.unfold)
        self.take_theme()

    @property
    def message(self) -> str:
        """The whole current message."""
        return self._message[0]

    def notice(self, name: str) -> str:
        """Return the notice ``name``, "" if there is none."""
        return self._notices.get(name, ("", "fine"))[0]

    def show_message(self, text: str, level: Level = "fine") -> None:
        """Show ``text`` in place of the previous message; "" removes it."""
        if (text, level) != self._message:
            self._message = text, level
            self.take_theme()

    def keep(self, name: str, text: str, level: Level = "warning") -> None:
        """Set the notice ``name``; "" removes it."""
        if (text, level) != self._notices.get(name):
            self._notices[name] = text, level
            self.take_theme()

    def unfold(self) -> None:
        """Show all messages in full above the line, until a click elsewhere."""
        if not self._texts():
            return
        if self.panel is not None:
            self.panel.deleteLater()
        self.panel = QFrame(self, Qt.WindowType.Popup)
        self.panel.setFrameShape(QFrame.Shape.StyledPanel)
        column = QVBoxLayout(self.panel)
        for text, level in self._texts():
            column.addWidget(MessageLabel(text, level=level))
        self.panel.setFixedWidth(self.width())
        self.panel.setFixedHeight(column.totalHeightForWidth(self.width()))
        corner = self.mapToGlobal(self.rect().topLeft())
        self.panel.move(corner.x(), corner.y() - self.panel.height())
        self.panel.show()

    def _texts(self) -> list[tuple[str, Level]]:
        """Return message and notices with their levels, the one on the line first."""
        return [(text, level) for text, level in (self._message, *self._notices.values()) if text]

    def take_theme(self) -> None:
        """Show message and notices in the colour of the level, shortened in the font in use."""
        if self._is_styling:
            return
        self._is_styling = True  # setting a style emits another change
        texts = self._texts()
        text, level = texts[0] if texts else ("", "fine")
        color = level_color(level, self)
        style = _STYLE.format(color=f"color: {color};" if color else "")
        if style != self.styleSheet():
            self.setStyleSheet(style)
        title = " ".join(text.split())
        self.set_title(MORE_MESSAGES.format(text=title) if len(texts) > 1 else title)
        self.setToolTip("\n\n".join(text for text, _ in texts))
        self._is_styling = False
