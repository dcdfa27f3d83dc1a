"""For the kernels of the notebooks: a warning is shown without the path of the file that gives it."""

import warnings


def formatwarning(message: object, category: type[Warning], *_: object, **__: object) -> str:
    """Return the name of a warning and its text."""
    return f"{category.__name__}: {message}\n"


warnings.formatwarning = formatwarning
