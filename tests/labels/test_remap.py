"""Finding the classifiers of a model and permuting them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from caffe2neon.errors import LabelError
from caffe2neon.labels import NEON, LabelMap, class_order, remap
from caffe2neon.neon import read_prm, write_prm
from caffe2neon.records import Array, Deferred, NeonContainer, NeonModel
from tests.conftest import shared
from tests.labels.models import (
    Item,
    bias,
    container,
    convolution,
    layer,
    linear,
    model,
    numbers,
    param,
    sequential,
)

#: Not its own inverse, so that a mix-up of the two shows.
ORDER = LabelMap(np.random.RandomState(0).permutation(1000))
MAP = ORDER.array


def _alexnet() -> NeonModel:
    return model(
        sequential(
            convolution("conv1", 4),
            linear("fc7", 4096),
            bias("fc7_bias", 4096),
            layer("Activation", "relu7"),
            layer("Dropout", "drop7"),
            linear("fc8"),
            bias("fc8_bias"),
            layer("Activation", "prob"),
        ),
        {"version": "1"},
    )


def _linear(of: NeonModel, weights: str, biases: str, x: Array) -> Array:
    """What a Linear and its Bias compute of features (nin,), score by score."""
    w, b = param(of, weights), param(of, biases)
    return np.array([np.dot(row, x) + value[0] for row, value in zip(w, b, strict=True)])


def test_linear_classifier_shows_at_i_what_was_at_map_i() -> None:
    before, x = _alexnet(), np.array([0.5, -1, 2], np.float32)
    after = remap(before, ORDER)
    assert np.array_equal(_linear(after, "fc8", "fc8_bias", x), _linear(before, "fc8", "fc8_bias", x)[MAP])
    for name in ("conv1", "fc7", "fc7_bias"):
        assert np.array_equal(param(after, name), param(before, name))


def test_the_model_given_stays_as_it_was() -> None:
    before = _alexnet()
    remap(before, ORDER)
    assert np.array_equal(param(before, "fc8"), numbers(1000, 3))
    assert before.meta == {"version": "1"}


def test_what_was_done_is_recorded() -> None:
    after = remap(_alexnet(), ORDER)
    assert class_order(after) == NEON
    assert after.meta == {
        "version": "1",
        "class_order": "neon",
        "remap": {"map": MAP.tolist(), "layers": ["fc8", "fc8_bias", "prob"]},
    }
    assert all(type(i) is int for i in after.meta["remap"]["map"])
    assert after.header["backend"] == {"compat_mode": "caffe"}


def test_convolutional_classifier_as_squeezenets() -> None:
    before = model(
        sequential(
            container("MergeBroadcast", sequential(convolution("e1", 64)), sequential(convolution("e3", 64)), name="fire9"),
            layer("Dropout", "drop9"),
            convolution("conv10", 1000, 128),
            bias("conv10_bias"),
            layer("Activation", "relu_conv10"),
            layer("Pooling", "pool10"),
            layer("Activation", "prob"),
        )
    )
    after = remap(before, ORDER)
    for i in (0, 1, 999):
        assert np.array_equal(param(after, "conv10")[:, i], param(before, "conv10")[:, MAP[i]])
        assert param(after, "conv10_bias")[i] == param(before, "conv10_bias")[MAP[i]]
    assert after.meta["remap"]["layers"] == ["conv10", "conv10_bias", "relu_conv10", "pool10", "prob"]


def test_batch_norm_behind_the_classifier_goes_with_it() -> None:
    norm = layer("BatchNorm", "bn", **{key: numbers(1000, 1) + i for i, key in enumerate(("beta", "gamma", "gmean", "gvar"))})
    after = remap(model(sequential(linear("fc"), norm)), ORDER)
    for i, key in enumerate(("beta", "gamma", "gmean", "gvar")):
        assert param(after, "bn", key)[:, 0].tolist() == (MAP + i).tolist()


def _googlenet(first: Item, second: Item, kind: str = "Tree") -> NeonContainer:
    """Two heads, the second branching off before the first's classifier."""
    return container(
        kind,
        sequential(convolution("c", 8), layer("BranchNode", "br"), layer("Pooling", "pool"), first, layer("Activation", "prob")),
        sequential(layer("BranchNode", "br"), linear("side_fc", 64), second, bias("side_bias"), layer("Activation", "side_prob")),
    )


