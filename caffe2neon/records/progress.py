"""How those who work tell how far they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

#: Told how far a long step is: what it does ("download x.caffemodel"), how much is done, and of how much (None: not known).
Progress: TypeAlias = Callable[[str, int, int | None], None]


def no_progress(what: str, done: int, total: int | None) -> None:
    """A :data:`Progress` that tells nobody."""


@dataclass(frozen=True)
class Event:
    """Something happened to an entry that is being built.

    ``state``: start, progress or end, of ``stage``; ``ok`` is false where it ended in failure. What makes progress is called
    ``step`` ("download x.caffemodel"); ``done`` of ``total`` (None: not known) is in bytes, of an evaluation in examples.
    """

    model: str
    stage: str
    state: str
    step: str = ""
    done: int = 0
    total: int | None = None
    ok: bool = True


#: Told what happens while entries are built.
Report: TypeAlias = Callable[[Event], None]


def no_report(event: Event) -> None:
    """A :data:`Report` that tells nobody."""
