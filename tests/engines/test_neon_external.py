"""The engine over a foreign interpreter: the protocol with stand-ins for the interpreter, everywhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from caffe2neon.engines import neon_external, open_neon
from caffe2neon.engines.base import Engine
from caffe2neon.engines.neon_external import BACKEND, VARIABLE, open_neon_external, probe_neon
from caffe2neon.errors import Caffe2NeonError, EngineError, PrmError
from tests.engines.neon_models import activation, container, layer, saved, sequential, weighted
from tests.engines.stand_ins import script, stand_in

pytestmark = pytest.mark.usefixtures("own_temporary_folder")

_PROBE = 'answer(neon="1.4.0", numpy="1.9.3")'

_DOUBLE = """
import numpy
data = numpy.load(request["input"])
arrays(out0=data * 2, tap0=data * 3)
answer(neon="1.4.0", numpy="1.9.3", outputs=["out0.npy"], taps=dict((name, "tap0.npy") for name in request["taps"]))
"""


def ones() -> dict[str, Any]:
    return {"data": np.ones((3, 2), np.float32)}


def test_an_exchange(tmp_path: Path, model: Path, own_temporary_folder: Path) -> None:
    engine = open_neon_external(model, interpreter=stand_in(tmp_path, _DOUBLE, probe=_PROBE))
    assert (engine.name, engine.version, engine.outputs, engine.taps) == ("neon", "1.4.0", ("out0",), ("fc", "main"))
    values = engine.run(ones(), ["fc"])
    assert values["out0"].tolist() == [[2, 2]] * 3
    assert values["fc"].tolist() == [[3, 3]] * 3
    assert list(own_temporary_folder.iterdir()) == []


def test_what_the_worker_is_asked(model: Path) -> None:
    asked: list[dict[str, Any]] = []

    def runner(command: Sequence[str], timeout: float, environment: Mapping[str, str]) -> tuple[int, str]:
        worker, request, response = map(Path, command[1:])
        assert worker.name == "neon_worker.py"
        asked.append({**json.loads(request.read_text()), "timeout": timeout, "threads": environment.get("OMP_NUM_THREADS")})
        fields: dict[str, Any] = {"protocol": 1, "neon": "1.4.2", "numpy": "1.9.3", "outputs": ["out0.npy"], "taps": {}}
        np.save(response.with_name("out0.npy"), np.zeros((100, 2), np.float32))
        response.write_text(json.dumps(fields))
        return 0, ""

    engine = open_neon_external(model, interpreter=sys.executable, timeout=7, memory=1 << 30, threads=2, runner=runner)
    engine.run({"data": np.ones((100, 2), np.float32)})
    assert asked[0]["task"] == "probe"
    run = asked[1]
    assert (run["task"], run["protocol"], run["batch"], run["timeout"], run["memory"]) == ("run", 1, 64, 7, 1 << 30)
    assert (run["model"], run["taps"], run["threads"]) == (str(model), [], "2")


def test_a_gpu_is_asked_for_and_named(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(BACKEND, "gpu")
    probe = 'answer(neon="1.4.0", numpy="1.9.3", backend=request["backend"])'
    assert open_neon_external(model, interpreter=stand_in(tmp_path, _DOUBLE, probe=probe)).version == "1.4.0 on a GPU"


_FAILURES = {
    "crash": ("sys.exit(3)", "ended with exit code 3"),
    "words on standard error": ("sys.stderr.write('first\\nlast words\\n'); sys.exit(1)", "exit code 1: last words"),
    "signal": ("os.kill(os.getpid(), signal.SIGKILL)", "by signal SIGKILL"),
    "no response": ("pass", "wrote no response"),
    "no JSON": ("open(answered, 'w').write('<html>')", "it is no JSON"),
    "other protocol": ("json.dump({'protocol': 2}, open(answered, 'w'))", "not of protocol 1"),
    "a list": ("json.dump([1], open(answered, 'w'))", "not of protocol 1"),
    "no version": ("answer(outputs=[], taps={})", "lacks neon's version"),
    "other version": ("answer(neon='2.0.0', outputs=[], taps={})", "has neon 2.0.0, not 1.4"),
    "no outputs": ("answer(neon='1.4.0', taps={})", "lacks 'outputs' or 'taps'"),
    "too few outputs": ("answer(neon='1.4.0', outputs=[], taps={})", "other outputs or taps"),
    "missing array": ("answer(neon='1.4.0', outputs=['out0.npy'], taps={})", "cannot be read"),
    "a path out of the folder": ("answer(neon='1.4.0', outputs=['../x.npy'], taps={})", "no file beside it"),
    "a number for a file": ("answer(neon='1.4.0', outputs=[1], taps={})", "no file beside it"),
    "rows missing": (
        "import numpy; arrays(out0=numpy.zeros((2, 2), 'f4')); answer(neon='1.4.0', outputs=['out0.npy'], taps={})",
        "not 3 rows of float32",
    ),
    "an array of objects": (
        "import numpy; arrays(out0=numpy.array([None] * 3)); answer(neon='1.4.0', outputs=['out0.npy'], taps={})",
        "cannot be read",
    ),
    "half an array": (
        "open(folder + '/out0.npy', 'wb').write(b'\\x93NUMPY'); answer(neon='1.4.0', outputs=['out0.npy'], taps={})",
        "cannot be read",
    ),
    "neon's own refusal": ("answer(stage='load', error='KeyError: states')", r"refuses this model \(load\): KeyError: states"),
    "neon that cannot be imported": ("answer(stage='import', error='ImportError: neon')", "cannot import neon: ImportError"),
}


@pytest.mark.parametrize("case", _FAILURES)
def test_a_failure_is_a_clear_error_and_leaves_nothing(case: str, tmp_path: Path, model: Path, own_temporary_folder: Path) -> None:
    run, message = _FAILURES[case]
    engine = open_neon_external(model, interpreter=stand_in(tmp_path, run, probe=_PROBE))
    with pytest.raises(EngineError, match=message) as caught:
        engine.run(ones())
    assert caught.value.where.path == str(model)
    assert list(own_temporary_folder.iterdir()) == []


def test_time_runs_out_for_the_process_and_its_children(tmp_path: Path, model: Path, own_temporary_folder: Path) -> None:
    mark = tmp_path / "child"
    run = f"import subprocess; subprocess.Popen(['sh', '-c', 'sleep 1; touch {mark}']); time.sleep(60)"
    engine = open_neon_external(model, interpreter=stand_in(tmp_path, run, probe=_PROBE), timeout=0.5)
    start = time.monotonic()
    with pytest.raises(EngineError, match=r"stopped after 0\.5 seconds"):
        engine.run(ones())
    assert time.monotonic() - start < 30
    assert list(own_temporary_folder.iterdir()) == []
    time.sleep(max(0.0, start + 2 - time.monotonic()))  # the child would have left its mark by now
    assert not mark.exists()


def test_no_interpreter_named(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    with pytest.raises(EngineError, match="no interpreter for the real neon") as caught:
        open_neon(model, engine="neon")
    assert VARIABLE in caught.value.remedy


def test_an_interpreter_that_is_not_there(model: Path, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"no interpreter '.*none'"):
        open_neon_external(model, interpreter=str(tmp_path / "none"))


def test_an_interpreter_that_is_no_program(model: Path, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="cannot start"):
        open_neon_external(model, interpreter=script(tmp_path, "\x00not a program"))


def test_an_interpreter_without_neon(model: Path) -> None:
    """The real worker under this Python: it answers, but there is no neon to import."""
    with pytest.raises(EngineError, match="cannot import neon: ModuleNotFoundError"):
        open_neon_external(model, interpreter=sys.executable)


def test_an_older_neon(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"has neon 1\.3\.0, not 1\.4"):
        probe_neon(stand_in(tmp_path, "pass", probe=_PROBE.replace("1.4.0", "1.3.0")))


def test_a_hostile_file_never_reaches_the_interpreter(tmp_path: Path) -> None:
    path, mark = tmp_path / "evil.prm", tmp_path / "touched"
    path.write_bytes(b"cos\nsystem\n(S'touch %s'\ntR." % str(mark).encode())
    with pytest.raises(PrmError, match="not on the allow list"):
        open_neon_external(path, input_shape=(2,), interpreter=script(tmp_path, "never started"))
    assert not mark.exists()


# ---- the real neon ----


def real(path: Path, interpreter: str, **options: Any) -> Engine:
    return open_neon_external(path, interpreter=interpreter, **options)


@pytest.mark.neon
@pytest.mark.parametrize("count", [1, 64, 67])
def test_batches_give_what_the_embedded_engine_gives(count: int, tmp_path: Path, neon_python: str) -> None:
    rng = np.random.default_rng(0)
    root = sequential(
        "main",
        weighted("Convolution", "conv", rng.normal(size=(18, 4)), fshape=(3, 3, 4), padding=1),
        weighted("Bias", "bias", rng.normal(size=(4, 1))),
        activation("Rectlin", "relu", slope=0.1),
        layer("Pooling", "pool", fshape=3, strides=2),
        weighted("Linear", "fc", rng.normal(size=(5, 36)), nout=5),
        activation("Softmax", "prob"),
    )
    path = saved(tmp_path / "m.prm", root, (2, 6, 6))
    data = {"data": rng.normal(size=(count, 2, 6, 6)).astype(np.float32)}
    engine, embedded = real(path, neon_python), open_neon(path, engine="embedded")
    assert engine.taps == embedded.taps
    theirs, ours = engine.run(data, engine.taps), embedded.run(data, engine.taps)
    assert theirs.keys() == ours.keys()
    for key, reference in theirs.items():
        assert ours[key].shape == reference.shape
        assert np.abs(ours[key] - reference).max() <= 1e-5 * max(1.0, np.abs(reference).max())


@pytest.mark.neon
@pytest.mark.parametrize("kind", ["MergeSum", "MergeBroadcast"])
def test_training_mode_of_a_side_branch(kind: str, tmp_path: Path, neon_python: str) -> None:
    """Batch statistics there; and in the second arm of a sum neon's BatchNorm then overwrites what the first arm left."""
    rng = np.random.default_rng(1)
    norm = {name: rng.uniform(0.5, 2, size=(2, 1)).astype(np.float32) for name in ("beta", "gamma", "gmean", "gvar")}
    arms = [
        sequential("a", weighted("Convolution", "ca", rng.normal(size=(2, 2)), fshape=(1, 1, 2))),
        sequential("b", layer("BatchNorm", "bn", norm)),
    ]
    merge = container(kind, "join", *arms, **({"merge": "depth"} if kind == "MergeBroadcast" else {}))
    root = container(
        "Tree",
        "tree",
        sequential("trunk", layer("SkipNode", "skip"), layer("BranchNode", "split"), activation("Tanh", "tanh")),
        sequential("side", layer("BranchNode", "split"), merge, activation("Logistic", "sig")),
    )
    path = saved(tmp_path / "m.prm", root, (2, 3, 4))
    data = {"data": rng.normal(size=(5, 2, 3, 4)).astype(np.float32)}
    engine, embedded = real(path, neon_python), open_neon(path, engine="embedded")
    assert engine.taps == embedded.taps
    theirs, ours = engine.run(data, engine.taps), embedded.run(data, engine.taps)
    for key, reference in theirs.items():
        assert np.abs(ours[key] - reference).max() <= 1e-5 * max(1.0, np.abs(reference).max()), key


