"""The whole evaluation, against counts made by hand in the test."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from caffe2neon.errors import DataError, EngineError, UsageError
from caffe2neon.evaluate import open_dataset
from caffe2neon.evaluate.prefetch import batches
from caffe2neon.evaluate.preprocess import Preprocessor
from caffe2neon.records import Array, DatasetSpec, Preprocess, Shape
from tests.evaluate.helpers import FakeDataset, FakeEngine, evaluate, picture, save, write_list

CLASSES = 7
WEIGHTS = np.random.Generator(np.random.PCG64(5)).standard_normal((12, CLASSES)).astype(np.float32)


def linear(x: Array) -> dict[str, Array]:
    """Each example by itself, so that a batch's size cannot matter."""
    return {"prob": np.stack([row.reshape(-1) @ WEIGHTS for row in x])}


def plain(shape: Shape = (2, 2, 3), count: int = 23) -> list[Array]:
    random = np.random.Generator(np.random.PCG64(9))
    return [random.integers(0, 256, shape, dtype=np.uint8) for _ in range(count)]


PICTURES = plain()
LABELS = np.random.Generator(np.random.PCG64(11)).integers(0, CLASSES, len(PICTURES)).tolist()


def by_hand(pictures: list[Array], labels: list[int], k: int) -> int:
    correct = 0
    for image, label in zip(pictures, labels, strict=True):
        scores = image.transpose(2, 0, 1).reshape(-1).astype(np.float32) @ WEIGHTS
        correct += label in np.argsort(-scores)[:k]
    return correct


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("batch", [1, 2, 5, 16, 23, 100])
def test_every_example_counts_once_whatever_the_batch(batch: int, workers: int) -> None:
    engine = FakeEngine(linear)
    told: list[int] = []
    result = evaluate(
        engine,
        FakeDataset(PICTURES, LABELS),
        Preprocess(),
        model_order="",
        topk=(1, 3),
        batch=batch,
        workers=workers,
        progress=told.append,
    )
    assert result.count == sum(told) == len(PICTURES)
    assert [(t.k, t.correct) for t in result.topk] == [(k, by_hand(PICTURES, LABELS, k)) for k in (1, 3)]
    assert result.percent(3) == 100 * by_hand(PICTURES, LABELS, 3) / len(PICTURES)
    assert (result.engine, result.dataset) == ("fake 1", "fake")
    seen = np.concatenate(engine.batches)
    assert np.array_equal(seen, np.stack(PICTURES).transpose(0, 3, 1, 2))
    assert all(len(x) == batch for x in engine.batches[:-1])


def test_topk_is_sorted_and_without_repeats() -> None:
    result = evaluate(FakeEngine(linear), FakeDataset(PICTURES, LABELS), Preprocess(), model_order="", topk=(7, 1, 7))
    assert [t.k for t in result.topk] == [1, 7]
    assert result.percent(7) == 100


@pytest.mark.parametrize("shape", [(CLASSES,), (CLASSES, 1), (CLASSES, 1, 1)], ids=str)
def test_shapes_of_class_scores(shape: Shape) -> None:
    engine = FakeEngine(lambda x: {"prob": linear(x)["prob"].reshape(-1, *shape)})
    result = evaluate(engine, FakeDataset(PICTURES, LABELS), Preprocess(), model_order="", topk=(1,))
    assert result.topk[0].correct == by_hand(PICTURES, LABELS, 1)


@pytest.mark.parametrize("shape", [(CLASSES, 2, 2), (CLASSES, 1, 2), ()], ids=str)
def test_outputs_that_are_no_class_scores_are_refused(shape: Shape) -> None:
    engine = FakeEngine(lambda x: {"prob": np.zeros((len(x), *shape), np.float32)})
    with pytest.raises(DataError, match="not one score a class"):
        evaluate(engine, FakeDataset(PICTURES, LABELS), Preprocess(), model_order="")


