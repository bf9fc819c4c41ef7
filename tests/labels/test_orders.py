"""The built-in orders, and what makes a label map."""

from __future__ import annotations

import numpy as np
import pytest

from caffe2neon.errors import LabelError
from caffe2neon.labels import CAFFE, NEON, LabelMap, builtin_map, class_order
from caffe2neon.labels.orders import map_between, parse_synsets
from caffe2neon.records import Array
from tests.conftest import shared
from tests.labels.models import model, sequential


def test_built_in_map_begins_as_published() -> None:
    assert builtin_map().array[:6].tolist() == [278, 212, 250, 193, 217, 147]


def test_built_in_map_takes_caffes_list_to_the_devkits() -> None:
    caffe = shared("labels", "ilsvrc12_caffe_order.txt").read_text().split()
    devkit = shared("labels", "ilsvrc12_devkit_order.txt").read_text().split()
    assert [caffe[i] for i in builtin_map().array] == devkit


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.arange(999), "1000 integers in one row, not an array of shape (999,)"),
        (np.arange(1000).reshape(1000, 1), "not an array of shape (1000, 1)"),
        (np.arange(1000.0), "integers, not float64"),
        (np.arange(1, 1001), "has 1000"),
        (np.arange(1000) - 1, "has -1"),
        (np.r_[np.arange(999), 7], "has 7 2 times"),
    ],
    ids=["too short", "two axes", "floats", "from 1 on", "negative", "repetition"],
)
def test_what_is_no_permutation_is_refused(array: Array, message: str) -> None:
    with pytest.raises(LabelError) as error:
        LabelMap(array)
    assert message in error.value.message


def test_a_map_cannot_be_changed_from_outside() -> None:
    given = np.arange(1000)
    order = LabelMap(given)
    given[0] = 5
    assert order.array[0] == 0
    with pytest.raises(ValueError, match="read-only"):
        order.array[0] = 5


def _synsets(count: int = 1000) -> list[str]:
    return [f"n{i:08d}" for i in range(count)]


def test_synsets_may_have_words_behind_them() -> None:
    assert parse_synsets("".join(f"{s} a fish, a bird\n" for s in _synsets())) == _synsets()


@pytest.mark.parametrize(
    ("lines", "message", "line"),
    [
        ([*_synsets(999), "n123"], "'n123' is no WordNet id", 1000),
        (["<!DOCTYPE html>"], "'<!DOCTYPE' is no WordNet id", 1),
        ([*_synsets(999), "n00000004"], "n00000004 stands in line 5 already", 1000),
        (_synsets(999), "lists 999 classes, not 1000", 0),
        ([], "lists 0 classes", 0),
    ],
    ids=["bad id", "page", "repetition", "too few", "empty"],
)
def test_bad_lists_of_synsets(lines: list[str], message: str, line: int) -> None:
    with pytest.raises(LabelError) as error:
        parse_synsets("\n".join(lines))
    assert message in error.value.message
    assert error.value.where.line == line


def test_orders_of_other_classes_are_refused() -> None:
    with pytest.raises(LabelError, match="the first is n99999999"):
        map_between(_synsets(), [*_synsets(999), "n99999999"])


@pytest.mark.parametrize(
    ("meta", "order"),
    [(None, ""), ({}, ""), ({"class_order": NEON}, NEON), ({"class_order": CAFFE}, CAFFE), ({"class_order": 5}, "")],
)
def test_class_order_of_a_model(meta: dict[str, object] | None, order: str) -> None:
    assert class_order(model(sequential(), meta)) == order