@pytest.mark.parametrize("kind", ["Tree", "SingleOutputTree"])
def test_every_head_of_a_tree(kind: str) -> None:
    after = remap(model(_googlenet(linear("main"), linear("side"), kind)), ORDER)
    assert np.array_equal(param(after, "main"), numbers(1000, 3)[MAP])
    assert np.array_equal(param(after, "side"), numbers(1000, 3)[MAP])
    assert np.array_equal(param(after, "side_bias"), numbers(1000, 1)[MAP])
    assert np.array_equal(param(after, "side_fc"), numbers(64, 3))
    assert after.meta["remap"]["layers"] == ["main", "prob", "side", "side_bias", "side_prob"]


def test_tree_within_a_sequential() -> None:
    after = remap(model(sequential(convolution("first", 8), _googlenet(linear("main"), linear("side")))), ORDER)
    assert after.meta["remap"]["layers"] == ["main", "prob", "side", "side_bias", "side_prob"]


def test_nested_sequentials_are_one_chain() -> None:
    after = remap(model(sequential(sequential(linear("fc")), sequential(bias("b"), sequential(layer("Activation", "p"))))), ORDER)
    assert np.array_equal(param(after, "b"), numbers(1000, 1)[MAP])
    assert after.meta["remap"]["layers"] == ["fc", "b", "p"]


def test_a_head_that_shows_the_scores_of_another_is_permuted_with_it() -> None:
    root = container(
        "Tree",
        sequential(linear("fc"), layer("BranchNode", "scores"), layer("SkipNode", "copy"), layer("Activation", "prob")),
        sequential(layer("BranchNode", "scores"), bias("shift")),
    )
    after = remap(model(root), ORDER)
    assert np.array_equal(param(after, "shift"), numbers(1000, 1)[MAP])
    assert after.meta["remap"]["layers"] == ["fc", "scores", "copy", "prob", "shift"]


def _refusal(root: NeonContainer, layers: Sequence[str] = ()) -> LabelError:
    with pytest.raises(LabelError) as error:
        remap(model(root), ORDER, layers=layers)
    return error.value


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([linear("fc", 10), bias("b", 10)], "head 1 ends in Linear 'fc' with 10 outputs"),
        ([convolution("conv", 21), layer("Pooling", "pool")], "head 1 ends in Convolution 'conv' with 21 outputs"),
        ([linear("fc"), layer("LRN", "norm")], "head 1 ends in LRN 'norm'"),
        ([linear("fc"), convolution("mix", 5)], "head 1 ends in Convolution 'mix' with 5 outputs"),
        ([layer("Linear", "fc")], "head 1 ends in Linear 'fc' without weights"),
        ([container("MergeSum", sequential(linear("a")), sequential(linear("b")), name="sum")], "head 1 ends in MergeSum 'sum'"),
        ([layer("Pooling", "pool")], "head 1 has no classifier of its own"),
        ([], "head 1 has no classifier of its own"),
    ],
    ids=["10 classes", "21 maps", "LRN", "convolution behind", "no weights", "sum", "no classifier", "empty"],
)
def test_what_is_no_classifier_of_1000(items: list[Item], message: str) -> None:
    assert message in _refusal(sequential(*items)).message


def test_all_heads_that_do_not_fit_are_named_and_what_would_fit() -> None:
    error = _refusal(_googlenet(linear("main", 5), layer("LRN", "side_norm")))
    assert "head 1 ends in Linear 'main' with 5 outputs; head 2 ends in LRN 'side_norm'" in error.message
    assert error.remedy == "no layer of this model has 1000 outputs: its classes are not those of ILSVRC12"
    error = _refusal(_googlenet(linear("main"), linear("side", 5)))
    assert error.remedy == "choose with --layers; these layers have 1000 outputs: main"


def test_a_head_that_computes_on_permuted_scores_is_refused() -> None:
    root = container(
        "Tree",
        sequential(linear("fc"), layer("BranchNode", "scores"), layer("SkipNode", "copy")),
        sequential(layer("BranchNode", "scores"), linear("second")),
    )
    assert "head 2 begins behind the classes of another head, at 'scores'" in _refusal(root).message


def test_a_bias_of_another_length_is_refused() -> None:
    error = _refusal(sequential(linear("fc"), bias("b", 999)))
    assert error.message == "W of shape (999, 1) has not 1000 classes"
    assert (error.where.layer, error.where.layer_type) == ("b", "Bias")


