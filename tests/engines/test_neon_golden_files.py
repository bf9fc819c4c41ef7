"""Files of the real neon, read and written again by this project: the real neon loads them and computes what it did."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from caffe2neon.engines.neon_external import open_neon_external
from caffe2neon.neon import read_prm, write_prm
from tests.conftest import shared

#: Every way a file can differ: protocols, unicode, float64 in Fortran order, optimizer states, rng states, several outputs.
_NAMES = [
    *("live_cnn", "live_fitted", "live_mlp", "live_tree", "net_googlenet_tree", "net_resnet", "net_squeezenet"),
    *("pickle_fortran_f64", "pickle_protocol0", "pickle_protocol0_bn", "pickle_unicode_keys", "nested_merge_wrapped"),
]


@pytest.mark.neon
@pytest.mark.parametrize("name", _NAMES)
def test_read_write_and_real_neon(name: str, tmp_path: Path, neon_python: str) -> None:
    recorded = dict(np.load(shared("golden", "neon", f"{name}.npz")))
    case = json.loads(shared("golden", "neon", "cases.json").read_text())["cases"][name]
    path = tmp_path / "again.prm"
    write_prm(read_prm(shared("golden", "neon", f"{name}.prm")), path)
    engine = open_neon_external(path, input_shape=tuple(case["in_shape"]), interpreter=neon_python)
    values = engine.run({"data": recorded.pop("input")})
    assert values.keys() == recorded.keys()
    for key, reference in recorded.items():
        difference = np.abs(values[key].reshape(reference.shape) - reference).max()
        assert difference <= 1e-5 * max(1.0, np.abs(reference).max())
