"""zoo list and zoo build: options, the report, the table, progress, exit codes."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import shutil
import struct
import subprocess
import sys
import termios
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result

from caffe2neon.manifest import read_manifest
from tests.zoos import Zoo, files_of, run

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Zoo:
    """Three entries; the manifest is the current folder's."""
    monkeypatch.chdir(tmp_path)
    zoo = Zoo(tmp_path)
    zoo.add_digits()
    zoo.models["digits"]["groups"] = ["real"]
    zoo.add_small("small_a", groups=["made_up"])
    zoo.add_small("small_b", seed=1, groups=["made_up", "last"])
    zoo.write()
    return zoo


def error(result: Result, code: int) -> str:
    assert result.exit_code == code, result.output
    assert result.stderr.startswith("error: ")
    assert "Traceback" not in result.stderr
    return result.stderr


# ---- choosing ----


@pytest.mark.parametrize(
    ("choice", "names"),
    [
        ([], ["digits", "small_a", "small_b"]),
        (["small_*"], ["small_a", "small_b"]),
        (["digits", "small_b"], ["digits", "small_b"]),
        (["--group", "made_up"], ["small_a", "small_b"]),
        (["digits", "--group", "last"], ["digits", "small_b"]),
    ],
)
@pytest.mark.usefixtures("zoo")
def test_names_globs_and_groups(choice: list[str], names: list[str]) -> None:
    assert [line.split()[0] for line in run("zoo", "list", *choice).stdout.splitlines()] == names


@pytest.mark.parametrize("command", ["list", "build"])
def test_an_unknown_name_comes_with_the_nearest(zoo: Zoo, command: str) -> None:
    message = error(run("zoo", command, "digit", "small-a", "--group", "madeup"), 2)
    assert "no entry is named 'digit'; did you mean 'digits'?" in message
    assert "no entry is named 'small-a'; did you mean 'small_a' or 'small_b'?" in message
    assert "no group is named 'madeup'; did you mean 'made_up'?" in message
    assert not zoo.output.exists()


def test_all_mistakes_of_a_manifest_at_once_each_with_its_path(zoo: Zoo) -> None:
    del zoo.models["digits"]["caffemodel"]["sha256"]
    zoo.models["small_a"]["caffemodel"]["sha256"] = "123"
    zoo.models["small_a"]["licence"] = zoo.models["small_a"].pop("license")
    zoo.models["small_b"]["input"] = [1, 2]
    zoo.models["small_b"]["dataset"] = "digit"
    message = error(zoo.build(), 2)
    for place in (
        "models.digits.caffemodel.sha256: required",
        "models.small_a.caffemodel.sha256: expected 64 hex digits, got 3",
        "models.small_a.licence: unknown key; did you mean 'license'?",
        "models.small_a.license: required",
        "models.small_b.input: ",
        "models.small_b.dataset: 'digit' is not under datasets; did you mean 'digits'?",
    ):
        assert place in message
    assert "6 mistakes" in message
    assert not zoo.output.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "none.yaml: no such file"),
        (b"", "the file is empty"),
        (b"models: [", ": not YAML: "),
        (b"<html></html>", "expected a mapping"),
        (b"\xff\xfe\0", "not text in UTF-8"),
    ],
)
def test_what_is_no_manifest(zoo: Zoo, content: bytes | None, message: str) -> None:
    if content is not None:
        (zoo.folder / "none.yaml").write_bytes(content)
    for command in ("list", "build"):
        assert message in error(run("zoo", command, "--manifest", "none.yaml"), 2)


# ---- list ----


@pytest.mark.usefixtures("zoo")
def test_list_shows_size_and_published_accuracy() -> None:
    (line,) = run("zoo", "list", "digits").stdout.splitlines()
    assert line.split() == ["digits", "0.1", "MB", "top-1", "99.7", "%", "real"]


@pytest.mark.usefixtures("zoo")
def test_list_as_json_is_all_that_the_manifest_says() -> None:
    models = json.loads(run("zoo", "list", "--json").stdout)
    assert [model["name"] for model in models] == ["digits", "small_a", "small_b"]
    assert models[0]["input"] == [1, 8, 8]
    assert models[0]["preprocess"]["mean"] == [8.0]
    assert models[0]["dataset"]["path"] == "digits.npz"
    assert models[0]["published"]["topk"] == {"1": 99.72}


