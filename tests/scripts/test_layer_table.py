"""docs/layers.md is current and says something of every layer type of Caffe."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

from caffe2neon.caffe import deploy_rules
from caffe2neon.convert import layer_rules, registered_types
from caffe2neon.convert.registry import absent_types
from tests.convert.test_registry import HEAD

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "scripts" / "layer_table.py"))


def test_the_document_is_current(script: dict[str, Any]) -> None:
    written = (ROOT / "docs" / "layers.md").read_text()
    assert written == script["document"](), "run: python scripts/layer_table.py"


def test_every_layer_type_of_caffe_has_a_row(script: dict[str, Any]) -> None:
    assert script["rules"]().keys() == HEAD
    rows = [line.split(" | ")[0].strip("| ") for line in script["document"]().splitlines() if line.startswith("| ")]
    assert sorted(rows[1:]) == sorted(HEAD)


def test_registries_cover_caffe_together() -> None:
    assert registered_types() | absent_types() == HEAD
    assert deploy_rules().keys() <= HEAD


@pytest.mark.parametrize("name", sorted(HEAD))
def test_every_rule_says_what_or_why(name: str) -> None:
    for rule in filter(None, (layer_rules().get(name), deploy_rules().get(name))):
        assert rule.type == name
        assert rule.becomes or rule.reason
        assert rule.condition or not (rule.becomes and rule.reason)  # what is refused at times says when it is not


def test_braces_in_texts_are_the_type_alone(script: dict[str, Any]) -> None:
    assert "{" not in script["document"]()
