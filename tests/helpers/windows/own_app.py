"""Windows that a test opens itself, without the fixture of napari."""

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

from app_model import Application
from napari._app_model._app import NapariApplication, _napari_names
from napari._qt._qapp_model.qactions import init_qactions
from napari.plugins import _initialize_plugins

NAME = "own_app"


@contextmanager
def own_app() -> Iterator[None]:
    """Register the actions of napari and its plugins in an application of their own.

    The fixture of napari makes it register all of them again, which fails where they are known.
    """
    app = NapariApplication(NAME)
    app.injection_store.namespace = _napari_names
    _forget_what_is_registered()
    with patch.object(NapariApplication, "get_app_model", return_value=app):
        try:
            yield
        finally:
            Application.destroy(NAME)
            _forget_what_is_registered()


def _forget_what_is_registered() -> None:
    _initialize_plugins.cache_clear()
    init_qactions.cache_clear()