def test_the_first_output_counts_or_the_one_asked_for() -> None:
    def heads(x: Array) -> Mapping[str, Array]:
        return {"main": linear(x)["prob"], "side": -linear(x)["prob"]}

    engine = FakeEngine(heads, outputs=("main", "side"))
    dataset = FakeDataset(PICTURES, LABELS)
    main = evaluate(engine, dataset, Preprocess(), model_order="", topk=(1,))
    side = evaluate(engine, dataset, Preprocess(), model_order="", topk=(1,), head="side")
    assert main.topk[0].correct == by_hand(PICTURES, LABELS, 1)
    # The highest of the negated scores is the lowest: right where all but the true class make the top 6.
    assert side.topk[0].correct == len(PICTURES) - by_hand(PICTURES, LABELS, CLASSES - 1)
    with pytest.raises(UsageError, match=r"(?s)no output 'loss'.*main, side"):
        evaluate(engine, dataset, Preprocess(), model_order="", head="loss")


#: ORDER[i]: Caffe's index of neon's class i; not its own inverse.
ORDER = np.array([3, 0, 4, 1, 2, 6, 5])


@pytest.mark.parametrize(
    ("data", "model", "labels_by", "scores_by"),
    [
        ("caffe", "caffe", "caffe", "caffe"),
        ("caffe", "neon", "caffe", "neon"),
        ("neon", "caffe", "neon", "caffe"),
        ("neon", "neon", "neon", "neon"),
        ("neon", "", "neon", "neon"),
        ("", "neon", "neon", "neon"),
    ],
)
def test_labels_are_taken_to_the_models_class_order(data: str, model: str, labels_by: str, scores_by: str) -> None:
    def rule(x: Array) -> Mapping[str, Array]:
        scores = linear(x)["prob"]  # in Caffe's order
        return {"prob": scores[:, ORDER] if scores_by == "neon" else scores}

    labels = [ORDER.tolist().index(label) for label in LABELS] if labels_by == "neon" else LABELS
    dataset = FakeDataset(PICTURES, labels, class_order=data)
    result = evaluate(FakeEngine(rule), dataset, Preprocess(), model_order=model, topk=(1, 3), label_map=ORDER)
    assert [t.correct for t in result.topk] == [by_hand(PICTURES, LABELS, k) for k in (1, 3)]
    assert result.class_order == (model or data)


@pytest.mark.parametrize(
    "label_map", [None, np.arange(CLASSES - 1), np.zeros(CLASSES, int)], ids=["none", "short", "no permutation"]
)
def test_two_class_orders_need_a_map(label_map: Array | None) -> None:
    with pytest.raises(DataError, match=r"in caffe's class order, the model is in neon's.*no map"):
        evaluate(
            FakeEngine(linear),
            FakeDataset(PICTURES, LABELS, class_order="caffe"),
            Preprocess(),
            model_order="neon",
            label_map=label_map,
        )


def test_a_label_outside_the_model_is_named_with_its_line() -> None:
    labels = [0, 1, CLASSES, *LABELS[3:]]
    with pytest.raises(DataError, match=r"fake\.txt:3: label 7 of example 2 is not one of the model's 7 classes"):
        evaluate(FakeEngine(linear), FakeDataset(PICTURES, labels), Preprocess(), model_order="")


def test_more_than_all_classes() -> None:
    with pytest.raises(UsageError, match="top-8 of 7 classes"):
        evaluate(FakeEngine(linear), FakeDataset(PICTURES, LABELS), Preprocess(), model_order="", topk=(1, 8))


@pytest.mark.parametrize("topk", [(), (0, 1), (-1,)], ids=str)
def test_topk_that_means_nothing(topk: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match="whole numbers from 1 on"):
        evaluate(FakeEngine(linear), FakeDataset(PICTURES, LABELS), Preprocess(), model_order="", topk=topk)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_scores_that_are_no_numbers_are_an_error_that_names_the_example(value: float) -> None:
    """Caffe's own comparison would call NaN correct, neon's an infinity too."""

    def rule(x: Array) -> Mapping[str, Array]:
        scores = linear(x)["prob"]
        scores[(x == PICTURES[9].transpose(2, 0, 1)).all(axis=(1, 2, 3)), 4] = value
        return {"prob": scores}

    with pytest.raises(EngineError, match=r"fake\.txt:10: output 'prob' is NaN or infinite for example 9"):
        evaluate(FakeEngine(rule), FakeDataset(PICTURES, LABELS), Preprocess(), model_order="", batch=4)


