"""``python -m napari_bayes_nnunet`` is the command ``bayes-nnunet``."""

from .cli import main

if __name__ == "__main__":
    main()