def test_the_projects_own_zoo_is_listed() -> None:
    names = [line.split()[0] for line in run("zoo", "list", "--manifest", ROOT / "zoo.yaml").stdout.splitlines()]
    assert names == [model.name for model in read_manifest(ROOT / "zoo.yaml").models]


# ---- build ----


def test_build_prints_a_table_and_plain_lines_in_a_log(zoo: Zoo) -> None:
    result = zoo.build("digits")
    assert result.exit_code == 0
    heading, row, total = result.stdout.splitlines()
    assert heading.split() == ["model", "status", "top-1", "top-5", "parity", "size", "reason"]
    assert row.split()[:5] == ["digits", "published", "99.7", "(99.7)", "100.0"]
    assert total == "1 published"
    lines = result.stderr.splitlines()
    assert all(line.startswith("digits: ") for line in lines)
    assert [line for line in lines if line.count(":") == 2][:3] == [
        "digits: fetch: check digits.prototxt",
        "digits: fetch: check digits.caffemodel",
        "digits: evaluate: evaluate digits",
    ]
    assert lines[-1].startswith("digits: published")


def test_the_report_is_written_even_when_all_fail(zoo: Zoo) -> None:
    for name in zoo.models:
        (zoo.folder / f"{name}.caffemodel").write_bytes(b"")
    result = zoo.build("--report", "reports/today.json")
    assert result.exit_code == 1
    report = json.loads((zoo.folder / "reports" / "today.json").read_bytes())
    assert (report["schema"], report["counts"]["failed"]) == (1, 3)
    assert all("checksum mismatch: an empty file" in outcome["reason"] for outcome in report["outcomes"])
    assert not (zoo.output / "report.json").exists()
    assert result.stdout.splitlines()[-1] == "3 failed"


def test_exit_code_and_report_of_a_mixed_build(zoo: Zoo) -> None:
    zoo.build("small_a")
    (zoo.folder / "small_b.caffemodel").unlink()
    assert zoo.build().exit_code == 1
    statuses = {name: outcome["status"] for name, outcome in zoo.outcomes().items()}
    assert statuses == {"digits": "published", "small_a": "unchanged", "small_b": "failed"}
    assert all(outcome["reason"] for outcome in zoo.outcomes().values())


@pytest.mark.parametrize("option", ["--output", "--report"])
def test_folders_that_cannot_be_made_are_said_at_once(zoo: Zoo, option: str) -> None:
    (zoo.folder / "file").write_bytes(b"")
    zoo.write()
    arguments = [*zoo.arguments(), option, "file/x" if option == "--output" else "file/x/report.json"]
    result = run("zoo", "build", *arguments)
    assert "cannot write: Not a directory" in error(result, 1)
    assert "check digits" not in result.stderr


def test_dry_run_says_where_files_come_from_and_writes_nothing(zoo: Zoo) -> None:
    zoo.models["small_b"]["caffemodel"]["url"] = "http://localhost:1/small_b.caffemodel"
    mirror = zoo.folder / "mirror" / "deep"
    mirror.mkdir(parents=True)
    shutil.move(zoo.folder / "small_a.caffemodel", mirror)
    zoo.write()
    before = files_of(zoo.folder)
    result = zoo.build("--dry-run", "--mirror", zoo.folder / "mirror")
    assert (result.exit_code, result.stderr) == (0, "")
    lines = [re.split(r":? +", line, maxsplit=3)[:3] for line in result.stdout.splitlines()]
    assert [line for line in lines if line[1] != "build"] == [
        ["digits", "local", "digits.prototxt"],
        ["digits", "local", "digits.caffemodel"],
        ["small_a", "local", "small_a.prototxt"],
        ["small_a", "mirror", (mirror / "small_a.caffemodel").as_uri()],
        ["small_b", "local", "small_b.prototxt"],
        ["small_b", "download", "http://localhost:1/small_b.caffemodel"],
    ]
    assert files_of(zoo.folder) == before


