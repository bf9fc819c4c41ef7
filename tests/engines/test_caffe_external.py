"""The engine over real pycaffe: the protocol with stand-ins for its interpreter, everywhere; recordings, where it is there."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from caffe2neon.caffe import read_net, read_weights
from caffe2neon.caffe.caffe_pb2 import DESCRIPTOR
from caffe2neon.engines import open_caffe
from caffe2neon.engines.caffe_external import VARIABLE, last_words, open_caffe_external, probe_caffe
from caffe2neon.engines.caffe_lower import Dialect, lower
from caffe2neon.errors import EngineError
from caffe2neon.records import CaffeNet, CaffeWeights
from tests import golden
from tests.engines.stand_ins import script, stand_in

pytestmark = pytest.mark.usefixtures("own_temporary_folder")

#: A Caffe that knows the fields of HEAD, but of its layers what follows.
_PROBE = f"""
open(folder + "/caffe.desc", "wb").write(bytes.fromhex("{DESCRIPTOR.serialized_pb.hex()}"))
answer(caffe="ca4e3428bd40ba5b4ba941a7781d0d16d0726005", layer_types=["BatchNorm", "InnerProduct", "ReLU"], schema="caffe.desc")
"""

_NET = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 9 dim: 2 } } }
layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc" inner_product_param { num_output: 2 bias_term: false } }
layer { name: "relu" type: "ReLU" bottom: "fc" top: "fc" }
"""

_DOUBLE = """
import numpy
data = numpy.load(os.path.join(folder, request["inputs"]["data"]))
arrays(out0=data * 2)
answer(caffe=None, values=dict((key, "out0.npy") for key, number, blob in request["wanted"]))
"""


def net_of(tmp_path: Path, text: str = _NET) -> CaffeNet:
    path = tmp_path / "net.prototxt"
    path.write_text(text)
    return read_net(path)


WEIGHTS = CaffeWeights({"fc": (np.array([[1, 2], [-3, 4]], np.float32),)})


def ones() -> dict[str, Any]:
    return {"data": np.ones((3, 2), np.float32)}


def test_an_exchange(tmp_path: Path, own_temporary_folder: Path) -> None:
    engine = open_caffe_external(net_of(tmp_path), WEIGHTS, batch=3, interpreter=stand_in(tmp_path, _DOUBLE, probe=_PROBE))
    assert (engine.name, engine.version, engine.inputs) == ("caffe", "ca4e3428b", {"data": (2,)})
    assert (engine.outputs, engine.taps) == (("fc#1",), ("data", "fc", "fc#1"))
    values = engine.run(ones(), ["fc"])
    assert {key: value.tolist() for key, value in values.items()} == {"fc#1": [[2, 2]] * 3, "fc": [[2, 2]] * 3}
    assert list(own_temporary_folder.iterdir()) == []


def test_what_the_worker_is_asked(tmp_path: Path) -> None:
    asked: list[dict[str, Any]] = []

    def runner(command: Sequence[str], timeout: float, environment: Mapping[str, str]) -> tuple[int, str]:
        worker, request, response = map(Path, command[1:])
        assert worker.name == "caffe_worker.py"
        fields = json.loads(request.read_text())
        if fields["task"] == "probe":
            response.with_name("caffe.desc").write_bytes(DESCRIPTOR.serialized_pb)
            answer: dict[str, Any] = {"caffe": None, "layer_types": ["BatchNorm", "InnerProduct", "ReLU"], "schema": "caffe.desc"}
        else:
            asked.append({**fields, "timeout": timeout, "environment": environment, "text": Path(fields["net"]).read_text()})
            np.save(response.with_name("out0.npy"), np.zeros((3, 2), np.float32))
            answer = {"caffe": None, "values": {"fc#1": "out0.npy"}}
        response.write_text(json.dumps({"protocol": 1, **answer}))
        return 0, ""

    limits: dict[str, Any] = {"timeout": 7, "memory": 1 << 30, "threads": 2}
    engine = open_caffe_external(net_of(tmp_path), WEIGHTS, interpreter="sh", runner=runner, **limits)
    assert engine.version == "of unknown version"
    engine.run(ones())
    (run,) = asked
    assert (run["timeout"], run["memory"], run["environment"]["OMP_NUM_THREADS"]) == (7, 1 << 30, "2")
    assert (run["layers"], run["weights"], run["params"]) == (["fc", "relu"], None, {"fc": ["p0_0.npy"]})
    assert run["wanted"] == [["fc#1", 1, "fc"]]
    assert 'input: "data"\ninput_shape {\n  dim: 9\n  dim: 2\n}\nlayer {\n  name: "fc"' in run["text"]
    assert '"Input"' not in run["text"]


