"""Work with an archive in a thread, with a login where the archive wants one."""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from qtpy.QtWidgets import QWidget

from ...io import DataError
from ...io.known_archives import KnownArchive, check_client
from ..common.long_work import LongWork
from ..common.wording import in_the_window
from .archive_form import LoginDialog

if TYPE_CHECKING:  # dicomweb-client, which is optional
    from ...io.archive import Archive

Login: TypeAlias = tuple[str, str]
ArchiveSteps: TypeAlias = Callable[["Archive"], Any]
"""Function that returns its result, or a generator that yields (done, total) and returns it."""


def ask_login(name: str, sentence: str, parent: QWidget) -> tuple[Login, bool] | None:
    """Ask for a login; return None if the user gives none."""
    dialog = LoginDialog(name, sentence, parent)
    return (dialog.login, dialog.keeps.isChecked()) if dialog.is_agreed() else None


class ArchiveWork(LongWork):
    """Runner of one piece of work with an archive at a time.

    If the archive refuses the known login, the user is asked for one, which is kept in the keyring
    if the user wants that, and in any case until ``window`` is closed.
    """

    def __init__(self, window: QWidget) -> None:
        super().__init__(window)
        self._window = window
        self._logins: dict[str, Login] = {}

    def talk(
        self,
        known: KnownArchive,
        steps: ArchiveSteps,
        on_result: Callable[[Any], None],
        on_error: Callable[[str], None],
        *,
        keeps: bool = False,
    ) -> None:
        """Connect and take the ``steps``, then call ``on_result`` or ``on_error``."""
        work = partial(_steps_with, known, self._logins.get(known.name), keeps, steps)

        def on_end(result: Any) -> None:
            if not isinstance(result, DataError):
                on_result(result)
                return
            sentence = in_the_window(result)
            given = ask_login(known.name, sentence, self._window)
            if given is None:
                on_error(sentence)
            else:
                self._logins[known.name], keep = given
                self.talk(known, steps, on_result, on_error, keeps=keep)

        self.start(work, on_end, on_error)


def _steps_with(
    known: KnownArchive, login: Login | None, keeps: bool, steps: ArchiveSteps
) -> Generator[Any, None, Any]:
    """Yield the steps and return their result, or the error of an archive that refuses the user."""
    check_client()
    from ...io.archive import LoginRefusedError, connect_archive, keep_login

    yield 0, 0
    try:
        archive = connect_archive(known, login)
    except LoginRefusedError as error:
        return error
    # Only a login that the archive has accepted is kept.
    if keeps and login is not None:
        keep_login(known, login)
    result = steps(archive)
    return (yield from result) if isinstance(result, Generator) else result
