"""The only part that imports torch and nnunetv2."""


class ModelError(Exception):
    """A trained model or a training cannot be used; the message says why."""


class Stopped(Exception):
    """The user stopped the work."""
