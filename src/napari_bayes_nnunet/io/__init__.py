"""Files and folders: images, datasets and ensembles. Imports no torch and no GUI."""

from ..core.problems import Problem


class DataError(Problem):
    """Error for a file or folder that cannot be used."""
