"""The JSON schema for editors, held to the validator: the same keys, the same choices, and no quarrel over what is good."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from caffe2neon import manifest
from caffe2neon.errors import ManifestError
from caffe2neon.manifest import read_manifest
from caffe2neon.manifest.schema import KEYS
from tests.manifest.test_read import GOOD

SCHEMA: dict[str, Any] = json.loads(Path(manifest.__file__).with_name("zoo.schema.json").read_bytes())
ZOO = Path(__file__).resolve().parents[2] / "zoo.yaml"


def _errors(text: str) -> list[str]:
    validator = jsonschema.Draft202012Validator(SCHEMA)
    return [error.message for error in validator.iter_errors(yaml.safe_load(text))]


def test_it_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("kind", KEYS)
def test_same_keys(kind: str) -> None:
    mapping = SCHEMA if kind == "manifest" else SCHEMA["$defs"][kind]
    assert set(mapping["properties"]) == set(KEYS[kind])
    assert mapping["additionalProperties"] is False


@pytest.mark.parametrize(
    ("place", "line"),
    [
        (SCHEMA["$defs"]["model"]["properties"]["expect"], "expect: {}\n    reason: none"),
        (SCHEMA["$defs"]["class_order"], "class_order: {}"),
        (SCHEMA["$defs"]["preprocess"]["properties"]["channel_order"], "preprocess: {{channel_order: {}}}"),
    ],
    ids=["expect", "class_order", "channel_order"],
)
def test_same_choices(tmp_path: Path, place: dict[str, Any], line: str) -> None:
    """The validator names all its choices when it is given something else."""
    path = tmp_path / "zoo.yaml"
    path.write_text(GOOD.replace("license: none", f"license: none\n    {line.format('nonsense')}"), encoding="utf-8")
    with pytest.raises(ManifestError, match=f"'nonsense' is none of {', '.join(place['enum'])}"):
        read_manifest(path)


def test_same_kinds_of_data_sets(tmp_path: Path) -> None:
    path = tmp_path / "zoo.yaml"
    path.write_text(GOOD.replace("kind: image_list", "kind: nonsense"), encoding="utf-8")
    with pytest.raises(ManifestError, match=f"is none of {', '.join(SCHEMA['$defs']['dataset']['properties']['kind']['enum'])}"):
        read_manifest(path)


def test_the_zoo_is_valid() -> None:
    assert _errors(ZOO.read_text(encoding="utf-8")) == []


def test_the_zoo_names_its_schema() -> None:
    first = ZOO.read_text(encoding="utf-8").partition("\n")[0]
    assert (ZOO.parent / first.partition("$schema=")[2]).is_file()


def test_a_good_manifest_is_valid() -> None:
    assert _errors(GOOD) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("license: none", "licence: none"),
        ("license: none", "license: none\n    expect: refused"),
        ("license: none", "license: none\n    reason: for nothing"),
        ("license: none", "license: none\n    fixes: [{find: a}]"),
        ("label_remap: true", "label_remap: true\n    class_order: neon"),
        ("1725025", "0"),
        (f"p, sha384: {'c' * 96}", "p"),
        ("input: [3, 224, 224]", "input: [224, 224]"),
        ("top1: 57.1, top5: 80.2, ", ""),
        ("  plain:", "  Plain:"),
    ],
)
def test_both_find_a_mistake(tmp_path: Path, old: str, new: str) -> None:
    text = GOOD.replace(old, new)
    assert _errors(text) != []
    path = tmp_path / "zoo.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ManifestError):
        read_manifest(path)
