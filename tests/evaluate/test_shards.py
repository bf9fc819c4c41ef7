"""Parts against the whole, and pictures that are left out."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caffe2neon.errors import DataError, PictureError, UsageError
from caffe2neon.evaluate import count, open_dataset, shards, total
from caffe2neon.evaluate.shards import BATCH
from caffe2neon.records import Array, Counts, DatasetSpec, Preprocess, TopK
from tests.evaluate.helpers import FakeDataset, FakeEngine, evaluate, picture, save, write_list

COUNT, CLASSES = 70, 7
WEIGHTS = np.random.Generator(np.random.PCG64(5)).standard_normal((12, CLASSES)).astype(np.float32)
PICTURES = [picture(number, 2, 2) for number in range(COUNT)]
LABELS = [number * 5 % CLASSES for number in range(COUNT)]


def linear(x: Array) -> Mapping[str, Array]:
    return {"prob": x.reshape(len(x), -1) @ WEIGHTS}


@dataclass
class Damaged(FakeDataset):
    """Some of the pictures cannot be read."""

    bad: frozenset[int] = frozenset()

    def picture(self, index: int, channel_order: str) -> Array:
        if index in self.bad:
            raise PictureError(f"the picture '{index}.jpg' is empty")
        return super().picture(index, channel_order)


def counted(dataset: FakeDataset, part: range, *, skip_bad: bool = True, batch: int = BATCH) -> Counts:
    return count(
        FakeEngine(linear), dataset, Preprocess(), model_order="", topk=(1, 3), part=part, skip_bad=skip_bad, batch=batch, workers=2
    )


# ---- cutting ----


@given(st.integers(1, 2000), st.integers(1, 40), st.integers(1, 64))
def test_shards_cover_everything_once(examples: int, parts: int, batch: int) -> None:
    cut = shards(examples, parts, cut=batch)
    assert [index for part in cut for index in part] == list(range(examples))
    assert len(cut) <= parts
    assert all(len(part) for part in cut)
    assert all(part.start % batch == 0 for part in cut)
    assert max(map(len, cut)) - min(map(len, cut)) < 2 * batch


@pytest.mark.parametrize(("examples", "parts"), [(0, 1), (5, 0), (5, -1)])
def test_what_cannot_be_cut(examples: int, parts: int) -> None:
    with pytest.raises(UsageError, match="cannot be cut"):
        shards(examples, parts)


# ---- adding up ----


@pytest.mark.parametrize("workers", [1, 2, 3, 5, 100])
@pytest.mark.parametrize("bad", [frozenset[int](), frozenset({0, 15, 16, 17, 69}), frozenset(range(16, 32))])
def test_workers_count_what_one_counts(workers: int, bad: frozenset[int]) -> None:
    dataset = Damaged(PICTURES, LABELS, bad=bad)
    one = evaluate(FakeEngine(linear), dataset, Preprocess(), model_order="", topk=(1, 3), skip_bad=True)
    parts = [counted(dataset, part) for part in shards(COUNT, workers, cut=16)]
    assert total(pickle.loads(pickle.dumps(parts[::-1]))) == one  # in any order, from other processes


def test_engines_see_the_same_batches() -> None:
    """A matrix product may round by the size of a batch."""
    whole, parted = FakeEngine(linear), FakeEngine(linear)
    dataset = FakeDataset(PICTURES, LABELS)
    evaluate(whole, dataset, Preprocess(), model_order="")
    for part in shards(COUNT, 3, cut=16):
        count(parted, dataset, Preprocess(), model_order="", part=part)
    assert [len(batch) for batch in parted.batches] == [len(batch) for batch in whole.batches]
    assert all(np.array_equal(a, b) for a, b in zip(parted.batches, whole.batches, strict=True))


def test_counts_are_those_of_a_loop() -> None:
    bad = frozenset({3, 20, 21, 40})
    part = counted(Damaged(PICTURES, LABELS, bad=bad), range(16, 48))
    right = {1: 0, 3: 0}
    for index in range(16, 48):
        if index in bad:
            continue
        scores = PICTURES[index].transpose(2, 0, 1).astype(np.float32).reshape(-1) @ WEIGHTS
        rank = sorted(range(CLASSES), key=lambda label: -scores[label]).index(LABELS[index])
        right[1] += rank < 1
        right[3] += rank < 3
    assert part.correct == right
    assert (part.start, part.stop, part.total, part.count) == (16, 48, COUNT, 29)
    assert part.skipped == tuple(f"the picture '{number}.jpg' is empty" for number in (20, 21, 40))


PARTS = tuple(Counts("e 1", "d", "", 10, start, stop, {1: 2}) for start, stop in ((0, 4), (4, 7), (7, 10)))


def test_percentages_are_of_the_sum() -> None:
    whole = total(PARTS)
    assert (whole.engine, whole.dataset, whole.count) == ("e 1", "d", 10)
    assert whole.topk[0].correct == 6
    assert whole.percent(1) == 60
    assert isinstance(whole.topk[0], TopK)


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ((), "at least one part"),
        (PARTS[1:], "examples 0 to 3 are missing"),
        ((PARTS[0], PARTS[2]), "examples 4 to 6 are missing"),
        (PARTS[:2], "examples 7 to 9 are missing"),
        ((*PARTS, PARTS[1]), "examples 4 to 6 are counted twice"),
        ((*PARTS, PARTS[2]), "examples 7 to 9 are counted twice"),
        ((PARTS[0], replace(PARTS[1], engine="e 2"), PARTS[2]), "not parts of one evaluation: .*'e 2'"),
        ((*PARTS[:2], replace(PARTS[2], correct={1: 2, 5: 2})), "not parts of one evaluation"),
        ((*PARTS[:2], replace(PARTS[2], total=11)), "not parts of one evaluation"),
    ],
)
def test_parts_that_make_no_whole(parts: tuple[Counts, ...], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        total(parts)


# ---- pictures that cannot be read ----


def test_without_leave_the_first_bad_picture_is_an_error() -> None:
    dataset = Damaged(PICTURES, LABELS, bad=frozenset({40, 23, 66}))
    with pytest.raises(PictureError, match=r"fake\.txt:24: the picture '23\.jpg' is empty"):
        counted(dataset, range(COUNT), skip_bad=False)


def test_skipped_examples_are_told_of_as_progress() -> None:
    seen: list[int] = []
    dataset = Damaged(PICTURES, LABELS, bad=frozenset(range(16, 33)))
    evaluate(FakeEngine(linear), dataset, Preprocess(), model_order="", skip_bad=True, progress=seen.append)
    assert sum(seen) == COUNT


def test_no_picture_at_all() -> None:
    dataset = Damaged(PICTURES, LABELS, bad=frozenset(range(COUNT)))
    with pytest.raises(DataError, match=r"none of the 70 pictures of data set 'fake' can be read: the picture '0\.jpg' is empty"):
        evaluate(FakeEngine(linear), dataset, Preprocess(), model_order="", skip_bad=True)


def test_a_picture_that_does_not_fit_is_never_skipped() -> None:
    """It says that the preprocessing is wrong, not the picture."""
    dataset = FakeDataset([*PICTURES[:4], picture(1, 3, 2)], LABELS[:5])
    with pytest.raises(DataError, match="the model takes 2 x 2"):
        evaluate(FakeEngine(linear), dataset, Preprocess(), model_order="", skip_bad=True)


def test_files_end_to_end(tmp_path: Path) -> None:
    for number in range(6):
        save(tmp_path / f"{number}.png", PICTURES[number])
    (tmp_path / "1.png").write_bytes((tmp_path / "1.png").read_bytes()[:-20])
    (tmp_path / "4.png").write_bytes(b"<html>")
    write_list(tmp_path, *(f"{number}.png {LABELS[number]}" for number in range(6)))
    dataset = open_dataset(DatasetSpec("photos", "image_list", tmp_path))
    result = evaluate(FakeEngine(linear), dataset, Preprocess(), model_order="", topk=(CLASSES,), skip_bad=True)
    assert (result.count, result.topk[0].correct) == (4, 4)
    assert result.skipped == (
        "the picture '1.png' is truncated or damaged",
        "the picture '4.png' is no picture that OpenCV can read",
    )
