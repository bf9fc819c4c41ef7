"""What Python 2.7 and numpy 1.9 read: checked against Python's own pickletools and unpickler, which are independent of ours."""

from __future__ import annotations

import hashlib
import io
import pickle
import pickletools
import subprocess
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caffe2neon.errors import PrmError
from caffe2neon.neon import emitter, read_prm, write_prm, write_prm_stream
from caffe2neon.records import Deferred, NeonContainer, NeonLayer, NeonModel, Param

#: Python 2.7's cPickle knows these and no newer ones; unicode and memo opcodes are left out on purpose.
_WRITTEN = {
    *("PROTO", "STOP", "MARK", "NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"),
    *("BINSTRING", "SHORT_BINSTRING", "EMPTY_TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "TUPLE", "EMPTY_LIST", "APPENDS"),
    *("EMPTY_DICT", "SETITEMS", "GLOBAL", "REDUCE", "BUILD"),
}

_PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**200), 2**200) | st.floats(allow_nan=False) | st.text(max_size=300),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.lists(inner, max_size=5).map(tuple)
        | st.dictionaries(st.text(max_size=10), inner, max_size=4)
    ),
    max_leaves=20,
)


def emitted(value: Any) -> bytes:
    parts: list[bytes] = []
    writer = emitter.Emitter(lambda block: parts.append(bytes(block)))
    writer.emit(value)
    writer.finish()
    return b"".join(parts)


def unpickled(data: bytes, encoding: str = "utf-8") -> Any:
    """Python's own reader; it needs latin-1 to see Python 2's ``str`` as array bytes."""
    return pickle.loads(data, encoding=encoding)


def model(**params: Param) -> NeonModel:
    layer = NeonLayer("neon.layers.layer.Linear", {"name": "fc", "nout": 5, "init": None}, params)
    root = NeonContainer("neon.layers.container.Sequential", {"name": "main"}, (layer,))
    return NeonModel(root, {"backend": {"compat_mode": "caffe"}})


@given(_PLAIN)
def test_plain_values_survive_an_independent_unpickler(value: Any) -> None:
    data = emitted(value)
    result = unpickled(data)
    assert result == value
    assert type(result) is type(value)
    assert {opcode.name for opcode, _, _ in pickletools.genops(data)} <= _WRITTEN


@pytest.mark.parametrize("shape", [(), (0,), (3,), (4, 1), (2, 0, 3), (2, 3, 4, 5)], ids=str)
@pytest.mark.parametrize("dtype", ["f4", "f8", ">f4", "i4", "u1", "?"])
@pytest.mark.filterwarnings("ignore:numpy.core is deprecated")
def test_arrays_survive_an_independent_unpickler(shape: tuple[int, ...], dtype: str) -> None:
    array = (np.arange(np.prod(shape, dtype=int)) % 7).reshape(shape).astype(dtype)
    data = emitted(array)
    result = unpickled(data, "latin-1")
    assert result.shape == shape
    assert result.flags.c_contiguous
    np.testing.assert_array_equal(result, array)


@pytest.mark.filterwarnings("ignore:numpy.core is deprecated")
@pytest.mark.parametrize("rows", [1, 7, 300_000])
def test_a_transposed_view_is_written_in_c_order(rows: int) -> None:
    array = np.arange(rows * 5, dtype=np.float32).reshape(5, rows).T
    np.testing.assert_array_equal(unpickled(emitted(array), "latin-1"), array)


def test_globals_are_the_three_that_old_numpy_has() -> None:
    data = emitted({"W": np.zeros((2, 3), np.float32)})
    assert {arg for opcode, arg, _ in pickletools.genops(data) if opcode.name == "GLOBAL"} == {
        "numpy.core.multiarray _reconstruct",
        "numpy ndarray",
        "numpy dtype",
    }


def test_the_hash_is_of_the_written_bytes(tmp_path: Path) -> None:
    path = tmp_path / "m.prm"
    digest = write_prm(model(W=np.ones((5, 1_500_000), np.float32)), path)
    assert digest == hashlib.sha256(path.read_bytes()).hexdigest()


