"""The two orders of the 1000 classes of ILSVRC12, and the map between them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from caffe2neon.errors import LabelError
from caffe2neon.records import Array, NeonModel

#: Names of the orders. Caffe's is that of the sorted WordNet ids; neon's that of the devkit (``ILSVRC2012_ID`` 1..1000).
CAFFE, NEON = "caffe", "neon"

CLASSES = 1000

_SYNSET = re.compile(r"n\d{8}")


@dataclass(frozen=True, eq=False)
class LabelMap:
    """``array[i]`` is Caffe's index of neon's class ``i``: int64, (1000,), read-only; neon's row ``i`` is Caffe's row ``array[i]``.

    Raises:
        LabelError: the array is no permutation of 0..999.
    """

    array: Array

    def __post_init__(self) -> None:
        given = np.asarray(self.array)
        if given.dtype.kind not in "iu":
            raise LabelError(f"a label map holds integers, not {given.dtype}")
        if given.shape != (CLASSES,):
            raise LabelError(f"a label map holds {CLASSES} integers in one row, not an array of shape {given.shape}")
        if not np.array_equal(np.sort(given), np.arange(CLASSES)):
            raise LabelError(f"a label map holds each of 0..{CLASSES - 1} once; this one {_first_flaw(given)}")
        array = given.astype(np.int64)
        array.flags.writeable = False
        object.__setattr__(self, "array", array)


def _first_flaw(values: Array) -> str:
    outside = values[(values < 0) | (values >= CLASSES)]
    if len(outside):
        return f"has {outside[0]}"
    found, counts = np.unique(values, return_counts=True)
    return f"has {found[counts.argmax()]} {counts.max()} times"


@cache
def builtin_map() -> LabelMap:
    """The map of ILSVRC12; begins 278, 212, 250."""
    devkit = parse_synsets(Path(__file__).with_name("ilsvrc12_devkit_order.txt").read_text(encoding="ascii"))
    return map_between(sorted(devkit), devkit)


def map_between(caffe: Sequence[str], neon: Sequence[str]) -> LabelMap:
    """The map between two orders of the same WordNet ids, each without repetitions.

    Raises:
        LabelError: the ids are not the same.
    """
    index = {synset: i for i, synset in enumerate(caffe)}
    if missing := [synset for synset in neon if synset not in index]:
        raise LabelError(f"{len(missing)} classes of the one order are not in the other; the first is {missing[0]}")
    return LabelMap(np.array([index[synset] for synset in neon]))


def parse_synsets(text: str) -> list[str]:
    """The WordNet id at the start of each line, as Caffe's ``synsets.txt`` (and ``synset_words.txt``) list them.

    Raises:
        LabelError: a line is something else, an id returns, or there are not 1000; the place is in its ``line``.
    """
    lines: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        synset = line.split()[0]
        if not _SYNSET.fullmatch(synset):
            raise LabelError(f"{synset[:40]!r} is no WordNet id such as n01440764", line=number)
        if synset in lines:
            raise LabelError(f"{synset} stands in line {lines[synset]} already", line=number)
        lines[synset] = number
    if len(lines) != CLASSES:
        raise LabelError(f"lists {len(lines)} classes, not {CLASSES}")
    return list(lines)


def class_order(model: NeonModel) -> str:
    """The order a model records for its classes: :data:`CAFFE`, :data:`NEON`, or "" where it says nothing."""
    order = model.meta.get("class_order", "")
    return order if order in (CAFFE, NEON) else ""