def test_a_model_of_two_inputs_is_refused() -> None:
    class Two(FakeEngine):
        @property
        def inputs(self) -> Mapping[str, Shape]:
            return {"left": (3, 2, 2), "right": (3, 2, 2)}

    with pytest.raises(DataError, match=r"2 inputs \(left, right\)"):
        evaluate(Two(linear), FakeDataset(PICTURES, LABELS), Preprocess(), model_order="")


def test_a_picture_that_does_not_fit_is_named_with_its_line() -> None:
    pictures = [*PICTURES[:6], picture(1), *PICTURES[7:]]
    with pytest.raises(DataError, match=r"fake\.txt:7: the picture is 12 x 16 with 3 channels"):
        evaluate(FakeEngine(linear), FakeDataset(pictures, LABELS), Preprocess(), model_order="", batch=2, workers=3)


def test_the_first_bad_picture_is_reported_whatever_the_threads() -> None:
    pictures = [image if number % 5 else picture(number) for number, image in enumerate(PICTURES, start=1)]
    for _ in range(20):
        with pytest.raises(DataError, match=r"fake\.txt:5:"):
            evaluate(FakeEngine(linear), FakeDataset(pictures, LABELS), Preprocess(), model_order="", workers=4)


def test_an_engine_that_fails_stops_the_threads() -> None:
    def fail(_: Array) -> Mapping[str, Array]:
        raise EngineError("died")

    with pytest.raises(EngineError, match="died"):
        evaluate(FakeEngine(fail), FakeDataset(PICTURES, LABELS), Preprocess(), model_order="", batch=2)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("decode")]


def _counting(read: list[int]) -> Callable[[FakeDataset, int, str], Array]:
    def picture_of(self: FakeDataset, index: int, channel_order: str) -> Array:  # noqa: ARG001
        read.append(index)
        return self.pictures[index]

    return picture_of


def test_only_a_few_batches_are_made_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the engine: memory stays bounded."""
    read: list[int] = []
    monkeypatch.setattr(FakeDataset, "picture", _counting(read))
    dataset = FakeDataset(plain(count=100), [0] * 100)
    made = batches(dataset, Preprocessor(Preprocess(), (3, 2, 2)), range(100), batch=4, workers=2, skip_bad=False)
    eight = (inputs for _, (_, inputs, _) in zip(range(8), made, strict=False))
    buffers = {id(inputs.base if inputs.base is not None else inputs) for inputs in eight}
    made.close()
    assert len(buffers) <= 3
    assert max(read) < (8 + 3) * 4


def test_image_list_end_to_end(tmp_path: Path) -> None:
    """Real files: class 1 for the brighter pictures."""
    lines = []
    for number in range(10):
        bright = number % 3 == 0
        image = np.full((20, 30, 3), 200 if bright else 50, np.uint8)
        save(tmp_path / f"{number}.{'jpg' if number % 2 else 'png'}", image)
        lines.append(f"{number}.{'jpg' if number % 2 else 'png'} {int(bright != (number == 4))}")
    write_list(tmp_path, *lines)

    def rule(x: Array) -> Mapping[str, Array]:
        level = x.mean(axis=(1, 2, 3))
        return {"prob": np.stack([-level, level], axis=1)}

    dataset = open_dataset(DatasetSpec("bright", "image_list", tmp_path))
    preprocess = Preprocess(resize=(16, 16), crop=(8, 8), mean=(128,))
    result = evaluate(FakeEngine(rule, shape=(3, 8, 8)), dataset, preprocess, model_order="", topk=(1, 2), batch=3)
    assert [t.correct for t in result.topk] == [9, 10]  # number 4 has the wrong label
