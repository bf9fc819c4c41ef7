"""What a build says of its quality is read back as it was written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from caffe2neon.errors import PublishError
from caffe2neon.publish import read_measured
from caffe2neon.records import Difference, Evaluation, Parity, TopK

TOP = {"k": 1, "correct": 9, "percent": 90.0, "low": 59.6, "high": 98.2}
EVALUATION = {"engine": "e 1", "dataset": "d", "count": 10, "class_order": "neon", "topk": [TOP]}
DIFFERENCE = {"blob": "b", "neon_layer": "l", "shape": [2, 3], "max_difference": "NaN", "max_reference": 1.0, "error": 0.5}
PARITY = {"engine": "e", "reference": "r", "tolerance": 0.1, "inputs": "noise", "outputs": [DIFFERENCE], "layers": []}


def build(folder: Path, **files: object) -> Path:
    for name, value in files.items():
        (folder / f"{name}.json").write_text(json.dumps(value))
    return folder


def test_an_evaluation(tmp_path: Path) -> None:
    top = TopK(1, 9, 90.0, 59.6, 98.2)
    skipped = ["the picture 'a.jpg' is empty"]
    both = read_measured(build(tmp_path, evaluation={**EVALUATION, "skipped": skipped, "method": "m"}))
    assert both == (None, Evaluation("e 1", "d", 10, "neon", (top,), tuple(skipped), "m"))


def test_an_evaluation_of_before_pictures_could_be_skipped(tmp_path: Path) -> None:
    _, evaluation = read_measured(build(tmp_path, evaluation=EVALUATION))
    assert evaluation is not None
    assert evaluation.skipped == ()


def test_parity(tmp_path: Path) -> None:
    parity, _ = read_measured(build(tmp_path, parity=PARITY))
    assert parity is not None
    assert parity.outputs[0].max_difference != parity.outputs[0].max_difference
    assert (parity.worst, parity.outputs[0].shape) == (0.5, (2, 3))
    assert isinstance(parity, Parity)
    assert isinstance(parity.outputs[0], Difference)


@pytest.mark.parametrize("record", [{"engine": "e"}, {**EVALUATION, "topk": 3}, {**EVALUATION, "topk": [{"k": 1}]}])
def test_no_record_of_a_build(tmp_path: Path, record: object) -> None:
    with pytest.raises(PublishError, match=r"evaluation\.json: not the record of a build"):
        read_measured(build(tmp_path, evaluation=record))