def test_layers_by_name_where_the_structure_does_not_tell() -> None:
    arms = [sequential(linear(name), bias(f"{name}_bias")) for name in ("a", "b")]
    before = model(sequential(container("MergeSum", *arms, name="sum"), layer("Activation", "prob")))
    after = remap(before, ORDER, layers=["a", "b", "b_bias"])
    for name in ("a", "b"):
        assert np.array_equal(param(after, name), numbers(1000, 3)[MAP])
        assert np.array_equal(param(after, f"{name}_bias"), numbers(1000, 1)[MAP])
    assert after.meta["remap"]["layers"] == ["a", "a_bias", "b", "b_bias"]


@pytest.mark.parametrize(
    ("name", "message", "remedy"),
    [
        ("fc9", "the model has no layer 'fc9'", "choose with --layers; these layers have 1000 outputs: fc8"),
        ("fc7", "layer 'fc7' is Linear 'fc7' with 4096 outputs", "choose with --layers; these layers have 1000 outputs: fc8"),
        ("prob", "layer 'prob' is Activation 'prob'", "choose with --layers; these layers have 1000 outputs: fc8"),
        ("fc8_bias", "layer 'fc8_bias' goes with 'fc8'", "name that one"),
    ],
)
def test_layers_by_name_must_be_there_and_have_1000_outputs(name: str, message: str, remedy: str) -> None:
    error = _refusal(_alexnet().root, [name])
    assert (error.message, error.remedy) == (message, remedy)


def test_a_second_time_is_refused() -> None:
    with pytest.raises(LabelError, match="in neon's order already"):
        remap(remap(_alexnet(), ORDER), ORDER)
    with pytest.raises(LabelError, match="in neon's order already"):
        remap(remap(_alexnet(), ORDER), ORDER, layers=["fc8"])


def test_again_on_purpose_is_recorded_as_one_map() -> None:
    x = np.array([1, 2, 3], np.float32)
    after = remap(remap(_alexnet(), ORDER), ORDER, again=True)
    recorded = np.array(after.meta["remap"]["map"])
    assert np.array_equal(_linear(after, "fc8", "fc8_bias", x), _linear(_alexnet(), "fc8", "fc8_bias", x)[recorded])


def test_again_for_the_other_head_adds_its_layers() -> None:
    before = model(_googlenet(linear("main"), linear("side")))
    after = remap(remap(before, ORDER, layers=["side"]), ORDER, layers=["main"], again=True)
    assert after.meta["remap"] == {"map": MAP.tolist(), "layers": ["side", "side_bias", "side_prob", "main", "prob"]}
    with pytest.raises(LabelError, match="side, side_bias, side_prob were reordered before"):
        remap(remap(before, ORDER, layers=["side"]), ORDER, again=True)


def test_deferred_weights_stay_deferred() -> None:
    made: list[str] = []

    def make() -> Array:
        made.append("W")
        return numbers(1000, 3)

    fc = replace(linear("fc"), params={"W": Deferred((1000, 3), make)})
    after = remap(model(sequential(fc)), ORDER)
    assert made == []
    (weights,) = [each.params["W"] for each in after.root.walk()]
    assert isinstance(weights, Deferred)
    assert np.array_equal(weights.make(), numbers(1000, 3)[MAP])


def test_optimizer_states_go_with_their_weights() -> None:
    fc = replace(linear("fc"), extra={"states": [numbers(1000, 3)]})
    norm = replace(layer("BatchNorm", "bn", beta=numbers(1000, 1)), extra={"states": [[numbers(1000, 1)], []]})
    first, second = remap(model(sequential(fc, norm)), ORDER).root.walk()
    assert np.array_equal(first.extra["states"][0], numbers(1000, 3)[MAP])
    assert np.array_equal(second.extra["states"][0][0], numbers(1000, 1)[MAP])


def test_file_of_neon_itself_without_our_record(tmp_path: Path) -> None:
    """Through a written file and back; then it cannot happen twice."""
    path = tmp_path / "model.prm"
    write_prm(model(_alexnet().root), path)
    write_prm(remap(read_prm(path), ORDER), path)
    after = read_prm(path)
    assert np.array_equal(param(after, "fc8"), numbers(1000, 3)[MAP])
    with pytest.raises(LabelError, match="already"):
        remap(after, ORDER)


@pytest.mark.parametrize("name", ["net_googlenet_tree", "net_squeezenet", "single_output_tree", "tree_inside_sequential"])
def test_real_files_with_few_classes_are_refused_by_head(name: str) -> None:
    with pytest.raises(LabelError, match=r"head 1 ends in (Linear|Convolution) '\w+' with \d+ outputs"):
        remap(read_prm(shared("golden", "neon", f"{name}.prm")), ORDER)