def test_a_dry_run_that_sees_a_failure_coming_fails(zoo: Zoo) -> None:
    result = zoo.build("--dry-run", "--dataset", f"digits={zoo.folder / 'none.npz'}")
    assert result.exit_code == 1
    assert "digits: fail" in result.stdout
    assert "small_a: build" in result.stdout


def test_a_build_by_the_real_programs_is_another_build(zoo: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    """``auto`` is what this machine has: what the embedded engines verified, the real neon has not."""
    monkeypatch.delenv("CAFFE2NEON_NEON_PYTHON", raising=False)
    monkeypatch.delenv("CAFFE2NEON_CAFFE_PYTHON", raising=False)
    assert zoo.build("small_a").exit_code == 0  # by the embedded ones, says the helper
    auto = ("small_a", "--dry-run", "--engine", "auto", "--reference", "auto")
    assert "unchanged" in zoo.build(*auto).stdout
    for variable in ("CAFFE2NEON_NEON_PYTHON", "CAFFE2NEON_CAFFE_PYTHON"):
        with monkeypatch.context() as patch:
            patch.setenv(variable, sys.executable)
            assert "unchanged" not in zoo.build(*auto).stdout
            assert "unchanged" in zoo.build("small_a", "--dry-run").stdout


def test_a_mirror_is_asked_before_the_network(zoo: Zoo) -> None:
    zoo.models["small_a"]["caffemodel"]["url"] = "http://localhost:1/small_a.caffemodel"
    (zoo.folder / "mirror").mkdir()
    shutil.move(zoo.folder / "small_a.caffemodel", zoo.folder / "mirror")
    assert zoo.build("small_a", "--mirror", "mirror").exit_code == 0


@pytest.mark.parametrize("command", [("build",), ("build", "--dry-run"), ("fetch",), ("check",)])
@pytest.mark.parametrize("mirror", ["nowhere", "zoo.yaml"])
def test_a_mirror_that_is_no_folder_is_a_slip(zoo: Zoo, command: tuple[str, ...], mirror: str) -> None:
    zoo.write()
    result = run("zoo", *command, "--manifest", zoo.manifest, "--mirror", mirror)
    assert result.exit_code == 2
    assert f"Invalid value for '--mirror': Directory '{mirror}' " in result.stderr


def test_dry_run_names_all_files_that_are_not_here(zoo: Zoo) -> None:
    zoo.models["small_a"]["prototxt"]["url"] = "http://localhost:1/small_a.prototxt"
    zoo.models["small_a"]["caffemodel"]["url"] = "http://localhost:1/small_a.caffemodel"
    (zoo.folder / "small_b.caffemodel").unlink()
    said = zoo.build("--dry-run", "--offline", "small_*").stdout.splitlines()
    urls = ", ".join(f"http://localhost:1/small_a.{end}" for end in ("prototxt", "caffemodel"))
    assert said == [
        f"small_a: fail      not on this machine, and --offline says not to ask the network: {urls}",
        "  put it into a folder that --mirror names, or leave --offline out",
        "small_b: fail      not on this machine, and --offline says not to ask the network: small_b.caffemodel",
        "  put it into a folder that --mirror names, or leave --offline out",
    ]
    said = zoo.build("--dry-run", "small_b").stdout.splitlines()
    assert said[0] == "small_b: fail      not on this machine: small_b.caffemodel"


# ---- data sets ----


def test_a_data_set_lies_where_the_option_says(zoo: Zoo) -> None:
    shutil.move(zoo.folder / "digits.npz", zoo.folder / "elsewhere.npz")
    assert zoo.build("digits").exit_code == 1
    assert zoo.build("digits", "--dataset", "digits=elsewhere.npz").exit_code == 0


@pytest.mark.parametrize(("labels", "place"), [("val.txt", "within"), ("lists/val.txt", "within"), ("lists/val.txt", "beside")])
def test_a_folder_of_pictures_brings_its_list(zoo: Zoo, labels: str, place: str) -> None:
    """Within the folder, or beside it, by the name that the manifest gives it."""
    import cv2

    zoo.datasets["pictures"] = {"kind": "image_list", "path": "nowhere", "labels": labels}
    zoo.models["small_a"].update(dataset="pictures", preprocess={"channel_order": "GRAY"})
    folder = zoo.folder / "mine" / "val"
    folder.mkdir(parents=True)
    assert cv2.imwrite(str(folder / "one.png"), np.zeros((6, 6), np.uint8))
    (folder / "val.txt" if place == "within" else folder.parent / "val.txt").write_text("one.png 3\n")
    assert zoo.build("small_a", "--dataset", "pictures=mine/val").exit_code == 0, zoo.outcomes()
    assert zoo.outcomes()["small_a"]["evaluation"]["count"] == 1


def test_idx_images_bring_their_labels_from_beside_them(zoo: Zoo) -> None:
    zoo.datasets["mnist"] = {"kind": "idx", "path": "nowhere/images", "labels": "nowhere/labels"}
    zoo.models["small_a"].update(dataset="mnist", preprocess={"channel_order": "GRAY"})
    (zoo.folder / "mine").mkdir()
    header = b"".join(number.to_bytes(4, "big") for number in (0x803, 2, 6, 6))
    (zoo.folder / "mine" / "test-images").write_bytes(header + bytes(72))
    (zoo.folder / "mine" / "labels").write_bytes((0x801).to_bytes(4, "big") + (2).to_bytes(4, "big") + b"\1\2")
    assert zoo.build("small_a", "--dataset", "mnist=mine/test-images").exit_code == 0, zoo.outcomes()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("digits", "--dataset 'digits' is not NAME=PATH"),
        ("digits=", "--dataset 'digits=' is not NAME=PATH"),
        ("mnist=x", "the manifest has no data set 'mnist'\n  it has: digits"),
    ],
)
def test_data_sets_that_the_manifest_does_not_know(zoo: Zoo, value: str, message: str) -> None:
    assert message in error(zoo.build("--dataset", value), 2)
    assert not zoo.output.exists()


