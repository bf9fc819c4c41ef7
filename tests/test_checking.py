"""What becomes of each layer, without weights: every recorded case, nets that are refused as a whole, and the command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from caffe2neon.checking import Checked, check_file
from caffe2neon.cli import main
from caffe2neon.convert import convert
from caffe2neon.errors import Caffe2NeonError, Finding, ParseError, UsageError
from caffe2neon.records import Verdict
from caffe2neon.single import NetOptions, lay_out_net, load_net
from tests.conftest import SHARED, shared
from tests.golden import case, names

INPUT = 'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: [1, 4, 6, 6] } } }\n'
PUBLIC = sorted(SHARED.glob("prototxt/**/*.prototxt")) or [SHARED / "missing"]
CONV = 'type: "Convolution" convolution_param { num_output: 4 kernel_size: 1 }'


def check(text: str, folder: Path, **options: Any) -> Checked:
    path = folder / "net.prototxt"
    path.write_text(text)
    return check_file(path, NetOptions(**options))


def verdicts(checked: Checked) -> dict[str, tuple[str, str]]:
    return {layer.layer: (layer.verdict, layer.becomes) for layer in checked.layers}


def find(checked: Checked, name: str) -> Verdict:
    return next(layer for layer in checked.layers if layer.layer == name)


# ---- with the converter


def _agrees(path: Path, options: NetOptions) -> None:
    """A check says of a net what converting it does, with as many layers and numbers; every layer has its verdict."""
    try:
        checked = check_file(path, options)
    except ParseError:
        with pytest.raises(ParseError):
            load_net(path, options)
        return
    try:
        model = convert(lay_out_net(load_net(path, options)))
    except Caffe2NeonError:
        assert not checked.converts
        found: list[Finding | Verdict] = [*checked.findings, *(layer for layer in checked.layers if layer.verdict == "refused")]
        assert found
        assert all(each.reason for each in found)
        return
    assert checked.converts
    assert checked.neon_layers == sum(1 for _ in model.root.walk())
    assert list(checked.outputs) == model.meta["outputs"]
    for layer in checked.layers:
        assert layer.verdict in ("exact", "rewritten", "dropped")
        assert bool(layer.becomes) == (layer.verdict != "dropped")
        assert bool(layer.reason) == (layer.verdict != "exact")


@pytest.mark.parametrize("name", names("layer", "net", "formats", "refused", "odd"))
def test_recorded_nets(name: str) -> None:
    _agrees(case(name)[1] / "net.prototxt", NetOptions())


@pytest.mark.parametrize("phase", ["TEST", "TRAIN"])
@pytest.mark.parametrize("path", PUBLIC, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_public_nets(path: Path, phase: str) -> None:
    shared("prototxt")
    if "ResNet-1" in path.name:
        pytest.skip("ResNet-50 has every layer that the larger ones have")
    _agrees(path, NetOptions(phase=phase))
    _agrees(path, NetOptions(phase=phase, shape=(3, 227, 227)))


# ---- single layers


def test_each_verdict(tmp_path: Path) -> None:
    text = (
        INPUT + f'layer {{ name: "c" bottom: "data" top: "c" {CONV.replace("num_output: 4", "num_output: 4 group: 2")} }}\n'
        'layer { name: "b" type: "BatchNorm" bottom: "c" top: "c" }\nlayer { name: "s" type: "Scale" bottom: "c" top: "c" }\n'
        'layer { name: "r" type: "ReLU" bottom: "c" top: "r" }\n'
        'layer { name: "f" type: "Flatten" bottom: "r" top: "f" }\nlayer { name: "x" type: "Exp" bottom: "f" top: "x" }\n'
        'layer { name: "q" type: "Silence" bottom: "c" }\n'
    )
    checked = check(text, tmp_path)
    assert not checked.converts
    assert verdicts(checked) == {
        "data": ("exact", "the input, 4×6×6"),
        "c": ("rewritten", "Convolution, Bias"),
        "b": ("exact", "one BatchNorm with its Scale"),
        "s": ("exact", "BatchNorm"),
        "r": ("exact", "Activation(Rectlin)"),
        "f": ("dropped", ""),
        "x": ("refused", ""),
        "q": ("dropped", ""),
    }
    assert find(checked, "c").reason == "group 2 written as dense weights, 2 times as large"
    assert find(checked, "c").weights == (4 * 2 + 4, 4 * 4 + 4)
    refused = find(checked, "x")
    assert (refused.line, refused.type, refused.reason) == (7, "Exp", "neon has no such function among its transforms")


def test_all_refused_layers_are_listed(tmp_path: Path) -> None:
    text = INPUT + "".join(
        f'layer {{ name: "{kind}" type: "{kind}" bottom: "data" top: "{kind}" }}\n' for kind in ("Exp", "MVN", "ArgMax", "TanH")
    )
    checked = check(text, tmp_path)
    assert [layer.layer for layer in checked.layers if layer.verdict == "refused"] == ["Exp", "MVN", "ArgMax"]
    assert find(checked, "TanH").verdict == "exact"
    assert find(checked, "ArgMax").remedy


def test_a_type_that_rules_itself_out_says_why_even_where_its_shape_is_not_known(tmp_path: Path) -> None:
    text = INPUT + 'layer { name: "l" type: "LSTM" bottom: "data" bottom: "data" top: "l" recurrent_param { num_output: 4 } }'
    assert "recurrent layers" in find(check(text, tmp_path), "l").reason


def test_an_unknown_type_leaves_the_rest_open(tmp_path: Path) -> None:
    text = INPUT + (
        'layer { name: "n" type: "Normalize" bottom: "data" top: "n" }\nlayer { name: "e" type: "Exp" bottom: "n" top: "e" }\n'
        'layer { name: "r" type: "ReLU" bottom: "e" top: "r" }'
    )
    checked = check(text, tmp_path)
    assert {layer.layer: layer.verdict for layer in checked.layers} == {
        "data": "open",
        "n": "refused",
        "e": "refused",
        "r": "open",
    }
    assert "not a layer type of BVLC Caffe" in find(checked, "n").reason


def test_shared_weights_count_once_in_caffe_and_neon_writes_them_twice(tmp_path: Path) -> None:
    text = INPUT + "".join(
        f'layer {{ name: "{name}" type: "InnerProduct" bottom: "{bottom}" top: "{name}"'
        f' param {{ name: "w" }} param {{ name: "{bias}" }}'
        " inner_product_param { num_output: 144 } }\n"
        for name, bottom, bias in (("a", "data", "b1"), ("b", "a", "b2"))
    )
    checked = check(text, tmp_path)
    assert [layer.weights[0] for layer in checked.layers] == [0, 144 * 144 + 144, 144 * 144 + 144]
    assert checked.weights == (144 * 144 + 2 * 144, 2 * (144 * 144 + 144))


def test_sizes_that_caffe_refuses_are_findings(tmp_path: Path) -> None:
    """Not "exact", with 10**19 weights."""
    huge = 'layer { name: "f" type: "InnerProduct" bottom: "data" top: "f" inner_product_param { num_output: 4000000000 } }'
    checked = check(INPUT + huge, tmp_path)
    assert find(checked, "f").verdict == "refused"
    assert "at most 2,147,483,647 values" in find(checked, "f").reason
    too_large = check(TRAINING, tmp_path, shape=(1 << 20, 1 << 20, 1 << 20))
    assert "at most 2,147,483,647 values" in find(too_large, "d").reason


def test_what_caffe_refuses_is_a_finding(tmp_path: Path) -> None:
    checked = check(INPUT + 'layer { name: "r" type: "ReLU" bottom: "nope" top: "r" }', tmp_path)
    assert not checked.converts
    assert "unknown bottom blob 'nope'" in find(checked, "r").reason


# ---- training nets

TRAINING = (
    'layer { name: "d" type: "Data" top: "data" top: "label" transform_param { crop_size: 5 } }\n'
    'layer { name: "f" type: "InnerProduct" bottom: "data" top: "f" inner_product_param { num_output: 3 } }\n'
    'layer { name: "g" type: "InnerProduct" bottom: "data" top: "g" inner_product_param { num_output: 3 } }\n'
    'layer { name: "acc" type: "Accuracy" bottom: "f" bottom: "label" top: "acc" }\n'
    'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "f" bottom: "label" top: "loss" }\n'
    'layer { name: "loss" type: "EuclideanLoss" bottom: "g" bottom: "label" top: "metric" loss_weight: 0 }\n'
)


def test_a_training_net_at_test(tmp_path: Path) -> None:
    checked = check(TRAINING, tmp_path)
    assert checked.converts
    assert [(layer.layer, layer.verdict, layer.becomes or layer.reason) for layer in checked.layers] == [
        ("d", "exact", "the input, 3×5×5"),
        ("f", "exact", "Linear, Bias"),
        ("g", "dropped", "leads to no output that is kept"),
        ("acc", "dropped", "a metric"),
        ("loss", "exact", "Activation(Softmax)"),
        ("loss", "dropped", "a metric"),
    ]
    assert checked.outputs == ("prob",)


def test_a_training_net_to_train(tmp_path: Path) -> None:
    checked = check(TRAINING, tmp_path, phase="TRAIN")
    assert checked.converts
    assert checked.layers[4].becomes == "Activation(Softmax), CrossEntropyMulti"


def test_losses_without_a_cost_beside_other_findings(tmp_path: Path) -> None:
    text = TRAINING.replace('"SoftmaxWithLoss"', '"HingeLoss"').replace(
        'layer { name: "acc"', 'layer { name: "x" type: "Exp" bottom: "f" top: "x" }\nlayer { name: "acc"'
    ).replace('bottom: "f" bottom: "label" top: "loss"', 'bottom: "x" bottom: "label" top: "loss"')
    checked = check(text, tmp_path, phase="TRAIN")
    refused = [(layer.layer, layer.type) for layer in checked.layers if layer.verdict == "refused"]
    assert refused == [("x", "Exp"), ("loss", "HingeLoss")]


def test_a_shape_that_nobody_knows_is_the_data_layers_finding(tmp_path: Path) -> None:
    checked = check(TRAINING.replace("transform_param { crop_size: 5 }", ""), tmp_path)
    assert find(checked, "d").verdict == "refused"
    assert "--input" in find(checked, "d").remedy
    assert find(checked, "f").verdict == "open"


def test_options_that_do_not_go_together_are_no_finding(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        check(TRAINING, tmp_path, phase="TRAIN", head="g")


# ---- structures


def test_a_structure_is_named_by_fork_and_join(tmp_path: Path) -> None:
    """A sum within an arm of a concatenation, with a Pooling before it that makes smaller maps: neon has no buffers."""
    halved = CONV.replace("kernel_size: 1", "kernel_size: 1 stride: 2")
    text = (
        INPUT + f'layer {{ name: "a" bottom: "data" top: "a" {CONV} }}\n'
        'layer { name: "p" type: "Pooling" bottom: "a" top: "p" pooling_param { kernel_size: 2 stride: 2 } }\n'
        + "".join(f'layer {{ name: "{name}" bottom: "p" top: "{name}" {CONV} }}\n' for name in "bc")
        + 'layer { name: "sum" type: "Eltwise" bottom: "b" bottom: "c" top: "sum" }\n'
        f'layer {{ name: "d" bottom: "sum" top: "d" {CONV} }}\nlayer {{ name: "e" bottom: "data" top: "e" {halved} }}\n'
        'layer { name: "cat" type: "Concat" bottom: "d" bottom: "e" top: "cat" }\n'
    )
    checked = check(text, tmp_path)
    assert not checked.converts
    finding = find(checked, "sum")
    assert finding.verdict == "refused"
    assert finding.reason.startswith("the fork from 'p' to 'sum' lies inside an arm of another fork")
    assert find(checked, "cat").verdict == "exact"


def test_outputs_of_several_inputs_are_a_finding(tmp_path: Path) -> None:
    text = "".join(
        f'layer {{ name: "{name}" type: "Input" top: "{name}" input_param {{ shape {{ dim: [1, 4] }} }} }}\n'
        f'layer {{ name: "r{name}" type: "ReLU" bottom: "{name}" top: "r{name}" }}\n'
        for name in "ab"
    )
    (finding,) = check(text, tmp_path).findings
    assert "depend on several inputs (a, b)" in finding.reason


# ---- the command


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments], env={"COLUMNS": "100"})


def test_command_for_people(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(TRAINING)
    result = run("check", path)
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert lines[0].split() == ["layer", "type", "line", "verdict", "becomes"]
    assert lines[5].split() == ["acc", "Accuracy", "4", "dropped", "(a", "metric)"]
    assert "3 exact, 3 dropped" in result.output
    assert "converts exactly; 3 neon layers, outputs: prob" in " ".join(result.output.split())


def test_command_says_each_reason_and_fails(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(INPUT + 'layer { name: "x" type: "ArgMax" bottom: "data" top: "x" }')
    result = run("check", path)
    assert result.exit_code == 1
    assert "refused: line 2, x: neon has no ArgMax" in result.output
    assert "does not convert: 1 finding" in " ".join(result.output.split())


def test_command_for_programs(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(INPUT + 'layer { name: "x" type: "ArgMax" bottom: "data" top: "x" }')
    result = run("check", path, "--json")
    assert result.exit_code == 1
    facts = json.loads(result.output)
    assert (facts["schema"], facts["converts"], facts["findings"]) == (1, False, [])
    assert facts["layers"][1] == {
        "layer": "x",
        "type": "ArgMax",
        "line": 2,
        "verdict": "refused",
        "becomes": "",
        "reason": "neon has no ArgMax",
        "remedy": "end the net before this layer (--cut BLOB) and compute it outside",
        "weights": [0, 0],
    }


def test_command_is_readable_in_100_columns() -> None:
    result = run("check", shared("prototxt", "bvlc_googlenet", "deploy.prototxt"))
    assert result.exit_code == 0
    path = shared("prototxt", "bvlc_googlenet", "deploy.prototxt")
    assert max(len(line) for line in result.output.replace(str(path), "net").splitlines()) <= 100


def test_command_with_a_file_that_is_no_prototxt(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text("<html>")
    result = run("check", path)
    assert result.exit_code == 1
    assert "an HTML page" in result.output


def test_upgrade_command(tmp_path: Path) -> None:
    old, new = tmp_path / "old.prototxt", tmp_path / "new.prototxt"
    old.write_text("layers { name: 'r' type: RELU bottom: 'a' top: 'b' }")
    result = run("upgrade", old, "-o", new)
    assert result.exit_code == 0, result.output
    assert result.output == f"{new}: 1 layers, prototxt, upgraded from V1\n"
    again = run("upgrade", new, "-o", tmp_path / "again.prototxt")
    assert "a copy, the file is in the newest format already" in again.output
    assert (tmp_path / "again.prototxt").read_bytes() == new.read_bytes()
