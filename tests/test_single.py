"""One model by hand: converted, compared, measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from caffe2neon import engines
from caffe2neon.caffe import read_weights
from caffe2neon.errors import Caffe2NeonError, DataError, GraphError, LabelError, UnsupportedError, VerificationError, WeightsError
from caffe2neon.labels import LabelMap, remap
from caffe2neon.neon import read_prm, write_prm
from caffe2neon.records import META, Array, DatasetSpec, NeonContainer, NeonLayer, NeonModel, Preprocess
from caffe2neon.single import MeasureOptions, NetOptions, compare, convert_files, lay_out_net, load_net, measure
from tests.nets import data, layer
from tests.zoos import DIGITS, SMALL, SMALL_SHAPES, WIDE, WIDE_SHAPES, caffemodel, random_weights

PROTOTXT, CAFFEMODEL = DIGITS / "digits.prototxt", DIGITS / "digits.caffemodel"
HELD_OUT = DatasetSpec("digits", "npz", DIGITS / "digits_heldout.npz")
PREPROCESS = Preprocess(channel_order="GRAY", mean=(8.0,), scale=0.125)
EMBEDDED = MeasureOptions(engine="embedded")


def write_net(folder: Path, prototxt: str, blobs: dict[str, list[Array]]) -> tuple[Path, Path]:
    files = folder / "net.prototxt", folder / "net.caffemodel"
    files[0].write_text(prototxt)
    files[1].write_bytes(caffemodel(blobs))
    return files


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def changed(model: NeonModel, name: str, change: Callable[[Array], Array]) -> NeonModel:
    """The model with the weights of one layer changed."""

    def visit(item: NeonLayer | NeonContainer) -> NeonLayer | NeonContainer:
        if isinstance(item, NeonContainer):
            return replace(item, layers=tuple(visit(inner) for inner in item.layers))
        return replace(item, params={"W": change(np.array(item.params["W"]))}) if item.name == name else item

    root = visit(model.root)
    assert isinstance(root, NeonContainer)
    return NeonModel(root, model.header)


# ---- convert ----


TRAINING = """
layer { name: "data" type: "Data" top: "data" top: "label" transform_param { crop_size: 4 } data_param { batch_size: 3 } }
layer { name: "bn" type: "BatchNorm" bottom: "data" top: "bn" %s }
layer { name: "drop" type: "Dropout" bottom: "bn" top: "bn" }
layer { name: "ip" type: "InnerProduct" bottom: "bn" top: "ip" inner_product_param { num_output: 4 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""
TRAINED_SHAPES: dict[str, list[tuple[int, ...]]] = {"bn": [(3,), (3,), (1,)], "ip": [(4, 48), (4,)]}


@pytest.mark.parametrize(
    ("more", "noted", "serves"),
    [
        ("", False, True),
        ("batch_norm_param { use_global_stats: false }", False, False),
        ("batch_norm_param { use_global_stats: true }", True, True),
        ("phase: TRAIN", False, False),
    ],
    ids=["unset", "false", "true", "a phase of its own"],
)
def test_batch_norm_and_dropout_of_a_training_net(more: str, noted: bool, serves: bool, tmp_path: Path) -> None:
    """A model to train is compared as it computes at inference; to compute at once, BatchNorm must use what is stored."""
    shapes = {name: [np.abs(blob) for blob in blobs] for name, blobs in random_weights(TRAINED_SHAPES).items()}
    files = write_net(tmp_path, TRAINING % more, shapes)
    model, parity = convert_files(*files, tmp_path / "train.prm", options=NetOptions(phase="TRAIN"), tolerance=1e-5)
    assert parity is not None
    assert any("trains with the stored statistics" in note for note in model.meta["notes"]) == noted
    if serves:
        convert_files(*files, tmp_path / "test.prm", tolerance=1e-5)
    else:
        with pytest.raises(UnsupportedError, match="by the statistics of the batch at inference"):
            convert_files(*files, tmp_path / "test.prm")


def test_small_net_computes_what_numpy_does(tmp_path: Path) -> None:
    """An oracle of loops and a product: no engine of the project's on the Caffe side."""
    blobs = random_weights(SMALL_SHAPES)
    convert_files(*write_net(tmp_path, SMALL, blobs), tmp_path / "net.prm")
    engine = engines.open_neon(tmp_path / "net.prm", engine="embedded")
    images = np.random.default_rng(5).standard_normal((3, 1, 6, 6)).astype(np.float32)
    (scores,) = engine.run(dict.fromkeys(engine.inputs, images)).values()
    (weight, bias), (matrix, offset) = blobs["conv"], blobs["ip"]
    maps = np.zeros((3, 4, 4, 4))
    for y in range(4):
        for x in range(4):
            maps[:, :, y, x] = np.tensordot(images[:, :, y : y + 3, x : x + 3], weight, ([1, 2, 3], [1, 2, 3])) + bias
    exponents = np.exp(np.maximum(maps, 0).reshape(3, 64) @ matrix.T + offset)
    np.testing.assert_allclose(np.squeeze(scores), exponents / exponents.sum(1, keepdims=True), atol=1e-6)


def test_the_same_bytes_wherever_the_files_lie(tmp_path: Path) -> None:
    results = []
    for folder in (tmp_path / "a", tmp_path / "b" / "c"):
        folder.mkdir(parents=True)
        convert_files(*write_net(folder, SMALL, random_weights(SMALL_SHAPES)), folder / "out.prm")
        results.append((folder / "out.prm").read_bytes())
    assert results[0] == results[1]
    assert str(tmp_path).encode() not in results[0]


def test_preprocessing_is_recorded(tmp_path: Path) -> None:
    convert_files(PROTOTXT, CAFFEMODEL, tmp_path / "digits.prm", preprocess=PREPROCESS)
    assert Preprocess.from_record(read_prm(tmp_path / "digits.prm").meta["preprocess"]) == PREPROCESS


def test_verified_before_the_file_gets_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = engines.open_neon
    seen: list[list[str]] = []

    def spy(path: Path, **options: Any) -> Any:
        seen.append(names(tmp_path))
        return opened(path, **options)

    monkeypatch.setattr(engines, "open_neon", spy)
    _, parity = convert_files(PROTOTXT, CAFFEMODEL, tmp_path / "digits.prm", tolerance=1e-5)
    assert seen == [[]]
    assert parity is not None
    assert parity.passed
    assert parity.layers
    assert names(tmp_path) == ["digits.prm"]


@pytest.mark.parametrize("old", [None, b"old"])
def test_a_model_that_departs_is_not_written(tmp_path: Path, old: bytes | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine on neon's side reads another file: one with a single weight changed."""
    opened = engines.open_neon

    def wrong(path: Path, **options: Any) -> Any:
        other = tmp_path / "other" / "digits.prm"
        write_prm(changed(read_prm(path), "conv2", lambda array: array + 0.01), other)
        return opened(other, **options)

    (tmp_path / "other").mkdir()
    (tmp_path / "out").mkdir()
    output = tmp_path / "out" / "digits.prm"
    if old is not None:
        output.write_bytes(old)
    monkeypatch.setattr(engines, "open_neon", wrong)
    with pytest.raises(VerificationError, match="first layer that departs is 'conv2_bias'") as raised:
        convert_files(PROTOTXT, CAFFEMODEL, output, tolerance=1e-5)
    assert raised.value.where.stage == "convert"
    assert names(output.parent) == (["digits.prm"] if old else [])
    assert old is None or output.read_bytes() == old


@pytest.mark.parametrize("old", [None, b"old"])
@pytest.mark.parametrize("damage", ["cut", "other net", "no weights"])
def test_bad_weights_leave_the_old_file(tmp_path: Path, damage: str, old: bytes | None) -> None:
    blobs = random_weights(SMALL_SHAPES)
    if damage == "other net":
        blobs = {"conv": blobs["conv"], "ip": [blobs["ip"][0][:, :60], blobs["ip"][1]]}
    elif damage == "no weights":
        del blobs["ip"]
    prototxt, weights = write_net(tmp_path, SMALL, blobs)
    if damage == "cut":
        weights.write_bytes(weights.read_bytes()[:-7])
    output = tmp_path / "net.prm"
    if old is not None:
        output.write_bytes(old)
    before = names(tmp_path)
    with pytest.raises(Caffe2NeonError):
        convert_files(prototxt, weights, output)
    assert names(tmp_path) == before
    assert old is None or output.read_bytes() == old


@pytest.mark.parametrize("tolerance", [None, 1e-5])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_no_numbers_are_named(tmp_path: Path, value: float, tolerance: float | None) -> None:
    weights = random_weights(SMALL_SHAPES)
    name = next(iter(weights))
    weights[name][0].flat[-1] = value
    (tmp_path / "net.prototxt").write_text(SMALL)
    (tmp_path / "net.caffemodel").write_bytes(caffemodel(weights))
    with pytest.raises(WeightsError, match="blob 0 has numbers that are NaN or infinite") as caught:
        convert_files(tmp_path / "net.prototxt", tmp_path / "net.caffemodel", tmp_path / "out.prm", tolerance=tolerance)
    assert caught.value.where.layer == name
    assert caught.value.where.path.endswith("net.caffemodel")
    assert not (tmp_path / "out.prm").exists()


def test_remapped_while_converting(tmp_path: Path) -> None:
    files = write_net(tmp_path, WIDE, random_weights(WIDE_SHAPES))
    model, parity = convert_files(*files, tmp_path / "wide.prm", remap_classes=True, tolerance=1e-5)
    assert model.meta["class_order"] == "neon"
    assert parity is not None
    assert parity.passed
    with pytest.raises(LabelError, match="not every head"):
        convert_files(PROTOTXT, CAFFEMODEL, tmp_path / "digits.prm", remap_classes=True)
    assert not (tmp_path / "digits.prm").exists()


def test_refusals_come_before_weights_are_read(tmp_path: Path) -> None:
    prototxt = tmp_path / "net.prototxt"
    prototxt.write_text(SMALL + layer("odd", "SPP", "prob"))
    with pytest.raises(UnsupportedError, match="SPP"):
        convert_files(prototxt, tmp_path / "none.caffemodel", tmp_path / "net.prm")


def test_a_net_that_cannot_be_built_still_names_unknown_types(tmp_path: Path) -> None:
    prototxt = tmp_path / "net.prototxt"
    prototxt.write_text(data(1, 1, 6, 6) + layer("odd", "NoSuchLayer", "data") + layer("sum", "Eltwise", "odd nothing"))
    with pytest.raises(UnsupportedError, match="NoSuchLayer"):
        lay_out_net(load_net(prototxt))
    prototxt.write_text(data(1, 1, 6, 6) + layer("sum", "Eltwise", "data nothing"))
    with pytest.raises(GraphError, match="nothing"):
        lay_out_net(load_net(prototxt))


# ---- compare ----


@pytest.mark.parametrize("name", ["conv1", "conv1_bias", "conv2", "ip1", "ip2_bias"])
def test_one_weight_changed_is_found_where_it_is(tmp_path: Path, name: str) -> None:
    """Layers before the change agree, and the first that departs is the one whose blob the change reaches first."""

    def change(array: Array) -> Array:
        array.ravel()[0] += 0.05
        return array

    convert_files(PROTOTXT, CAFFEMODEL, tmp_path / "digits.prm")
    write_prm(changed(read_prm(tmp_path / "digits.prm"), name, change), tmp_path / "digits.prm")
    net, weights = load_net(PROTOTXT), read_weights(CAFFEMODEL)
    parity = compare(tmp_path / "digits.prm", net, weights, layers=True, engine="embedded", reference="embedded")
    assert not parity.passed
    assert parity.first is not None
    assert parity.first.blob == name.removesuffix("_bias")
    before = [each.blob for each in parity.layers].index(parity.first.blob)
    assert all(each.error <= parity.tolerance for each in parity.layers[:before])


# ---- measure ----


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    convert_files(PROTOTXT, CAFFEMODEL, tmp_path / "digits.prm")
    return tmp_path / "digits.prm"


def test_measured_accuracy_is_that_of_the_readme(digits: Path) -> None:
    told: list[tuple[str, int, int | None]] = []
    result = measure(digits, HELD_OUT, PREPROCESS, EMBEDDED, lambda *step: told.append(step))
    assert [(top.k, top.correct) for top in result.topk] == [(1, 359), (5, 360)]
    assert told[-1] == ("evaluate digits", 360, 360)
    assert [done for _, done, _ in told] == sorted(done for _, done, _ in told)


@pytest.mark.parametrize("order", ["caffe", "neon"])
def test_ten_classes_have_no_order_of_ilsvrc12(digits: Path, order: str) -> None:
    """Labels in another order than the model's, and no map of 1000 classes that would fit."""
    other = "neon" if order == "caffe" else "caffe"
    with pytest.raises(DataError, match="no map between them fits its 10 classes"):
        measure(digits, replace(HELD_OUT, class_order=order), PREPROCESS, replace(EMBEDDED, order=other))


def test_labels_of_unknown_order_do_not_go_with_neons(digits: Path) -> None:
    with pytest.raises(DataError, match="in which order are this data set's labels") as raised:
        measure(digits, HELD_OUT, PREPROCESS, replace(EMBEDDED, order="neon"))
    assert raised.value.where.path == str(HELD_OUT.path)
    assert "--class-order" in raised.value.remedy


def test_a_model_is_measured_by_the_map_it_was_remapped_with(tmp_path: Path) -> None:
    """Not by the built-in one: what a model gets right does not depend on the order its classes were put into."""
    files = write_net(tmp_path, WIDE, random_weights(WIDE_SHAPES))
    plain, other = tmp_path / "plain.prm", tmp_path / "other.prm"
    model, _ = convert_files(*files, plain)
    write_prm(remap(model, LabelMap(np.random.default_rng(1).permutation(1000))), other)
    engine = engines.open_neon(plain, engine="embedded")
    ((name, shape),) = engine.inputs.items()
    pictures = np.random.default_rng(2).uniform(0, 255, (20, *shape)).astype(np.float32)
    right = engine.run({name: pictures})[engine.outputs[0]].reshape(20, -1).argmax(axis=1)
    labels = np.where(np.arange(20) % 4, right, (right + 1) % 1000)  # 15 of 20 right
    np.savez(tmp_path / "set.npz", images=pictures, labels=labels)
    data = DatasetSpec("set", "npz", tmp_path / "set.npz", class_order="caffe")
    for prm in (plain, other):
        assert measure(prm, data, Preprocess(), replace(EMBEDDED, topk=(1,))).topk[0].correct == 15


@pytest.mark.parametrize("field", ["path", "missing", "kind"])
def test_wrong_data_sets(digits: Path, tmp_path: Path, field: str) -> None:
    wrong = {
        "path": replace(HELD_OUT, path=PROTOTXT),
        "missing": replace(HELD_OUT, path=tmp_path / "none.npz"),
        "kind": replace(HELD_OUT, kind="lmbd"),
    }
    with pytest.raises(DataError) as raised:
        measure(digits, wrong[field], PREPROCESS, EMBEDDED)
    assert field == "kind" or raised.value.where.path == str(wrong[field].path)


# ---- what a .prm may say of itself ----

_ODD: dict[str, dict[str, Any]] = {
    "preprocess": {"preprocess": "abc"},
    "mean": {"preprocess": {"mean": ["x"], "scale": 1.0}},
    "scale": {"preprocess": {"scale": [1]}},
    "crop": {"preprocess": {"crop": [1]}},
    "channel order": {"preprocess": {"channel_order": 5}},
    "trace": {"trace": [1, 2]},
    "trace of text": {"trace": "abc"},
    "outputs": {"outputs": 5},
    "remap": {"remap": [1]},
    "map": {"remap": {"map": "abc", "layers": []}},
    "ragged map": {"remap": {"map": [[1, 2], [3]], "layers": ["a"]}},
    "layers": {"remap": {"map": [], "layers": 3}},
    "class order": {"class_order": ["neon"]},
    "notes": {"notes": 3},
}


@pytest.mark.parametrize("record", _ODD.values(), ids=_ODD)
def test_a_record_of_another_form_is_refused_when_the_file_is_read(digits: Path, record: dict[str, Any]) -> None:
    model = read_prm(digits)
    header = {**model.header, META: {**model.meta, **record}}
    write_prm(NeonModel(model.root, header), digits)
    (key,) = record
    with pytest.raises(Caffe2NeonError, match=f"caffe2neon.{key}.* makes no sense") as raised:
        read_prm(digits)
    assert raised.value.where.path == str(digits)


@pytest.mark.parametrize("shape", [("a", None), "3x4", (3, (4, 5))])
def test_an_input_shape_that_is_none_is_refused(digits: Path, shape: Any) -> None:
    model = read_prm(digits)
    write_prm(NeonModel(model.root, {**model.header, "train_input_shape": shape}), digits)
    with pytest.raises(Caffe2NeonError, match="train_input_shape makes no sense"):
        read_prm(digits)


def test_a_record_of_another_program_is_left_alone(digits: Path) -> None:
    model = read_prm(digits)
    write_prm(NeonModel(model.root, {**model.header, META: "mine"}), digits)
    assert read_prm(digits).meta == {}
