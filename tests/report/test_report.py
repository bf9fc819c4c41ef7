"""Records as JSON, the report of a build, and its table."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from caffe2neon.errors import PublishError
from caffe2neon.records import (
    Difference,
    Evaluation,
    ModelSpec,
    Outcome,
    Parity,
    PinnedFile,
    Publication,
    Published,
    TopK,
)
from caffe2neon.report import summary, to_json, write_report

_FILE = PinnedFile("x", "sha256", "0" * 64)
_SPECS = (
    ModelSpec("digits", _FILE, _FILE, "", published=Published({1: 98.0})),
    ModelSpec("bvlc_googlenet", _FILE, _FILE, "", published=Published({1: 68.7, 5: 88.9})),
)


def _outcome(root: Path, error: float = 2.5e-7) -> Outcome:
    return Outcome(
        name="digits",
        status="published",
        reason="all checks passed",
        parity=Parity(
            "neon-embedded", "caffe-embedded", 1e-5, "random", (Difference("prob", "softmax", (10,), error, 1.0, error),)
        ),
        evaluation=Evaluation(
            "neon-embedded",
            "digits",
            360,
            "",
            (TopK(1, 359, 99.72, 98.4, 99.9), TopK(5, 360, 100.0, 98.9, 100.0)),
            method="ties count against the model",
        ),
        publication=Publication("digits", "ab12", root / "digits" / "ab12", {"digits.prm": "c" * 64}, {"digits.prm": 94_321}),
        warnings=("models.digits.caffemodel.sha1: weak",),
    )


FAILED = Outcome("bvlc_googlenet", "failed", "cannot reach the server: Connection refused\ntry again later", stage="fetch")


def test_outcome_as_json(tmp_path: Path) -> None:
    assert to_json(_outcome(tmp_path), tmp_path) == {
        "name": "digits",
        "status": "published",
        "reason": "all checks passed",
        "stage": "",
        "parity": {
            "engine": "neon-embedded",
            "reference": "caffe-embedded",
            "tolerance": 1e-5,
            "inputs": "random",
            "outputs": [
                {
                    "blob": "prob",
                    "neon_layer": "softmax",
                    "shape": [10],
                    "max_difference": 2.5e-7,
                    "max_reference": 1.0,
                    "error": 2.5e-7,
                }
            ],
            "layers": [],
            "worst": 2.5e-7,
            "passed": True,
            "first": None,
        },
        "evaluation": {
            "engine": "neon-embedded",
            "dataset": "digits",
            "count": 360,
            "class_order": "",
            "topk": [
                {"k": 1, "correct": 359, "percent": 99.72, "low": 98.4, "high": 99.9},
                {"k": 5, "correct": 360, "percent": 100.0, "low": 98.9, "high": 100.0},
            ],
            "skipped": [],
            "method": "ties count against the model",
        },
        "publication": {
            "name": "digits",
            "build": "ab12",
            "path": "digits/ab12",
            "files": {"digits.prm": "c" * 64},
            "sizes": {"digits.prm": 94_321},
        },
        "warnings": ["models.digits.caffemodel.sha1: weak"],
    }


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (True, True),
        (np.bool_(True), True),
        (np.float32(0.5), 0.5),
        (np.int64(3), 3),
        (math.nan, "NaN"),
        (math.inf, "Infinity"),
        (np.float32(-math.inf), "-Infinity"),
        ((1, [2.5, "x"]), [1, [2.5, "x"]]),
        ({1: 57.1}, {"1": 57.1}),
        (Path("a/b"), "a/b"),
        (Path.home() / "secret" / "c.prm", "c.prm"),
    ],
)
def test_value_as_json(value: Any, expected: Any) -> None:
    result = to_json(value)
    assert result == expected
    assert type(result) is type(expected)


def test_what_has_no_json() -> None:
    with pytest.raises(TypeError, match="no JSON for ndarray"):
        to_json({"a": np.zeros(3)})


def test_report(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    write_report([_outcome(tmp_path, error=math.nan), FAILED], path, root=tmp_path)
    report = json.loads(path.read_text())
    assert (report["schema"], report["counts"]) == (1, {"published": 1, "unchanged": 0, "refused": 0, "failed": 1})
    assert [outcome["name"] for outcome in report["outcomes"]] == ["digits", "bvlc_googlenet"]
    assert report["outcomes"][0]["parity"]["worst"] == "NaN"
    assert report["outcomes"][1] == to_json(FAILED)
    assert str(tmp_path) not in path.read_text()


def test_report_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(PublishError, match="cannot write"):
        write_report([], tmp_path / "nowhere" / "report.json")


def test_summary(tmp_path: Path) -> None:
    assert summary([_outcome(tmp_path), FAILED], _SPECS, width=100).splitlines() == [
        "model           status           top-1     top-5   parity     size  reason",
        "digits          published  99.7 (98.0)     100.0  2.5e-07  94.3 kB  all checks passed",
        "    warning: models.digits.caffemodel.sha1: weak",
        "bvlc_googlenet  failed        - (68.7)  - (88.9)        -        -",
        "    fetch: cannot reach the server: Connection refused",
        "    try again later",
        "1 published, 1 failed",
    ]


def test_a_name_that_leaves_no_room_has_a_line_of_its_own(tmp_path: Path) -> None:
    name = "finetuned_" * 6
    plain = summary([_outcome(tmp_path), FAILED], _SPECS, width=80).splitlines()
    lines = summary([_outcome(tmp_path), replace(FAILED, name=name)], _SPECS, width=80).splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[lines.index(name) + 1].split()[0] == "failed"
    assert [line.split() for line in lines[:2]] == [line.split() for line in plain[:2]]


@pytest.mark.parametrize("width", [80, 120])
def test_summary_keeps_to_its_width(tmp_path: Path, width: int) -> None:
    long = Outcome("bvlc_reference_caffenet", "failed", "word " * 100, stage="convert", warnings=("warn " * 40,))
    lines = summary([_outcome(tmp_path), FAILED, long], _SPECS, width=width).splitlines()
    assert max(len(line) for line in lines) <= width
    assert sum(line.count("word") for line in lines) == 100


def test_addresses_and_options_stay_whole() -> None:
    """Whoever copies one from the table copies all of it."""
    address = f"https://example.org/{'a-folder/' * 12}net.caffemodel"
    reason = f"{address}: cannot reach the server, which may not want to hear from us now\nput it into --mirror"
    lines = summary([replace(FAILED, reason=reason)], _SPECS, width=80).splitlines()
    assert [line for line in lines if address in line]
    assert max(len(line) for line in lines if address not in line) <= 80


def test_summary_of_nothing() -> None:
    assert summary([]).splitlines()[-1] == "nothing to do"


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (99_949, "99.9 kB"),
        (99_950, "100 kB"),
        (999_499, "999 kB"),
        (999_500, "1.0 MB"),
        (553_432_081, "553 MB"),
        (2_500_000_000, "2.5 GB"),
        (5_000_000_000_000, "5000 GB"),
    ],
)
def test_sizes(size: int, shown: str) -> None:
    publication = Publication("m", "b", Path("m/b"), {}, {"m.prm": size})
    row = summary([Outcome("m", "published", "fine", publication=publication)]).splitlines()[1]
    assert row.split("  ")[-2].strip() == shown