def test_a_caffemodel_is_read_by_caffe_itself(tmp_path: Path) -> None:
    run = "assert request['params'] == {} and request['known'] == ['fc']; assert os.path.isfile(request['weights'])\n" + _DOUBLE
    model = tmp_path / "m.caffemodel"
    model.touch()
    weights = CaffeWeights(WEIGHTS.blobs, path=str(model))
    open_caffe_external(net_of(tmp_path), weights, interpreter=stand_in(tmp_path, run, probe=_PROBE)).run(ones())


_ABORT = (
    "sys.stderr.write('F1123 03:07:00.123456    12 net.cpp:66] Check failed: 1 == 2 bad net\\n*** Check failure stack trace'); "
    "sys.stderr.write('\\n    @     0x7f14  google::LogMessage::Fail()\\n'); sys.stderr.flush(); os.abort()"
)

_FAILURES = {
    "an abort in Caffe's words": (_ABORT, r"by signal SIGABRT: Check failed: 1 == 2 bad net$"),
    "crash": ("sys.exit(3)", "ended with exit code 3"),
    "an exception": ("sys.stderr.write('first\\nlast words\\n'); sys.exit(1)", "exit code 1: last words"),
    "signal": ("os.kill(os.getpid(), signal.SIGKILL)", "by signal SIGKILL"),
    "no response": ("pass", "wrote no response"),
    "no JSON": ("open(answered, 'w').write('<html>')", "it is no JSON"),
    "other protocol": ("json.dump({'protocol': 2}, open(answered, 'w'))", "not of protocol 1"),
    "no values": ("answer(caffe=None)", "other blobs"),
    "too few values": ("answer(caffe=None, values={})", "other blobs"),
    "missing array": ("answer(caffe=None, values={'fc#1': 'out0.npy'})", "cannot be read"),
    "a path out of the folder": ("answer(caffe=None, values={'fc#1': '../x.npy'})", "no file beside it"),
    "integers": (
        "import numpy; arrays(out0=numpy.zeros((3, 2), 'i4')); answer(caffe=None, values={'fc#1': 'out0.npy'})",
        "not of float32",
    ),
    "a layer without weights": (
        "answer(stage='weights', error='ValueError: layer fc')",
        r"cannot run this net \(weights\): ValueError: layer fc",
    ),
}


@pytest.mark.parametrize("case", _FAILURES)
def test_a_failure_is_a_clear_error_and_leaves_nothing(case: str, tmp_path: Path, own_temporary_folder: Path) -> None:
    run, message = _FAILURES[case]
    net = net_of(tmp_path)
    engine = open_caffe_external(net, WEIGHTS, interpreter=stand_in(tmp_path, run, probe=_PROBE))
    with pytest.raises(EngineError) as caught:
        engine.run(ones())
    assert caught.match(message.removesuffix("$"))
    assert caught.value.where.path == net.path
    assert list(own_temporary_folder.iterdir()) == []


_PROBES = {
    "no caffe": ("answer(stage='import', error='ImportError: caffe')", "cannot import caffe: ImportError"),
    "no schema": ("answer(caffe=None, layer_types=[])", "lacks Caffe's version"),
    "a schema that is not there": ("answer(caffe=None, layer_types=[], schema='caffe.desc')", "schema cannot be read"),
    "a schema of nothing": (
        "open(folder + '/caffe.desc', 'wb').write(b'\\xff'); answer(caffe=None, layer_types=[], schema='caffe.desc')",
        "schema cannot be read",
    ),
    "an old Caffe": (
        "open(folder + '/caffe.desc', 'wb'); answer(caffe=None, layer_types=['Convolution'], schema='caffe.desc')",
        "without BatchNorm, older than ca4e3428b",
    ),
}


