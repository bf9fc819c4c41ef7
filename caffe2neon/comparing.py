"""What was built against what is published: which numbers moved, and which of them too far."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from caffe2neon.publish import INDEX, Change, Entry, Folder, Place, compare_zoos, read_zoo
from caffe2neon.records import ModelSpec, Shift


def shifts(specs: Sequence[ModelSpec], built: Folder, published: Place) -> tuple[Shift, ...]:
    """Numbers of the entries that differ between the two zoos, accuracies first; a zoo without an index has no models.

    Too far is an accuracy that fell by more than the entry's ``tolerance.top1``, one that is not measured any more, or a parity
    beyond the entry's ``tolerance.parity`` that was not so before.

    Raises:
        PublishError: an index is damaged, or a zoo cannot be reached.
    """
    changes = {change.name: change for change in compare_zoos(_models(published), _models(built))}
    return tuple(shift for spec in specs if spec.name in changes for shift in _of(spec, changes[spec.name]))


def _models(place: Place) -> dict[str, Entry]:
    return read_zoo(place) if place.read(INDEX) is not None else {}


def _of(spec: ModelSpec, change: Change) -> Iterator[Shift]:
    if change.before is None or change.after is None:
        return
    for measure in change.measures:
        before, after = change.accuracy(measure)
        if before != after:
            worse = before is not None and (after is None or after < before - spec.tolerance.top1)
            yield Shift(spec.name, measure, before, after, worse)
    before, after = _number(change.before.parity), _number(change.after.parity)
    if before != after:
        limit = spec.tolerance.parity
        worse = before is not None and before <= limit and (after is None or not after <= limit)
        yield Shift(spec.name, "parity", before, after, worse)


def _number(value: object) -> float | None:
    """An error as the index has it: NaN and infinity are words there."""
    return None if value is None else float(str(value))