@pytest.mark.neon
def test_a_refusal_in_neons_own_words(tmp_path: Path, neon_python: str) -> None:
    path = saved(tmp_path / "m.prm", sequential("main", layer("LRN", "n", depth=4)), (3, 2, 2))
    with pytest.raises(EngineError, match=r"initialize.: AssertionError: Only support odd LRN window size"):
        real(path, neon_python).run({"data": np.ones((1, 3, 2, 2))})


@pytest.mark.neon
def test_a_memory_limit(tmp_path: Path, neon_python: str) -> None:
    path = saved(tmp_path / "m.prm", sequential("main", weighted("Linear", "fc", np.ones((4000, 4000)), nout=4000)), (4000,))
    with pytest.raises(Caffe2NeonError, match=r"MemoryError|ended"):
        real(path, neon_python, memory=100 << 20).run({"data": np.ones((1, 4000))})


@pytest.mark.neon
def test_auto_takes_the_real_one(tmp_path: Path, neon_python: str) -> None:
    assert os.environ[VARIABLE] == neon_python
    path = saved(tmp_path / "m.prm", sequential("main", weighted("Linear", "fc", np.eye(2), nout=2)), (2,))
    engine = open_neon(path)
    assert (engine.name, engine.version[:3]) == ("neon", "1.4")