def test_equal_models_give_equal_bytes_whether_deferred_or_not(tmp_path: Path) -> None:
    array = np.arange(15, dtype=np.float32).reshape(5, 3)
    now, later, view = tmp_path / "now.prm", tmp_path / "later.prm", tmp_path / "view.prm"
    write_prm(model(W=array), now)
    write_prm(model(W=Deferred((5, 3), lambda: array.copy())), later)
    write_prm(model(W=np.asfortranarray(array)), view)
    assert now.read_bytes() == later.read_bytes() == view.read_bytes()


def test_write_read_write_is_byte_identical(tmp_path: Path) -> None:
    first, second = tmp_path / "a.prm", tmp_path / "b.prm"
    source = model(W=np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32))
    meta = {"outputs": ["prob"], "x": [1, 2.5, True]}
    write_prm(NeonModel(source.root, {**source.header, "train_input_shape": (1, 2, 3), "caffe2neon": meta}), first)
    write_prm(read_prm(first), second)
    assert first.read_bytes() == second.read_bytes()


def test_deferred_parameters_are_made_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(emitter, "LARGE", 1)
    alive: list[str] = []

    class Tracked(np.ndarray):
        pass

    def make(name: str) -> Any:
        def produce() -> Any:
            assert not [other for other in alive if other != name], "another array is still held"
            array = np.zeros((5, 3), np.float32).view(Tracked)
            alive.append(name)
            weakref.finalize(array, alive.remove, name)
            return array

        return produce

    write_prm_stream(model(a=Deferred((5, 3), make("a")), b=Deferred((5, 3), make("b"))), io.BytesIO())
    assert alive == []


def test_an_array_of_two_gibibytes_is_refused(tmp_path: Path) -> None:
    huge = Deferred((1 << 16, 1 << 13), lambda: pytest.fail("never made"))
    with pytest.raises(PrmError, match="hold at most 2,147,483,647"):
        write_prm(model(W=huge), tmp_path / "m.prm")
    assert list(tmp_path.iterdir()) == []


def test_a_deferred_array_of_another_shape_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PrmError, match="came out as"):
        write_prm(model(W=Deferred((5, 3), lambda: np.zeros((3, 5), np.float32))), tmp_path / "m.prm")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "value",
    [b"bytes", {1, 2}, object(), np.array([object()]), np.array(["text"])],
    ids=["bytes", "set", "object", "array of objects", "array of text"],
)
def test_what_the_format_cannot_hold_is_refused(value: Any) -> None:
    with pytest.raises(PrmError, match="cannot be written"):
        emitted(value)


def test_a_parameter_that_is_no_number_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PrmError, match="is no number") as caught:
        write_prm(model(W=np.array(["a"])), tmp_path / "m.prm")
    assert caught.value.where.layer == "fc"


@pytest.mark.neon
def test_python_2_loads_what_is_written(tmp_path: Path, neon_python: str) -> None:
    path = tmp_path / "m.prm"
    source = model(W=np.arange(15, dtype=np.float32).reshape(3, 5).T)
    header = {**source.header, "text": "é", "big": 1 << 40, "tuple": (1, (2,), [3.5, None, True])}
    write_prm(NeonModel(source.root, header), path)
    code = (
        "import cPickle, sys; d = cPickle.load(open(sys.argv[1], 'rb')); w = d['model']['config']['layers'][0]['params']['W'];"
        "assert w.shape == (5, 3) and w.dtype.str == '<f4' and w[1].tolist() == [1, 6, 11] and w.flags.c_contiguous;"
        "assert d['text'] == '\\xc3\\xa9' and type(d['text']) is str and d['big'] == 1 << 40;"
        "assert d['tuple'] == (1, (2,), [3.5, None, True]) and all(type(k) is str for k in d)"
    )
    subprocess.run([neon_python, "-c", code, str(path)], check=True)
