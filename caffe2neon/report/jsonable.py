"""Records as JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

from caffe2neon.records import JSON


def to_json(value: Any, root: Path | None = None) -> JSON:
    """A record (or a mapping, a list, a plain value) as JSON.

    Records become objects with a key per field, and one per property (``Parity``: ``worst``, ``passed``, ``first``); keys of
    mappings become text (``topk``: ``"1"``, ``"5"``). JSON has no NaN and no infinity: they become the texts ``"NaN"``,
    ``"Infinity"``, ``"-Infinity"``. A path becomes relative to ``root``; one that is not below it keeps its last part alone, so
    that no folder of this machine shows.

    Raises:
        TypeError: a value that has no form in JSON, such as an array.
    """
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, np.generic):
        return to_json(value.item(), root)
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else _name(value)
    if isinstance(value, Path):
        return _relative(value, root)
    if is_dataclass(value):
        properties = [name for name, member in vars(type(value)).items() if isinstance(member, property)]
        return {name: to_json(getattr(value, name), root) for name in (*(field.name for field in fields(value)), *properties)}
    if isinstance(value, Mapping):
        return {str(key): to_json(item, root) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(item, root) for item in value]
    raise TypeError(f"no JSON for {type(value).__name__}")


def _name(number: float) -> str:
    if math.isnan(number):
        return "NaN"
    return "Infinity" if number > 0 else "-Infinity"


def _relative(path: Path, root: Path | None) -> str:
    if root is not None and path.is_relative_to(root):
        return path.relative_to(root).as_posix()
    return path.name if path.is_absolute() else path.as_posix()