@pytest.mark.parametrize("case", _PROBES)
def test_a_probe_that_fails(case: str, tmp_path: Path) -> None:
    probe, message = _PROBES[case]
    with pytest.raises(EngineError, match=message):
        probe_caffe(stand_in(tmp_path, "pass", probe=probe))


def test_time_runs_out(tmp_path: Path, own_temporary_folder: Path) -> None:
    engine = open_caffe_external(
        net_of(tmp_path), WEIGHTS, interpreter=stand_in(tmp_path, "time.sleep(60)", probe=_PROBE), timeout=0.5
    )
    start = time.monotonic()
    with pytest.raises(EngineError, match=r"caffe was stopped after 0\.5 seconds"):
        engine.run(ones())
    assert time.monotonic() - start < 30
    assert list(own_temporary_folder.iterdir()) == []


@pytest.mark.parametrize("inputs", [{}, {"other": np.ones((3, 2))}, {"data": np.ones((3, 3))}, {"data": np.ones((0, 2))}])
def test_inputs_that_do_not_fit(inputs: dict[str, Any], tmp_path: Path) -> None:
    engine = open_caffe_external(net_of(tmp_path), WEIGHTS, interpreter=stand_in(tmp_path, _DOUBLE, probe=_PROBE))
    with pytest.raises(EngineError, match="input"):
        engine.run(inputs)


def test_a_blob_that_is_not_there(tmp_path: Path) -> None:
    engine = open_caffe_external(net_of(tmp_path), WEIGHTS, interpreter=stand_in(tmp_path, _DOUBLE, probe=_PROBE))
    with pytest.raises(EngineError, match="no blob 'fc#2'") as caught:
        engine.run(ones(), ["fc#2"])
    assert "fc#1" in caught.value.remedy


def test_no_interpreter_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    with pytest.raises(EngineError, match="no interpreter for the real caffe") as caught:
        open_caffe(net_of(tmp_path), WEIGHTS, engine="caffe")
    assert VARIABLE in caught.value.remedy


def test_an_engine_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="no Caffe engine 'tensorflow'"):
        open_caffe(net_of(tmp_path), WEIGHTS, engine="tensorflow")


def test_auto_takes_the_embedded_one_and_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net = net_of(tmp_path, _NET.replace('"ReLU"', '"ELU"'))
    monkeypatch.setenv(VARIABLE, stand_in(tmp_path, _DOUBLE, probe=_PROBE))
    engine = open_caffe(net, WEIGHTS, batch=3)
    assert engine.name == "caffe-embedded"
    assert engine.version.endswith("(real Caffe ca4e3428b does not know the layer type 'ELU')")
    assert engine.run(ones())["fc#1"].tolist() == [[3, 1]] * 3
    assert (engine.inputs, engine.outputs, engine.taps) == ({"data": (2,)}, ("fc#1",), ("data", "fc", "fc#1"))
    with pytest.raises(EngineError, match="does not know the layer type 'ELU'"):
        open_caffe(net, WEIGHTS, engine="caffe")


def test_auto_without_a_working_interpreter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, script(tmp_path, "\x00not a program"))
    assert "cannot start" in open_caffe(net_of(tmp_path), WEIGHTS).version


def test_a_file_that_caffe_cannot_parse() -> None:
    errors = (
        "[libprotobuf ERROR google/protobuf/text_format.cc:337] Error parsing text-format caffe.NetParameter: 3:9: no field\n"
        "F20261123 03:07:00.1 12 upgrade_proto.cpp:68] Check failed: ReadProtoFromTextFile Failed to parse\n*** Check failure"
    )
    assert last_words(errors).startswith("Check failed: ReadProtoFromTextFile Failed to parse (Error parsing text-format")


# ---- lowering ----


def dialect(*types: str, without: str = "") -> Dialect:
    """HEAD's fields, but for one as in ``PoolingParameter.round_mode``."""
    whole = Dialect.of("X", types, DESCRIPTOR.serialized_pb)
    message, _, name = without.partition(".")
    fields = {key: names - {name} if key.endswith(f".{message}") else names for key, names in whole.fields.items()}
    return Dialect(whole.version, whole.layer_types, fields)


