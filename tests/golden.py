"""Real Caffe's recordings under ``../shared/golden/caffe``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.conftest import SHARED, shared


def names(*groups: str, having: str = "net.prototxt") -> list[str]:
    """Cases of these groups, for ``parametrize``; where there are no recordings, one that skips."""
    path = SHARED / "golden" / "caffe" / "cases.json"
    if not path.exists():
        return ["missing"]
    cases = json.loads(path.read_text())["cases"]
    return [name for name, case in cases.items() if case["group"] in groups and (path.parent / name / having).exists()]


def case(name: str) -> tuple[dict[str, Any], Path]:
    """What ``cases.json`` says of a case, and its folder."""
    root = shared("golden", "caffe")
    return json.loads((root / "cases.json").read_text())["cases"][name], root / name
