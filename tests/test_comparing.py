"""Which numbers moved, and which too far."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from caffe2neon.comparing import shifts
from caffe2neon.publish import Folder
from caffe2neon.records import ModelSpec, PinnedFile, Shift, Tolerance

FILE = PinnedFile("f", "sha256", "0" * 64)
SPEC = ModelSpec("net", FILE, FILE, "none", tolerance=Tolerance(parity=1e-5, top1=0.5))


def index(root: Path, accuracy: Any, parity: Any, name: str = "net") -> Folder:
    root.mkdir()
    files = {f"{name}.prm": {"sha256": "0" * 64, "size": 3}, "model.json": {"sha256": "1" * 64, "size": 3}}
    entry = {"build": "b" * 16, "path": f"{name}/{'b' * 16}", "files": files, "accuracy": accuracy, "parity": parity}
    (root / "index.json").write_text(json.dumps({"schema": 1, "models": {name: entry}}))
    return Folder(root)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (({"top1": 57.0}, 1e-7), ({"top1": 57.0}, 1e-7), []),
        (({"top1": 57.0}, 1e-7), ({"top1": 56.6}, 1e-7), [("top1", False)]),
        (({"top1": 57.0}, 1e-7), ({"top1": 56.4}, 1e-7), [("top1", True)]),
        (({"top1": 57.0, "top5": 80.0}, 1e-7), ({"top1": 58.0, "top5": 79.0}, 1e-7), [("top1", False), ("top5", True)]),
        (({"top1": 57.0}, 1e-7), (None, 1e-7), [("top1", True)]),
        ((None, 1e-7), ({"top1": 57.0}, 1e-7), [("top1", False)]),
        ((None, 1e-7), (None, 9e-6), [("parity", False)]),
        ((None, 1e-7), (None, 2e-5), [("parity", True)]),
        ((None, 1e-7), (None, "NaN"), [("parity", True)]),
        ((None, 1e-7), (None, None), [("parity", True)]),
        ((None, 2e-5), (None, 3e-5), [("parity", False)]),
    ],
)
def test_shifts(tmp_path: Path, before: Any, after: Any, expected: list[tuple[str, bool]]) -> None:
    published, built = index(tmp_path / "published", *before), index(tmp_path / "built", *after)
    found = shifts([SPEC], built, published)
    assert [(shift.measure, shift.worse) for shift in found] == expected
    assert all(shift.model == "net" for shift in found)


def test_a_first_night_has_nothing_to_compare_with(tmp_path: Path) -> None:
    assert shifts([SPEC], index(tmp_path / "built", None, 1e-7), Folder(tmp_path / "none")) == ()


def test_models_that_are_not_built_now_are_left_alone(tmp_path: Path) -> None:
    published = index(tmp_path / "published", {"top1": 57.0}, 1e-7, "other")
    assert shifts([SPEC], index(tmp_path / "built", {"top1": 1.0}, 1e-7), published) == ()


def test_a_shift_holds_both_numbers(tmp_path: Path) -> None:
    published, built = index(tmp_path / "published", {"top1": 57.0}, 1e-7), index(tmp_path / "built", {"top1": 50.0}, 1e-7)
    assert shifts([SPEC], built, published) == (Shift("net", "top1", 57.0, 50.0, True),)
