"""Where a bug is, though it shows in another process."""

from __future__ import annotations

import traceback
from pathlib import Path


class ElsewhereError(Exception):
    """The cause of an error that was raised in another process: ``place`` there, and as text the way to it."""

    def __init__(self, place: str, way: str) -> None:
        super().__init__(place, way)
        self.place = place
        self.way = way

    def __str__(self) -> str:
        return f"in another process\n\n{self.way}"


def place_of(error: Exception) -> str:
    """The file and line that raised it, "measure.py:12", in whatever process that was."""
    if isinstance(error.__cause__, ElsewhereError):
        return error.__cause__.place
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{Path(last.filename).name}:{last.lineno}"


def way_of(error: Exception) -> str:
    """The traceback, as Python prints it."""
    return "".join(traceback.format_exception(type(error), error, error.__traceback__))
