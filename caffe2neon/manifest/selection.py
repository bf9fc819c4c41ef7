"""Which entries a command means."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from caffe2neon.errors import UsageError
from caffe2neon.manifest.section import nearest
from caffe2neon.records import Manifest, ModelSpec


def select(manifest: Manifest, patterns: Sequence[str] = (), groups: Sequence[str] = ()) -> tuple[ModelSpec, ...]:
    """The entries that any pattern (a name or a glob) or any group names, once each, in the manifest's order.

    All entries, if neither is given.

    Raises:
        UsageError: a pattern or a group fits no entry; all such are listed, with the nearest names.
    """
    if not patterns and not groups:
        return manifest.models
    names = [model.name for model in manifest.models]
    known_groups = sorted({group for model in manifest.models for group in model.groups})
    problems = [
        f"no entry {'matches' if _is_glob(pattern) else 'is named'} {pattern!r}{nearest(pattern, names, count=3)}"
        for pattern in patterns
        if not any(fnmatchcase(name, pattern) for name in names)
    ]
    problems += [
        f"no group is named {group!r}{nearest(group, known_groups) or _list(known_groups)}"
        for group in groups
        if group not in known_groups
    ]
    if problems:
        remedy = "'caffe2neon zoo list' shows all entries and their groups"
        raise UsageError("\n  ".join(problems), path=str(manifest.path), remedy=remedy)
    return tuple(
        model
        for model in manifest.models
        if any(fnmatchcase(model.name, pattern) for pattern in patterns) or any(group in model.groups for group in groups)
    )


def _is_glob(pattern: str) -> bool:
    return any(character in pattern for character in "*?[")


def _list(groups: Sequence[str]) -> str:
    return f"; there are {', '.join(groups)}" if groups else "; there are none"
