"""Every recorded net of real Caffe: it converts and computes the same, layer by layer, or is refused for the right reason."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from caffe2neon.caffe import deploy, read_net, read_weights
from caffe2neon.convert import convert
from caffe2neon.engines import open_neon
from caffe2neon.errors import UnsupportedError
from caffe2neon.graph import build_graph
from caffe2neon.neon import write_prm
from caffe2neon.records import Array, NeonModel
from caffe2neon.single import lay_out_net
from tests import golden
from tests.convert.nets import assert_close
from tests.convert.real_neon import run_in_neon

#: What is refused: for each layer in the way its name, its type, and words of the reason. A layer of "" is the net as a whole.
REFUSED: dict[str, list[tuple[str, str, str]]] = {
    "argmax": [("am", "ArgMax", "neon has no ArgMax")],
    "argmax_axis1_top2": [("am", "ArgMax", "neon has no ArgMax")],
    "argmax_values": [("am", "ArgMax", "neon has no ArgMax")],
    "bn_batch_statistics": [("bn", "BatchNorm", "by the statistics of the batch at inference, too")],
    "bnll": [("L", "BNLL", "no such function")],
    "concat_axis2": [("y", "Concat", "concatenates along axis 2")],
    "conv_two_bottoms": [("conv1", "Convolution", "reads several bottoms")],
    "eltwise_max": [("y", "Eltwise", "takes the maximum")],
    "eltwise_prod": [("y", "Eltwise", "multiplies element by element")],
    "exp_base2": [("L", "Exp", "no such function")],
    "exp_default": [("L", "Exp", "no such function")],
    "flatten_axes": [("f", "Flatten", "makes a blob of 2×12×5")],
    "ip_axis2": [("fc", "InnerProduct", "works along axis 2")],
    "log_base10": [("L", "Log", "no such function")],
    "log_scale_shift": [("e", "Exp", "no such function"), ("L", "Log", "no such function")],
    "loss_euclidean": [("loss", "EuclideanLoss", "is a loss")],
    "loss_sigmoid_ce": [("loss", "SigmoidCrossEntropyLoss", "is a loss")],
    "loss_softmax": [("loss", "SoftmaxWithLoss", "is a loss")],
    "loss_softmax_weighted": [("loss", "SoftmaxWithLoss", "is a loss")],
    "lrn_within_3": [("norm", "LRN", "within each channel")],
    "lrn_within_5_k2": [("norm", "LRN", "within each channel")],
    "mvn_default": [("L", "MVN", "its own mean and variance")],
    "mvn_mean_only_across": [("L", "MVN", "its own mean and variance")],
    "net_rpn": [
        ("rpn_cls_reshape", "Reshape", "makes a blob of 1×2×21×9"),
        ("rpn_cls_prob", "Softmax", "works along axis 1 of 1×2×21×9"),
        ("rpn_cls_prob_reshape", "Reshape", "makes a blob of 1×6×7×9"),
    ],
    "net_se_block": [("se", "Scale", "factors from a second bottom")],
    "net_siamese": [("", "", "depend on several inputs (data, data_p)")],
    "pool_empty_window": [("pm", "Pooling", "wholly outside the image"), ("pa", "Pooling", "wholly outside the image")],
    "pool_max_mask": [("pool1", "Pooling", "the mask of maxima")],
    "power_sqrt": [("L", "Power", "to the power 0.5")],
    "power_square": [("L", "Power", "to the power 2")],
    "reduction_mean": [("r", "Reduction", "no layer for")],
    "refused/pool_stochastic": [("p", "Pooling", "STOCHASTIC")],
    "reshape_0_minus1": [("r", "Reshape", "makes a blob of 2×2×12×5")],
    "reshape_axis_num_axes": [("r", "Reshape", "makes a blob of 2×3×2×2×3")],
    "scale_num_axes2": [("sc", "Scale", "12 parameters of shape 3×4")],
    "slice_equal_maxout": [("mx", "Eltwise", "takes the maximum")],
    "softmax_4d": [("prob", "Softmax", "works along axis 1 of 2×4×4×5")],
    "softmax_axis2": [("prob", "Softmax", "works along axis 2")],
    "swish": [("L", "Swish", "no such function")],
    "threshold": [("L", "Threshold", "no such function")],
}
#: Compared with the net as users' files are: without data layers and losses.
DEPLOYED = golden.names("phases", having="io.npz")
CASES = [name for name in golden.names("layer", "net", "formats") if name not in REFUSED] + ["odd/conv_inplace", *DEPLOYED]
if CASES[0] == "missing":
    CASES = CASES[:1]


@functools.cache
def _converted(name: str) -> tuple[NeonModel, Array, dict[str, Array]]:
    """The model, the recorded input, and the recorded blobs by key: the last version of each."""
    case, folder = golden.case(name)
    recorded = np.load(folder / "io.npz")
    net = read_net(folder / case.get("prototxt", "net.prototxt"))
    if name in DEPLOYED:
        net = deploy(net, shape=tuple(case["shapes"]["data"][1:]))
    graph = build_graph(net)
    model = convert(lay_out_net(net), read_weights(folder / "net.caffemodel"))
    (source,) = model.meta["inputs"]
    newest = {blob.name: blob.key for node in graph.nodes for blob in node.tops}
    blobs = {key: recorded[f"blob:{blob}"] for blob, key in newest.items() if f"blob:{blob}" in recorded.files}
    entry = case["inputs"].get(source, source)
    return model, recorded[entry if entry in recorded.files else f"blob:{source}"], blobs


def _expected(model: NeonModel, blobs: dict[str, Array], computed: dict[str, Array]) -> None:
    """All outputs that were recorded: all of them, but what ``deploy`` makes of a loss."""
    known = {key: blobs[key] for key in model.meta["outputs"] if key in blobs}
    assert_close({key: computed[key] for key in known}, known)


@pytest.mark.parametrize("name", CASES)
def test_computes_what_caffe_did(name: str, tmp_path: Path) -> None:
    model, x, blobs = _converted(name)
    write_prm(model, tmp_path / "net.prm")
    engine = open_neon(tmp_path / "net.prm", engine="embedded", threads=1)
    (source,) = engine.inputs
    assert set(model.meta["outputs"]) == set(engine.outputs)
    assert name in DEPLOYED or set(model.meta["outputs"]) <= set(blobs)
    _expected(model, blobs, engine.run({source: x}))
    # every layer that stands for a recorded blob computes it
    traced = {key: layer for key, layer in model.meta["trace"] if key in blobs}
    computed = engine.run({source: x}, list(traced.values()))
    assert_close({key: computed[layer] for key, layer in traced.items()}, {key: blobs[key] for key in traced})


@pytest.mark.parametrize("name", [name for name in golden.names("layer", "net", "refused") if name in REFUSED])
def test_is_refused_with_every_layer_and_its_reason(name: str) -> None:
    _, folder = golden.case(name)
    with pytest.raises(UnsupportedError) as caught:
        lay_out_net(read_net(folder / "net.prototxt"))
    found: list[Any] = [(finding.where.layer, finding.where.layer_type, finding.reason) for finding in caught.value.findings]
    assert [entry[:2] for entry in found] == [entry[:2] for entry in REFUSED[name]]
    for (_, _, reason), (_, _, words) in zip(found, REFUSED[name], strict=True):
        assert words in reason
    assert all(finding.where.line > 0 for finding in caught.value.findings if finding.where.layer)


@pytest.mark.neon
def test_real_neon_computes_what_caffe_did(neon_python: str, tmp_path: Path) -> None:
    models = {name: _converted(name) for name in CASES}
    computed = run_in_neon(neon_python, {name: (model, x) for name, (model, x, _) in models.items()}, tmp_path)
    errors = {name: outputs for name, outputs in computed.items() if isinstance(outputs, str)}
    assert errors == {}
    for name, outputs in computed.items():
        assert not isinstance(outputs, str)
        model, _, blobs = models[name]
        try:
            _expected(model, blobs, outputs)
        except AssertionError as error:
            raise AssertionError(f"{name}: {error}") from error
