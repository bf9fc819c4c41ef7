"""The zoo's expectations against the net definitions at hand."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from caffe2neon.errors import ParseError
from caffe2neon.expectation import net_of, refusal, unpublished
from caffe2neon.files import digest
from caffe2neon.manifest import read_manifest
from caffe2neon.records import ModelSpec, PinnedFile, TextFix
from tests.conftest import shared

ZOO = Path(__file__).resolve().parents[1] / "zoo.yaml"
NAMES = [
    *("bvlc_alexnet", "bvlc_googlenet", "bvlc_reference_caffenet", "mobilenet_v1_1.0_224", "mobilenet_v2", "resnet_50"),
    *("resnet_101", "resnet_152", "squeezenet_v1.1"),
]


@pytest.mark.parametrize("name", NAMES)
def test_public_nets_are_as_expected(name: str) -> None:
    """Found by their pins, so that it is the very file that would be downloaded."""
    (spec,) = (model for model in read_manifest(ZOO).models if model.name == name)
    pins = {digest(path): path for path in shared("prototxt").rglob("*.prototxt")}
    path = pins[spec.prototxt.digest]
    assert path.stat().st_size == spec.prototxt.size
    assert spec.expect == "published"
    assert refusal(spec, path) is None


def test_fixes_are_made_before_reading_and_lines_stay(tmp_path: Path) -> None:
    path = tmp_path / "n.prototxt"
    text = 'layers {\n  name: "data"\n  type: "Input"\n  top: "data"\n  input_param { shape { dim: 1 dim: 2 } }\n}\n'
    path.write_text(text, encoding="utf-8")
    pin = PinnedFile("n", "sha256", digest(path))
    broken = ModelSpec("n", pin, pin, "")
    assert isinstance(refusal(broken, path), ParseError)
    net = net_of(ModelSpec("n", pin, pin, "", fixes=(TextFix("layers {", "layer {"),)), path)
    assert [(layer.name, layer.line) for layer in net.layers] == [("data", 1)]
    assert net.sha256 == pin.digest


_LAYER = 'layer {{ name: "{0}" type: "{0}" bottom: "data" top: "{0}" }}\n'


@pytest.mark.parametrize(
    ("types", "found"),
    [
        (["MVN"], "layer 'MVN' (MVN): normalizes each example by its own mean and variance; neon has no such layer"),
        (["MVN", "Permute"], "layer 'MVN' (MVN): * no such layer; layer 'Permute' (Permute): not a layer type of BVLC Caffe"),
        (["MVN", "Permute", "Reorg", "Region", "Yolo"], "layer 'MVN' *; layer 'Permute' *; layer 'Reorg' *; and 2 more"),
    ],
)
def test_a_refusal_in_brief_names_several_reasons_and_says_none_twice(tmp_path: Path, types: list[str], found: str) -> None:
    path = tmp_path / "n.prototxt"
    net = 'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 2 dim: 3 dim: 3 } } }\n'
    path.write_text(net + "".join(map(_LAYER.format, types)))
    pin = PinnedFile("n", "sha256", digest(path))
    outcome = unpublished(ModelSpec("n", pin, pin, "", expect="refused", reason="it cannot"), lambda: path)
    expected, reason = outcome.reason.split("\n")
    assert expected == "as expected: it cannot"
    assert fnmatchcase(reason, found)
    again = unpublished(ModelSpec("n", pin, pin, "", expect="refused", reason=reason), lambda: path)
    assert again.reason == f"as expected: {reason}"
