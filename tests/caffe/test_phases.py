"""Which layers are kept. The golden lists were computed by the real Net::FilterNet of Caffe HEAD."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from caffe2neon.caffe import read_net
from caffe2neon.errors import ParseError, UsageError
from tests.conftest import SHARED, shared

GOLDEN = ("golden", "caffe")


def _kept() -> list[Any]:
    path = SHARED.joinpath(*GOLDEN, "cases.json")
    if not path.exists():
        return [pytest.param("", {}, id="golden")]
    cases = json.loads(path.read_text())["cases"]
    return [
        pytest.param(name, kept, id=f"{name.partition('/')[2]}-{kept['phase']}-{'+'.join(kept['stage']) or 'none'}-{kept['level']}")
        for name, case in cases.items()
        for kept in case.get("kept", ())
    ]


@pytest.mark.parametrize(("name", "kept"), _kept())
def test_as_caffe_filters(name: str, kept: dict[str, Any]) -> None:
    path = shared(*GOLDEN, *name.split("/"), "train_val.prototxt")
    net = read_net(path, phase=kept["phase"], stages=kept["stage"], level=kept["level"])
    assert [layer.name for layer in net.layers] == kept["layers"]
    assert [layer.type for layer in net.layers] == kept["types"]


def net(tmp_path: Path, rules: str, **state: Any) -> list[str]:
    path = tmp_path / "net.prototxt"
    path.write_text(f"state {{ phase: TRAIN level: 5 stage: 'own' }} layer {{ name: 'x' {rules} }} layer {{ name: 'last' }}")
    return [layer.name for layer in read_net(path, **state).layers]


@pytest.mark.parametrize(
    ("rules", "state", "kept"),
    [
        pytest.param("", {}, True, id="no-rule"),
        pytest.param("include { }", {}, True, id="empty-include-always-meets"),
        pytest.param("exclude { }", {}, False, id="empty-exclude-always-meets"),
        pytest.param("include { phase: TEST }", {}, True, id="phase-is-the-callers-not-the-nets"),
        pytest.param("include { phase: TRAIN }", {"phase": "TRAIN"}, True, id="train"),
        pytest.param("include { min_level: 1 }", {}, False, id="level-is-the-callers-not-the-nets"),
        pytest.param("include { min_level: 2 max_level: 3 }", {"level": 2}, True, id="at-min-level"),
        pytest.param("include { min_level: 2 max_level: 3 }", {"level": 3}, True, id="at-max-level"),
        pytest.param("include { max_level: 3 }", {"level": 4}, False, id="above-max-level"),
        pytest.param("include { stage: 'own' }", {}, True, id="the-nets-own-stage"),
        pytest.param("include { stage: 'own' stage: 'more' }", {"stages": ["more"]}, True, id="all-stages"),
        pytest.param("include { stage: 'own' stage: 'more' }", {}, False, id="one-stage-is-missing"),
        pytest.param("include { not_stage: 'more' not_stage: 'x' }", {"stages": ["x"]}, False, id="not-stage"),
        pytest.param("include { phase: TRAIN } include { stage: 'own' }", {}, True, id="any-of-several-includes"),
        pytest.param("exclude { phase: TRAIN } exclude { stage: 'own' }", {}, False, id="any-of-several-excludes"),
        pytest.param("exclude { phase: TEST stage: 'other' }", {}, True, id="exclude-needs-all-conditions"),
        pytest.param("phase: TRAIN", {}, True, id="phase-of-a-layer-does-not-filter"),
    ],
)
def test_rules(tmp_path: Path, rules: str, state: dict[str, Any], kept: bool) -> None:
    assert net(tmp_path, rules, **state) == (["x", "last"] if kept else ["last"])


def test_layers_get_the_nets_phase_unless_they_have_their_own(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text("layer { name: 'a' } layer { name: 'b' phase: TRAIN }")
    assert [layer.param.phase for layer in read_net(path).layers] == [1, 0]
    assert [layer.param.phase for layer in read_net(path, phase="TRAIN").layers] == [0, 0]


@pytest.mark.parametrize("phase", ["TEST", "TRAIN"])
def test_include_and_exclude_on_one_layer(tmp_path: Path, phase: str) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text("layer { name: 'ok' }\nlayer { name: 'both' type: 'ReLU' include { phase: TEST } exclude { phase: TRAIN } }")
    with pytest.raises(ParseError, match="include rules and exclude rules") as caught:
        read_net(path, phase=phase)
    where = caught.value.where
    assert (where.path, where.line, where.layer, where.layer_type) == (str(path), 2, "both", "ReLU")


def test_refused_by_caffe_too() -> None:
    with pytest.raises(ParseError, match="include rules and exclude rules"):
        read_net(shared(*GOLDEN, "refused", "include_and_exclude", "net.prototxt"))


@pytest.mark.parametrize("state", [{"phase": "test"}, {"phase": ""}, {"level": 2**31}])
def test_states_that_are_none(tmp_path: Path, state: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        net(tmp_path, "", **state)