_POOL = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 2 dim: 4 dim: 4 } } }
layer { name: "p" type: "Pooling" bottom: "data" top: "p" pooling_param { kernel_size: 2 round_mode: CEIL } }
"""


def test_a_newer_field_that_says_the_default_is_left_out(tmp_path: Path) -> None:
    old = dialect("Pooling", without="PoolingParameter.round_mode")
    assert "round_mode" not in lower(net_of(tmp_path, _POOL), WEIGHTS, old, None).text
    with pytest.raises(EngineError, match=r"does not know the field PoolingParameter\.round_mode") as caught:
        lower(net_of(tmp_path, _POOL.replace("CEIL", "FLOOR")), WEIGHTS, old, None)
    assert (caught.value.where.layer, caught.value.where.line) == ("p", 3)


_AFFINE = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 2 dim: 4 dim: 4 } } }
layer { name: "bn" type: "BatchNorm" bottom: "data" top: "bn" }
layer { name: "sc" type: "Scale" bottom: "bn" top: "bn" scale_param { bias_term: true } }
layer { name: "relu" type: "ReLU" bottom: "bn" top: "bn" }
layer { name: "b" type: "Bias" bottom: "bn" top: "b" }
layer { name: "p" type: "Pooling" bottom: "b" top: "p" pooling_param { kernel_size: 2 } }
"""


def test_batchnorm_scale_and_bias_become_convolutions_that_compute_the_same(tmp_path: Path) -> None:
    """The lowered text is a net of its own: the embedded engine gives the same numbers for it as for the original."""
    rng = np.random.default_rng(0)
    pair = [rng.uniform(0.5, 2, 2).astype(np.float32) for _ in range(5)]
    blobs = {"bn": (pair[0], pair[1], np.array([2], np.float32)), "sc": (pair[2], pair[3]), "b": (pair[4],)}
    weights = CaffeWeights(blobs)
    net = net_of(tmp_path, _AFFINE)
    lowered = lower(net, weights, dialect("BatchNorm", "Convolution", "Pooling", "ReLU"), 3)
    assert lowered.replaced == ("BatchNorm", "Bias", "Scale")
    assert list(lowered.versions) == ["data", "bn", "bn#1", "bn#2", "b", "p"]
    assert lowered.outputs == ("p",)
    params = {name: (value[0].reshape(2, 1, 1, 1), *value[1:]) for name, value in lowered.params.items()}
    theirs = open_caffe(net_of(tmp_path, lowered.text), CaffeWeights(params), engine="embedded")
    ours = open_caffe(net, weights, engine="embedded", batch=3)
    data = {"data": rng.normal(size=(3, 2, 4, 4)).astype(np.float32)}
    expected = ours.run(data, ours.taps)
    computed = theirs.run(data, theirs.taps)
    names = {key: name for key, (_, name) in lowered.versions.items()}
    for key in ("bn", "bn#1", "b", "p"):
        np.testing.assert_allclose(computed[names[key]], expected[key], rtol=1e-5, atol=1e-6, err_msg=key)
    np.testing.assert_allclose(computed[f"{names['bn#2']}#1"], expected["bn#2"], rtol=1e-5, atol=1e-6)


def test_a_caffe_that_knows_scale_gets_the_net_as_it_is(tmp_path: Path) -> None:
    lowered = lower(net_of(tmp_path, _AFFINE), WEIGHTS, dialect("BatchNorm", "Bias", "Pooling", "ReLU", "Scale"), None)
    assert (lowered.replaced, lowered.params) == ((), {})
    assert 'type: "Scale"' in lowered.text


# ---- real Caffe ----


#: Recorded by Caffe's HEAD, and in words that the pinned Caffe does not have: what the refusal names.
_BEYOND = {
    "clip": "layer type 'Clip'",
    "conv_dilation2": "field ConvolutionParameter.dilation",
    "crop_offset": "layer type 'Crop'",
    "crop_two_offsets": "layer type 'Crop'",
    "elu": "layer type 'ELU'",
    "elu_alpha": "layer type 'ELU'",
    "ip_transpose": "field InnerProductParameter.transpose",
    "net_fcn": "layer type 'Crop'",
    "net_se_block": "layer type 'Scale' as it is used here",
    "pool_round_floor": "field PoolingParameter.round_mode",
    "scale_num_axes2": "layer type 'Scale' as it is used here",
    "swish": "layer type 'Swish'",
}
#: ArgMax without an axis, of fewer than three axes: the pinned Caffe writes beyond its memory (``argmax_layer.cpp``).
_CORRUPT = "argmax_values"


