"""Evaluation by an engine that measures itself: what it is given, what becomes of its answers, and the real neon doing it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from caffe2neon.engines import open_neon
from caffe2neon.engines.base import Measuring
from caffe2neon.errors import DataError, EngineError, PictureError, UsageError
from caffe2neon.evaluate import count, open_dataset, shards, total
from caffe2neon.records import Array, DatasetSpec, MacrobatchPart, Preprocess, Shape
from tests.engines.neon_models import activation, saved, sequential, weighted
from tests.evaluate.helpers import FakeDataset, evaluate, jpeg, picture
from tests.evaluate.macrobatch_files import macrobatch, write

CLASSES = 4
PREPROCESS = Preprocess(resize=(2, 2), mean=(104, 117, 123))
PICTURES = [picture(seed, 2, 2) for seed in range(11)]
LABELS = [0, 1, 2, 3] * 2 + [0, 1, 2]


@dataclass
class FakeNeon:
    """Right about an example if its label is below k; remembers what it was given."""

    shape: Shape = (3, 2, 2)
    at_once: int = 4
    has_image_loader: bool = True
    answer: float = 0.0
    name: str = "neon"
    version: str = "1.4.0"
    outputs: tuple[str, ...] = ("prob", "side")
    taps: tuple[str, ...] = ()
    arrays: list[tuple[Array, list[int]]] = field(default_factory=list)
    parts: list[MacrobatchPart] = field(default_factory=list)

    @property
    def inputs(self) -> Mapping[str, Shape]:
        return {"data": self.shape}

    def run(self, inputs: Mapping[str, Array], taps: Sequence[str] = ()) -> dict[str, Array]:  # noqa: ARG002 none asked for
        return {"prob": np.zeros((len(inputs["data"]), CLASSES, 1, 1), np.float32)}

    def misclassified(
        self, data: Array, labels: NDArray[np.int64], classes: int, *, output: str, topk: Sequence[int]
    ) -> NDArray[np.float32]:
        assert (classes, output) == (CLASSES, "prob")
        self.arrays.append((data.copy(), labels.tolist()))
        return (labels[:, None] >= np.array(topk)).astype(np.float32) + np.float32(self.answer)

    def misclassified_macrobatches(
        self, part: MacrobatchPart, *, output: str, topk: Sequence[int]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        assert output == "prob"
        self.parts.append(part)
        before = {3: 0, 4: 5}[part.first] + part.skip
        labels = np.array(LABELS[before : before + part.count])
        return labels, (labels[:, None] >= np.array(topk)).astype(np.float32) + np.float32(self.answer)


def test_arrays_in_processes_worth_starting() -> None:
    engine = FakeNeon()
    told: list[int] = []
    result = evaluate(engine, FakeDataset(PICTURES, LABELS), PREPROCESS, model_order="", topk=(3, 1), progress=told.append)
    assert (result.engine, result.method) == ("neon 1.4.0", "neon's TopKMisclassification over its ArrayIterator")
    assert [(top.k, top.correct) for top in result.topk] == [(1, 3), (3, 9)]
    assert told == [4, 4, 3]
    assert [labels for _, labels in engine.arrays] == [LABELS[:4], LABELS[4:8], LABELS[8:]]
    expected = np.stack([image.transpose(2, 0, 1) for image in PICTURES]) - np.array([104, 117, 123])[:, None, None]
    assert np.array_equal(np.concatenate([data for data, _ in engine.arrays]), expected)


def test_ties_that_neon_counts_in_part_stay_parts() -> None:
    result = evaluate(FakeNeon(answer=-0.5), FakeDataset(PICTURES[:1], [3]), PREPROCESS, model_order="", topk=(1,))
    assert (result.topk[0].correct, result.topk[0].percent) == (0.5, 50)


def test_nan_names_the_example() -> None:
    with pytest.raises(EngineError, match="'prob' is NaN or infinite for example 0"):
        evaluate(FakeNeon(answer=np.nan), FakeDataset(PICTURES, LABELS), PREPROCESS, model_order="", topk=(1,))


def test_a_label_beyond_the_model() -> None:
    with pytest.raises(DataError, match=r"label 4 of example 1 is not one of the model's 4 classes"):
        evaluate(FakeNeon(), FakeDataset(PICTURES[:2], [0, 4]), PREPROCESS, model_order="", topk=(1,))
    with pytest.raises(UsageError, match="top-5 of 4 classes"):
        evaluate(FakeNeon(), FakeDataset(PICTURES, LABELS), PREPROCESS, model_order="")


# ---- macrobatches ----


def macrobatches(folder: Path, *, broken: int | None = None, order: str = "", size: tuple[int, int] = (2, 2)) -> DatasetSpec:
    """Files 3 and 4, of 5 and 6 pictures."""
    items = [(jpeg(picture(seed, *size)), label) for seed, label in enumerate(LABELS)]
    if broken is not None:
        items[broken] = (items[broken][0][:20], LABELS[broken])
    write(folder, macrobatch(items[:5]), macrobatch(items[5:]), classes=CLASSES, validation=len(items))
    return DatasetSpec("photos", "macrobatch", folder, class_order=order)


def test_macrobatches_go_through_image_loader(tmp_path: Path) -> None:
    engine = FakeNeon()
    result = evaluate(engine, open_dataset(macrobatches(tmp_path)), PREPROCESS, model_order="", topk=(1, 3))
    assert result.method == "neon's TopKMisclassification over its ImageLoader with scale_range=0"
    assert [top.correct for top in result.topk] == [3, 9]
    first = MacrobatchPart(tmp_path, "validation", 3, 0, 4, 2, 0, (104, 117, 123))
    assert engine.parts == [first, replace(first, skip=4), replace(first, first=4, skip=3, count=3)]


def test_parts_add_up_to_the_whole(tmp_path: Path) -> None:
    data = open_dataset(macrobatches(tmp_path))
    parts = [
        count(FakeNeon(), data, PREPROCESS, model_order="", topk=(1,), part=part)
        for part in shards(len(data), 3, cut=2)
    ]
    assert total(parts) == evaluate(FakeNeon(), data, PREPROCESS, model_order="", topk=(1,))


def test_a_centre_is_cut_by_image_loader_too(tmp_path: Path) -> None:
    engine = FakeNeon()
    steps = Preprocess(resize=(8, 8), crop=(2, 2), mean=(7,))
    result = evaluate(engine, open_dataset(macrobatches(tmp_path)), steps, model_order="", topk=(1,))
    assert result.method.endswith("ImageLoader with scale_range=8")
    assert {(part.size, part.scale_range, part.mean) for part in engine.parts} == {(2, 8, (7, 7, 7))}


_BEYOND: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "no loader": ("is not built", {}, {"has_image_loader": False}),
    "pictures to be left out": ("cannot leave out pictures", {"skip_bad": True}, {}),
    "another order": ("cannot reorder labels", {"model_order": "caffe", "label_map": np.array([1, 0, 3, 2])}, {}),
    "other channels": ("gives blue, green, red", {"preprocess": replace(PREPROCESS, channel_order="RGB")}, {}),
    "oblong": ("gives squares", {"preprocess": replace(PREPROCESS, resize=(2, 3))}, {"shape": (3, 2, 3)}),
    "a centre of an oblong": ("gives squares", {"preprocess": replace(PREPROCESS, resize=(3, 4), crop=(2, 2))}, {}),
    "as they are": ("resizes all pictures", {"preprocess": replace(PREPROCESS, resize=None)}, {}),
    "a scale": ("does not scale pixels", {"preprocess": replace(PREPROCESS, scale=0.017)}, {}),
    "fractions": ("subtracts whole numbers", {"preprocess": replace(PREPROCESS, mean=(103.94,))}, {}),
}


@pytest.mark.parametrize("case", _BEYOND)
def test_what_image_loader_cannot_do_goes_through_array_iterator(case: str, tmp_path: Path) -> None:
    reason, options, fields = _BEYOND[case]
    engine = FakeNeon(**fields)
    data = open_dataset(macrobatches(tmp_path, order="neon"))
    options = {"preprocess": PREPROCESS, "model_order": "neon", "topk": (1,), **options}
    result = evaluate(engine, data, **options)
    assert result.method == f"neon's TopKMisclassification over its ArrayIterator, as ImageLoader {reason}"
    assert not engine.parts
    assert sum(len(labels) for _, labels in engine.arrays) == len(LABELS)


def test_fewer_classes_in_the_description_than_in_the_model(tmp_path: Path) -> None:
    spec = macrobatches(tmp_path)
    meta = tmp_path / "macrobatch_meta"
    meta.write_text(meta.read_text().replace("nclass 4", "nclass 5"))
    result = evaluate(FakeNeon(), open_dataset(spec), PREPROCESS, model_order="", topk=(1,))
    assert result.method.endswith("as ImageLoader wants nclass in macrobatch_meta to be the model's")


def test_a_broken_picture_is_named_before_neon_meets_it(tmp_path: Path) -> None:
    engine = FakeNeon()
    with pytest.raises(PictureError, match="truncated or damaged"):
        evaluate(engine, open_dataset(macrobatches(tmp_path, broken=6)), PREPROCESS, model_order="", topk=(1,))
    assert len(engine.parts) == 1
    left_out = evaluate(
        FakeNeon(), open_dataset(macrobatches(tmp_path, broken=6)), PREPROCESS, model_order="", topk=(1,), skip_bad=True
    )
    assert (left_out.count, len(left_out.skipped)) == (10, 1)


def test_a_loader_that_reads_other_labels_is_not_believed(tmp_path: Path) -> None:
    class Shuffled(FakeNeon):
        def misclassified_macrobatches(self, part: MacrobatchPart, **asked: Any) -> Any:
            labels, wrong = super().misclassified_macrobatches(part, **asked)
            return labels[::-1], wrong

    with pytest.raises(EngineError, match="ImageLoader reads label 3 of example 0 where 0 is written"):
        evaluate(Shuffled(), open_dataset(macrobatches(tmp_path)), PREPROCESS, model_order="", topk=(1,))


# ---- the real neon ----


@pytest.mark.neon
@pytest.mark.usefixtures("neon_python")
@pytest.mark.parametrize("crop", [None, (8, 8)], ids=["whole", "centre"])
def test_image_loader_and_the_embedded_engine_agree(crop: tuple[int, int] | None, tmp_path: Path) -> None:
    """Pictures have the size already, so that nobody's way to resize matters."""
    size = 8 if crop is None else 12
    data = open_dataset(macrobatches(tmp_path, size=(size, size)))
    rng = np.random.default_rng(1)
    root = sequential(
        "main", weighted("Linear", "fc", rng.normal(size=(CLASSES, 3 * 8 * 8)), nout=CLASSES), activation("Softmax", "prob")
    )
    path = saved(tmp_path / "m.prm", root, (3, 8, 8))
    steps = Preprocess(resize=(size, size), crop=crop, mean=(104, 117, 123))
    neon, embedded = (open_neon(path, engine=engine) for engine in ("neon", "embedded"))
    if isinstance(neon, Measuring) and not neon.has_image_loader:
        pytest.skip("needs neon's loader library, built with OpenCV")
    by_neon, ours = (evaluate(engine, data, steps, model_order="", topk=(1, 2)) for engine in (neon, embedded))
    assert "ImageLoader with scale_range=" in by_neon.method
    assert [top.correct for top in by_neon.topk] == [top.correct for top in ours.topk]
    parts = [
        count(neon, data, steps, model_order="", topk=(1, 2), part=part)
        for part in shards(len(data), 2, cut=3)
    ]
    assert total(parts) == by_neon
