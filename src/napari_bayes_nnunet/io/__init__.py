"""Files and folders: images, datasets and ensembles. Imports no torch and no GUI."""


class DataError(Exception):
    """A file or folder cannot be used; the message says what was expected and what was found."""
