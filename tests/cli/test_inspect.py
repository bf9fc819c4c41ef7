"""``caffe2neon inspect``: the table, the JSON, the exit codes."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from caffe2neon.cli import main
from caffe2neon.single import convert_files
from tests.conftest import shared

DIGITS = Path(str(resources.files("caffe2neon").joinpath("bundled", "digits")))


def inspect(*arguments: str | Path, columns: int = 100) -> Result:
    return CliRunner().invoke(main, ["inspect", *map(str, arguments)], env={"COLUMNS": str(columns)})


@pytest.fixture
def prm(tmp_path: Path) -> Path:
    path = tmp_path / "digits.prm"
    convert_files(DIGITS / "digits.prototxt", DIGITS / "digits.caffemodel", path)
    return path


def test_prototxt_table() -> None:
    lines = inspect(DIGITS / "digits.prototxt").stdout.splitlines()
    assert lines[0].endswith(f"digits.prototxt: prototxt, {(DIGITS / 'digits.prototxt').stat().st_size:,} bytes")
    header, rule = (next(index for index, line in enumerate(lines) if line.startswith(start)) for start in ("layer", "---"))
    assert lines[header].split() == ["layer", "type", "output", "parameters", "multiply-adds"]
    assert rule == header + 1
    # 24 maps of 1x3x3 on 8x8
    conv1 = next(line for line in lines if line.startswith("conv1"))
    assert conv1.split() == ["conv1", "Convolution", "1x24x8x8", "240", "13,824"]
    assert len(conv1) == len(lines[header]) == len(lines[rule])
    assert lines[-1].startswith("total ")


def test_caffemodel_table() -> None:
    lines = inspect(DIGITS / "digits.caffemodel").stdout.splitlines()
    assert next(line for line in lines if line.startswith("conv1")).split() == ["conv1", "24x1x3x3,", "24", "float32", "240"]


def test_prm_table(prm: Path) -> None:
    lines = inspect(prm).stdout.splitlines()
    assert "neon version:      1.4.0" in lines
    assert "input shape:       1x8x8" in lines
    assert "remapped:          no" in lines
    assert next(line for line in lines if "relu1" in line).split() == ["relu1", "Activation", "Rectlin", "64"]
    assert next(line for line in lines if "conv1 " in line).startswith("  conv1 ")


@pytest.mark.parametrize("name", ["digits.prototxt", "digits.caffemodel", ""])
def test_json(prm: Path, name: str) -> None:
    facts = json.loads(inspect("--json", DIGITS / name if name else prm).stdout)
    names = ["schema", "kind", "path", "size", "header", "layers", "parameters", "multiply_adds", "notes"]
    assert list(facts) == names
    assert facts["schema"] == 1
    fields = {"name", "type", "detail", "outputs", "parameters", "multiply_adds", "blobs", "dtypes", "depth", "line", "reason"}
    assert all(set(layer) == fields for layer in facts["layers"])
    words = inspect("--help").stdout
    assert all(field in words for field in (*names, *fields, *facts["header"]))


def test_json_has_line_numbers() -> None:
    facts = json.loads(inspect("--json", DIGITS / "digits.prototxt").stdout)
    lines = (DIGITS / "digits.prototxt").read_text().splitlines()
    for layer in facts["layers"]:
        assert lines[layer["line"] - 1].startswith("layer")
        assert f'"{layer["name"]}"' in lines[layer["line"]]


def test_long_names_get_a_line_of_their_own(tmp_path: Path) -> None:
    name = "tower/" * 20 + "1x1"
    path = tmp_path / "net.prototxt"
    path.write_text(
        'input: "x" input_shape { dim: 1 dim: 2 dim: 3 dim: 4 }'
        f'layer {{ name: "{name}" type: "ReLU" bottom: "x" top: "y" }}'
    )
    lines = inspect(path, columns=80).stdout.splitlines()
    at = lines.index(name)
    assert lines[at + 1].split() == ["ReLU", "1x2x3x4"]
    assert all(len(line) <= 80 for line in lines if line != name and str(path) not in line)


def test_googlenet_fits_100_columns() -> None:
    lines = inspect(shared("prototxt", "bvlc_googlenet", "deploy.prototxt")).stdout.splitlines()
    assert max(map(len, lines[1:])) <= 100
    assert lines[-1].split() == ["total", "6,998,552", "1,582,671,872"]


def test_missing_shapes_are_explained() -> None:
    result = inspect(DIGITS / "digits_train_val.prototxt", "--phase", "train")
    assert result.exit_code == 0
    assert "note: no shapes from line" in result.stdout


def test_a_file_of_another_kind_is_a_failure(tmp_path: Path) -> None:
    path = tmp_path / "page.prm"
    path.write_text("<html>404</html>")
    result = inspect(path)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert "this is an HTML page" in result.stderr


@pytest.mark.parametrize("name", ["digits.prototxt", ""])
def test_svg(prm: Path, tmp_path: Path, name: str) -> None:
    out = tmp_path / "net.svg"
    result = inspect(DIGITS / name if name else prm, "--svg", out)
    assert result.exit_code == 0
    assert out.read_bytes().startswith(b"<svg")
    assert "net.svg" in result.stdout


def test_svg_of_a_caffemodel_is_refused(tmp_path: Path) -> None:
    result = inspect(DIGITS / "digits.caffemodel", "--svg", tmp_path / "net.svg")
    assert result.exit_code == 2
    assert "name the prototxt" in result.stderr
    assert not (tmp_path / "net.svg").exists()