def test_top_k_of_too_few_classes_fails_the_entry(zoo: Zoo) -> None:
    assert zoo.build("digits", "--topk", "1", "--topk", "11").exit_code == 1
    assert zoo.outcomes()["digits"]["stage"] == "evaluate"
    assert zoo.build("digits", "--topk", "2").exit_code == 0
    assert [top["k"] for top in zoo.outcomes()["digits"]["evaluation"]["topk"]] == [1, 2]


# ---- on a terminal ----


def _on_terminal(*arguments: str | Path) -> tuple[int, str]:
    """The command's exit code, and all it wrote to a terminal of 100 columns."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
    environment = {**os.environ, "COLUMNS": "100", "TERM": "xterm"}
    command = [sys.executable, "-m", "caffe2neon", *map(str, arguments)]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment) as program:
        os.close(theirs)
        said = b""
        while select.select([ours], [], [], 60)[0]:
            try:
                block = os.read(ours, 65536)
            except OSError:  # Linux's way to say that the other end is closed
                break
            if not block:
                break
            said += block
    os.close(ours)
    return program.returncode, said.decode()


def _shown(said: str) -> list[str]:
    """The lines that stay on the screen, of a terminal that knows what tqdm asks for: begin a line anew, and go up one."""
    screen, row, column = [""], 0, 0
    for part in re.findall(r"\x1b\[A|\r|\n|[^\x1b\r\n]+", said):
        if part == "\x1b[A":
            row -= 1
        elif part == "\r":
            column = 0
        elif part == "\n":
            row += 1
            screen += [""] * (row + 1 - len(screen))
        else:
            line = screen[row].ljust(column)
            screen[row] = line[:column] + part + line[column + len(part) :]
            column += len(part)
    return [line.rstrip() for line in screen if line.strip()]


def test_bars_on_a_terminal_leave_nothing_but_the_table(zoo: Zoo) -> None:
    code, said = _on_terminal("zoo", "build", "digits", *zoo.arguments())
    assert code == 0
    for step in ("check digits.prototxt", "check digits.caffemodel", "evaluate digits"):
        assert re.search(rf"{re.escape(step)}: +\d+%", said), f"no bar for {step!r}"
    assert re.search(r"evaluate digits: .*/360", said)
    lines = _shown(said)
    assert lines[0].startswith("model   status")
    assert lines[-1] == "1 published"
    assert len(lines) == 3
