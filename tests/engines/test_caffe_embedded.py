"""The embedded Caffe engine against recordings of real Caffe HEAD, one test a case."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from caffe2neon.caffe import read_net, read_weights
from caffe2neon.engines import open_caffe
from caffe2neon.engines.caffe_embedded import open_caffe_embedded
from caffe2neon.engines.caffe_embedded import translate as _translate  # noqa: F401 - fills the registry
from caffe2neon.engines.caffe_embedded.registry import KINDS, layer
from caffe2neon.errors import Caffe2NeonError, EngineError, GraphError, ParseError
from caffe2neon.records import CaffeWeights
from tests.conftest import SHARED, shared

#: max |difference| / max(1, max |reference|): the project's tolerance
TOLERANCE = 1e-5


def _cases(*groups: str, having: str = "io.npz") -> list[str]:
    path = SHARED / "golden" / "caffe" / "cases.json"
    if not path.exists():
        return ["missing"]
    cases = json.loads(path.read_text())["cases"]
    return [name for name, case in cases.items() if case["group"] in groups and (path.parent / name / having).exists()]


def _case(name: str) -> tuple[dict[str, Any], Path]:
    root = shared("golden", "caffe")
    return json.loads((root / "cases.json").read_text())["cases"][name], root / name


def _assert_close(blob: str, computed: np.ndarray, recorded: np.ndarray) -> None:
    assert computed.shape == recorded.shape, blob
    assert computed.dtype == np.float32, blob
    finite = np.isfinite(recorded)
    np.testing.assert_array_equal(np.isnan(computed), np.isnan(recorded), err_msg=blob)
    difference = np.abs(computed[finite].astype(np.float64) - recorded[finite])
    assert difference.max(initial=0) <= TOLERANCE * max(1, np.abs(recorded[finite]).max(initial=0)), blob


@pytest.mark.parametrize("name", _cases("layer", "net", "formats", "phases"))
def test_every_blob_is_what_caffe_computed(name: str) -> None:
    case, folder = _case(name)
    recorded = np.load(folder / "io.npz")
    net = read_net(folder / case.get("prototxt", "net.prototxt"))
    # the shapes of a Data layer's tops are not in the net
    shapes = {blob: tuple(shape) for blob, shape in case["shapes"].items()} if case["group"] == "phases" else None
    engine = open_caffe_embedded(net, read_weights(folder / "net.caffemodel"), threads=1, shapes=shapes)
    inputs = {blob: recorded[case["inputs"].get(blob, f"blob:{blob}")] for blob in engine.inputs}
    computed = engine.run(inputs, engine.taps)

    newest = {key.partition("#")[0]: key for key in engine.taps}  # the recording holds what each blob was in the end
    blobs = [entry.removeprefix("blob:") for entry in recorded.files if entry.startswith("blob:")]
    assert set(blobs) == set(newest)
    for blob in blobs:
        _assert_close(blob, computed[newest[blob]], recorded[f"blob:{blob}"])
    assert sorted(key.partition("#")[0] for key in engine.outputs) == sorted(case["outputs"])
    assert set(engine.outputs) <= set(newest.values())
    for blob, array in engine.run(inputs).items():  # the session without taps, where ONNX Runtime may fuse
        _assert_close(blob, array, recorded[f"blob:{blob.partition('#')[0]}"])


@pytest.mark.parametrize("name", _cases("refused", having="net.prototxt"))
def test_what_caffe_refuses_is_refused(name: str) -> None:
    case, folder = _case(name)
    with pytest.raises(Caffe2NeonError) as caught:
        open_caffe(read_net(folder / "net.prototxt"), CaffeWeights({}), engine="embedded")
    words = {
        "refused/unknown_type": "Normalize",
        "refused/unknown_bottom": "nope",
        "refused/conv_group_not_dividing": "3 channels",
        "refused/pool_pad_ge_kernel": "smaller than the kernel",
        "refused/inplace_after_fanout": "several layers",
        "refused/softmax_loss_two_tops": "loss_weight",
    }
    assert words.get(name, "") in str(caught.value)
    read_elsewhere = name in ("refused/include_and_exclude", "refused/layer_and_layers_mixed") or "parse" in case["error"].lower()
    expected = ParseError if read_elsewhere else EngineError if name == "refused/unknown_type" else GraphError
    assert isinstance(caught.value, expected)
    assert caught.value.where.path


@pytest.mark.parametrize("name", ["odd/eltwise_inplace", "odd/lrn_inplace", "odd/pool_inplace"])
def test_what_caffe_runs_but_nobody_means_is_refused(name: str) -> None:
    _, folder = _case(name)
    with pytest.raises(GraphError, match="in place") as caught:
        open_caffe(read_net(folder / "net.prototxt"), read_weights(folder / "net.caffemodel"), engine="embedded")
    assert caught.value.where.layer


def test_convolution_in_place_is_as_out_of_place() -> None:
    _, folder = _case("odd/conv_inplace")
    recorded = np.load(folder / "io.npz")
    engine = open_caffe(read_net(folder / "net.prototxt"), read_weights(folder / "net.caffemodel"), engine="embedded")
    assert engine.outputs == ("c#1",)
    _assert_close("c", engine.run({"data": recorded["input"]})["c#1"], recorded["blob:c"])


def test_every_layer_type_of_the_recordings_is_registered() -> None:
    root = shared("golden", "caffe")
    cases = json.loads((root / "cases.json").read_text())["cases"]
    types = {type_ for case in cases.values() for type_ in case.get("layers", []) if ":" not in type_}
    assert types <= set(KINDS)


def test_every_registered_type_is_in_some_recording_or_named_here() -> None:
    root = shared("golden", "caffe")
    cases = json.loads((root / "cases.json").read_text())["cases"]
    recorded = {type_ for case in cases.values() if case["group"] in ("layer", "net", "phases") for type_ in case.get("layers", [])}
    # inputs only, without arithmetic: see test_caffe_embedded_nets.py
    assert set(KINDS) - recorded <= {"MemoryData", "WindowData"}


def test_registering_a_type_twice_fails() -> None:
    with pytest.raises(ValueError, match="Convolution"):
        layer("Convolution")(lambda _: [])
