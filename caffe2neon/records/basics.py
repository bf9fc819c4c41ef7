"""What all records are made of, and numbers as they are written."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
Shape: TypeAlias = tuple[int, ...]
JSON: TypeAlias = bool | int | float | str | list["JSON"] | dict[str, "JSON"] | None


def float32(array: Array) -> NDArray[np.float32]:
    """``array`` itself where it is float32, else a copy."""
    return np.asarray(array, dtype=np.float32)


def shortest(value: float) -> float:
    """A float32 of a prototxt as the number its author wrote: 0.1, not 0.10000000149."""
    return float(str(np.float32(value)))
