"""What is different between two published zoos."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from caffe2neon.publish.index import Entry
from caffe2neon.records import JSON


@dataclass(frozen=True)
class Change:
    """One model. ``before`` is None for one that was added, ``after`` for one that was removed."""

    name: str
    before: Entry | None
    after: Entry | None

    @property
    def status(self) -> str:
        """added, removed, changed, or unchanged: the same build with the same files."""
        if self.before is None:
            return "added"
        if self.after is None:
            return "removed"
        same = (self.before.build, self.before.files) == (self.after.build, self.after.files)
        return "unchanged" if same else "changed"

    @property
    def measures(self) -> tuple[str, ...]:
        """``top1``… of either."""
        found = {measure for entry in (self.before, self.after) if entry and entry.accuracy for measure in entry.accuracy}
        return tuple(sorted(found, key=lambda measure: (len(measure), measure)))

    def accuracy(self, measure: str) -> tuple[float | None, float | None]:
        """Percent, before and after; None where it was not measured."""
        before, after = ((entry.accuracy or {}).get(measure) if entry else None for entry in (self.before, self.after))
        return before, after

    @property
    def files(self) -> dict[str, tuple[str | None, str | None]]:
        """The sha256, before and after, of the files that differ."""
        before, after = (entry.files if entry else {} for entry in (self.before, self.after))
        pairs = {file: (before.get(file), after.get(file)) for file in sorted(before.keys() | after.keys())}
        return {file: pair for file, pair in pairs.items() if pair[0] != pair[1]}

    def json(self) -> JSON:
        """Each value as a pair: before, after. ``size`` is that of the ``.prm``, in bytes."""
        both = (self.before, self.after)
        return {
            "name": self.name,
            "status": self.status,
            "build": [entry.build if entry else None for entry in both],
            "size": [model_size(entry) for entry in both],
            "accuracy": {measure: list(self.accuracy(measure)) for measure in self.measures},
            "parity": [entry.parity if entry else None for entry in both],
            "files": {file: list(pair) for file, pair in self.files.items()},
        }


def model_size(entry: Entry | None) -> int | None:
    """Bytes of the ``.prm``."""
    return entry.sizes.get(f"{entry.name}.prm") if entry else None


def compare_zoos(before: Mapping[str, Entry], after: Mapping[str, Entry]) -> tuple[Change, ...]:
    """One :class:`Change` a model of either, by name, unchanged ones too."""
    return tuple(Change(name, before.get(name), after.get(name)) for name in sorted(before.keys() | after.keys()))
