"""scripts/i1k_label_mapping.py as a user runs it: files, messages, exit codes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from caffe2neon.labels import LabelMap, builtin_map, read_map, write_map
from caffe2neon.neon import read_prm, write_prm
from tests.labels.devkit import write_devkit, write_mat
from tests.labels.models import bias, layer, linear, model, numbers, param, sequential
from tests.scripts.run import run

SCRIPT = "i1k_label_mapping.py"
SHUFFLED = "model_neon_shuffle.prm"
MAP = "neon_caffe_label_map.pkl"


@pytest.fixture
def prm(tmp_path: Path) -> Path:
    path = tmp_path / "model.prm"
    write_prm(model(sequential(linear("fc8"), bias("fc8_bias"), layer("Activation", "prob"))), path)
    return path


def _is_permuted(path: Path, order: LabelMap) -> bool:
    after = read_prm(path)
    weights, biases = param(after, "fc8"), param(after, "fc8_bias")
    return np.array_equal(weights, numbers(1000, 3)[order.array]) and np.array_equal(biases, numbers(1000, 1)[order.array])


def test_built_in_orders(prm: Path, tmp_path: Path) -> None:
    done = run(SCRIPT, prm, folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"wrote {MAP}\nreordered fc8, fc8_bias, prob\nwrote {tmp_path / SHUFFLED}\n"
    assert _is_permuted(tmp_path / SHUFFLED, builtin_map())
    assert np.array_equal(read_map(tmp_path / MAP).array, builtin_map().array)
    assert np.array_equal(param(read_prm(prm), "fc8"), numbers(1000, 3))


def test_orders_from_folders(prm: Path, tmp_path: Path) -> None:
    synsets = [f"n{i:08d}" for i in range(1000)]
    order = LabelMap(np.random.RandomState(0).permutation(1000))
    caffe, devkit = tmp_path / "caffe", tmp_path / "devkit"
    caffe.mkdir()
    devkit.mkdir()
    (caffe / "synsets.txt").write_text("\n".join(synsets) + "\n")
    meta = write_mat(list(range(1, 1001)), [synsets[c] for c in order.array])
    write_devkit(devkit / "ILSVRC2012_devkit_t12.tar.gz", meta)
    done = run(SCRIPT, prm, "--caffe_synset", caffe, "--neon_mb", devkit, folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert _is_permuted(tmp_path / SHUFFLED, order)
    assert np.array_equal(read_map(tmp_path / MAP).array, order.array)


def test_existing_map_is_taken(prm: Path, tmp_path: Path) -> None:
    order = LabelMap(np.random.RandomState(0).permutation(1000))
    write_map(order, tmp_path / MAP)
    done = run(SCRIPT, prm, "--use_existing", "--layers", "fc8", "fc8_bias", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert MAP not in done.stdout
    assert _is_permuted(tmp_path / SHUFFLED, order)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--use_existing"], f"{MAP}: cannot read: No such file or directory; check the path"),
        (["--layers", "fc9"], "the model has no layer 'fc9'; choose with --layers; these layers have 1000 outputs: fc8"),
        (["--caffe_synset", "no", "--neon_mb", "no"], "no/synsets.txt: cannot read: No such file or directory; check the path"),
    ],
    ids=["no map", "no layer", "no folders"],
)
def test_errors_are_one_line_and_exit_code_1(prm: Path, tmp_path: Path, arguments: list[str], message: str) -> None:
    done = run(SCRIPT, prm, *arguments, folder=tmp_path)
    assert (done.returncode, done.stderr) == (1, f"error: {message}\n")
    assert not (tmp_path / SHUFFLED).exists()


def test_a_second_time_is_refused(prm: Path, tmp_path: Path) -> None:
    assert run(SCRIPT, prm, folder=tmp_path).returncode == 0
    done = run(SCRIPT, tmp_path / SHUFFLED, folder=tmp_path)
    assert done.returncode == 1
    assert done.stderr == "error: the classes of this model are in neon's order already; convert it again to start anew\n"


def test_missing_model(tmp_path: Path) -> None:
    done = run(SCRIPT, "none.prm", folder=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("error: none.prm: cannot read")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("arguments", [[], ["model.prm", "--caffe_synset", "here"], ["model.prm", "--neon_mb", "here"]])
def test_usage_is_exit_code_2(arguments: list[str]) -> None:
    done = run(SCRIPT, *arguments)
    assert done.returncode == 2
    assert "usage:" in done.stderr
