"""The real neon measures: what its process is asked and may answer, with stand-ins everywhere; and what it says itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from caffe2neon.engines.base import Measuring
from caffe2neon.engines.neon_external import open_neon_external
from caffe2neon.errors import EngineError
from caffe2neon.evaluate import beaten_by
from caffe2neon.records import MacrobatchPart
from tests.engines.neon_models import saved, sequential, weighted
from tests.engines.stand_ins import stand_in

pytestmark = pytest.mark.usefixtures("own_temporary_folder")

_PROBE = 'answer(neon="1.4.0", numpy="1.9.3", loader=True)'

#: Says of example i, of label l, l / 4 + i for k = 1 and twice that for k = 2.
_JUDGE = """
import numpy
array = request["array"]
data, labels = numpy.load(array["input"]), numpy.load(array["labels"])
assert (request["task"], request["topk"], request["output"], array["classes"]) == ("evaluate", [1, 2], 0, 2)
assert (data.dtype, labels.dtype, request["batch"]) == ("f4", "i4", 3)
wrong = labels / 4 + data[:, 0]
arrays(wrong=numpy.stack([wrong, 2 * wrong], 1).astype("f4"), labels=labels[:, None].astype("f4"))
answer(neon="1.4.0", misclassified="wrong.npy", labels="labels.npy")
"""

_LOAD = """
import numpy
part = dict(request["macrobatches"])
assert part.pop("folder").endswith("/batches")
assert part == dict(subset="validation", first=2, skip=1, count=3, size=227, scale_range=256, mean=[104, 117, 123]), part
arrays(wrong=numpy.zeros((3, 2), "f4"), labels=numpy.array([[7], [8], [9]], "f4"))
answer(neon="1.4.0", misclassified="wrong.npy", labels="labels.npy")
"""

DATA = np.arange(6, dtype=np.float32).reshape(3, 2)
LABELS = np.array([1, 0, 1])


def test_arrays_go_out_and_rows_come_back(tmp_path: Path, model: Path, own_temporary_folder: Path) -> None:
    engine = open_neon_external(model, interpreter=stand_in(tmp_path, _JUDGE, probe=_PROBE))
    assert isinstance(engine, Measuring)
    assert (engine.at_once, engine.has_image_loader) == (64, True)
    wrong = engine.misclassified(DATA, LABELS, 2, output="out0", topk=(1, 2))
    assert wrong.tolist() == [[0.25, 0.5], [2, 4], [4.25, 8.5]]
    assert list(own_temporary_folder.iterdir()) == []


def test_macrobatches_are_named(tmp_path: Path, model: Path) -> None:
    engine = open_neon_external(model, interpreter=stand_in(tmp_path, _LOAD, probe=_PROBE))
    part = MacrobatchPart(tmp_path / "batches", "validation", 2, 1, 3, 227, 256, (104, 117, 123))
    labels, wrong = engine.misclassified_macrobatches(part, output="out0", topk=(1, 5))
    assert labels.tolist() == [7, 8, 9]
    assert not wrong.any()


def test_a_gpu_is_worth_more_at_once(tmp_path: Path, model: Path) -> None:
    probe = 'answer(neon="1.4.0", numpy="1.9.3", backend="gpu")'
    engine = open_neon_external(model, interpreter=stand_in(tmp_path, "pass", probe=probe))
    assert (engine.at_once, engine.has_image_loader) == (512, False)


_FAILURES = {
    "crash": ("os.kill(os.getpid(), signal.SIGABRT)", "by signal SIGABRT"),
    "no arrays": ('answer(neon="1.4.0")', "None is no file beside it"),
    "an example missing": (
        'import numpy; arrays(a=numpy.zeros((2, 2), "f4")); answer(neon="1.4.0", misclassified="a.npy", labels="a.npy")',
        "not 3 rows of float32",
    ),
    "a k missing": (
        'import numpy; arrays(a=numpy.zeros((3, 1), "f4")); answer(neon="1.4.0", misclassified="a.npy", labels="a.npy")',
        "as many examples and values of k",
    ),
    "neon's own refusal": ('answer(stage="fprop", error="IndexError: 7")', r"refuses this model \(fprop\): IndexError: 7"),
}


@pytest.mark.parametrize("case", _FAILURES)
def test_a_failure_is_a_clear_error_and_leaves_nothing(case: str, tmp_path: Path, model: Path, own_temporary_folder: Path) -> None:
    run, message = _FAILURES[case]
    engine = open_neon_external(model, interpreter=stand_in(tmp_path, run, probe=_PROBE))
    with pytest.raises(EngineError, match=message) as caught:
        engine.misclassified(DATA, LABELS, 2, output="out0", topk=(1, 2))
    assert caught.value.where.path == str(model)
    assert list(own_temporary_folder.iterdir()) == []


# ---- the real neon ----


def judged(model: Path, neon_python: str, scores: Any, labels: list[int], topk: tuple[int, ...]) -> Any:
    """The model passes its input on, so that the data are the scores."""
    engine = open_neon_external(model, interpreter=neon_python)
    data = np.array(scores, np.float32)
    return engine.misclassified(data, np.array(labels), data.shape[1], output="out0", topk=topk)


@pytest.mark.neon
@pytest.mark.parametrize("count", [1, 64, 150])
def test_every_example_by_itself_whatever_the_batch(count: int, tmp_path: Path, neon_python: str) -> None:
    path = saved(tmp_path / "m.prm", sequential("main", weighted("Linear", "fc", np.eye(6), nout=6)), (6,))
    rng = np.random.default_rng(3)
    scores, labels = rng.normal(size=(count, 6)), rng.integers(0, 6, count)
    ranks = (scores > scores[np.arange(count), labels][:, None]).sum(axis=1)  # no two are alike
    wrong = judged(path, neon_python, scores, labels.tolist(), (1, 2, 6))
    assert np.array_equal(wrong, np.stack([ranks >= k for k in (1, 2, 6)], axis=1))


@pytest.mark.neon
def test_a_tie_counts_against_the_model_on_the_cpu_and_what_is_no_number_shows(tmp_path: Path, neon_python: str) -> None:
    """What is too large for single precision becomes infinite in the model, as an overflow does."""
    path = saved(tmp_path / "m.prm", sequential("main", weighted("Linear", "fc", 1e20 * np.eye(4), nout=4)), (4,))
    scores = [[1, 1, 1, 1], [3, 2, 2, 0], [0, 1, 2, np.nan], [0, 1, 2, 1e20], [0, 1, 2, -1e20]]
    wrong = judged(path, neon_python, scores, [0, 1, 1, 1, 1], (1, 2, 3))
    # Four share the first place, more than fit into the top 3; then two the second and third.
    assert wrong[:2].tolist() == [[1, 1, 1], [1, 1, 0]]
    assert (beaten_by(np.array(scores[:2]), np.array([0, 1]))[:, None] < [1, 2, 3]).tolist() == [[False] * 3, [False, False, True]]
    assert np.isnan(wrong[2:]).all()