@pytest.mark.caffe
@pytest.mark.parametrize("name", golden.names("layer", "net", "formats", having="io.npz"))
def test_every_blob_is_as_recorded(name: str, caffe_python: str) -> None:
    """Whether the pinned Caffe reads the net as it is, or as we write it for it; what it has no words for is refused by name."""
    case, folder = golden.case(name)
    net, weights = read_net(folder / case.get("prototxt", "net.prototxt")), read_weights(folder / "net.caffemodel")
    with np.load(folder / "io.npz") as file:
        recorded = dict(file)
    if name in _BEYOND:
        assert not case["ref_ca4e3428b"]["ok"]
        with pytest.raises(EngineError) as caught:
            open_caffe_external(net, weights, interpreter=caffe_python)
        assert caught.value.message.endswith(f"does not know the {_BEYOND[name]}")
        assert caught.value.where.layer
        assert caught.value.where.line
        return
    engine = open_caffe_external(net, weights, interpreter=caffe_python)
    inputs = {blob: recorded[case["inputs"].get(blob, f"blob:{blob}")] for blob in engine.inputs}
    try:
        computed = engine.run(inputs, engine.taps)
    except EngineError as error:
        if name == _CORRUPT and "ended by signal" in error.message:
            return
        raise
    newest = {key.partition("#")[0]: key for key in engine.taps}
    for entry in filter(lambda blob: blob.startswith("blob:"), recorded):
        theirs, ours = recorded[entry], computed[newest[entry.removeprefix("blob:")]]
        assert ours.shape == theirs.shape, entry
        finite = np.isfinite(theirs)
        np.testing.assert_array_equal(np.isfinite(ours), finite, err_msg=entry)
        difference = np.abs(ours[finite].astype(np.float64) - theirs[finite]).max(initial=0)
        assert difference <= 1e-5 * max(1, np.abs(theirs[finite]).max(initial=0)), entry


@pytest.mark.caffe
def test_an_abort_of_real_caffe(tmp_path: Path, caffe_python: str, own_temporary_folder: Path) -> None:
    net = net_of(tmp_path, _POOL.replace("kernel_size: 2", "kernel_size: 2 pad: 2"))
    engine = open_caffe_external(net, CaffeWeights({}), interpreter=caffe_python)
    with pytest.raises(EngineError, match=r"ended by signal SIGABRT: Check failed: pad_h_ < kernel_h_ \(2 vs\. 2\)"):
        engine.run({"data": np.zeros((1, 2, 4, 4))})
    assert list(own_temporary_folder.iterdir()) == []


@pytest.mark.caffe
def test_weights_that_do_not_fit(tmp_path: Path, caffe_python: str) -> None:
    net = net_of(tmp_path)
    with pytest.raises(EngineError, match=r"\(weights\): ValueError: layer 'fc' has learnable blobs, but no weights"):
        open_caffe_external(net, CaffeWeights({}), interpreter=caffe_python).run(ones())
    with pytest.raises(EngineError, match="cannot reshape"):
        open_caffe_external(net, CaffeWeights({"fc": (np.ones((3, 5)),)}), interpreter=caffe_python).run(ones())


@pytest.mark.caffe
def test_a_memory_limit(tmp_path: Path, caffe_python: str) -> None:
    engine = open_caffe_external(net_of(tmp_path), WEIGHTS, interpreter=caffe_python, memory=50 << 20)
    with pytest.raises(EngineError, match=r"ended|MemoryError"):
        engine.run({"data": np.ones((1 << 23, 2))})


@pytest.mark.caffe
def test_auto_takes_the_real_one(tmp_path: Path, caffe_python: str) -> None:
    assert os.environ[VARIABLE] == caffe_python
    engine = open_caffe(net_of(tmp_path), WEIGHTS)
    assert engine.name == "caffe"
    assert engine.run(ones())["fc#1"].tolist() == [[3, 1]] * 3