@pytest.mark.neon
def test_the_worker_itself_refuses_a_hostile_file(tmp_path: Path, neon_python: str) -> None:
    """A second wall, behind the reader's."""
    evil, mark = tmp_path / "evil.prm", tmp_path / "touched"
    evil.write_bytes(b"cos\nsystem\n(S'touch %s'\ntR." % str(mark).encode())
    np.save(tmp_path / "input.npy", np.ones((1, 2), np.float32))
    files = {"model": str(evil), "input": str(tmp_path / "input.npy")}
    request = {"protocol": 1, "task": "run", "backend": "cpu", **files, "batch": 1, "taps": [], "memory": 0}
    (tmp_path / "request.json").write_text(json.dumps(request))
    worker = Path(neon_external.__file__).with_name("neon_worker.py")
    subprocess.run([neon_python, str(worker), str(tmp_path / "request.json"), str(tmp_path / "response.json")], check=True)
    response = json.loads((tmp_path / "response.json").read_text())
    assert response["stage"] == "load"
    assert "asks for os.system" in response["error"]
    assert not mark.exists()


@pytest.mark.neon
def test_without_a_gpu_the_cpu_computes(tmp_path: Path, neon_python: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(BACKEND, "gpu")
    path = saved(tmp_path / "m.prm", sequential("main", weighted("Linear", "fc", np.eye(2), nout=2)), (2,))
    engine = real(path, neon_python)
    assert engine.version.startswith("1.4.0")
    assert engine.run(ones())[engine.outputs[0]].tolist() == [[1, 1]] * 3
