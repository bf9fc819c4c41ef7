"""zoo publish, pull, diff, prune: what they print, and their exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from caffe2neon.cli import main
from tests.publish.builds import build_of, check, publish, visible


def zoo(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["zoo", *map(str, arguments)])


@pytest.fixture
def made(tmp_path: Path) -> Path:
    publish(tmp_path / "made", "lenet", 1)
    return tmp_path / "made"


def test_publish(made: Path, tmp_path: Path) -> None:
    target = tmp_path / "there"
    result = zoo("publish", made, target)
    assert (result.exit_code, result.stdout) == (0, f"lenet  published  build {build_of(1)}: 3.1 kB sent\n"), result.output
    assert check(target) == {"lenet": build_of(1)}
    assert zoo("publish", made, target).stdout == f"lenet  unchanged  build {build_of(1)}: is there already\n"
    record = json.loads(zoo("publish", made, target, "--json").stdout)
    assert record == [
        {"name": "lenet", "build": build_of(1), "status": "unchanged", "uploaded": 0, "reason": "is there already"},
    ]


def test_publish_what_a_report_calls_good(made: Path, tmp_path: Path) -> None:
    """The build that the report names, not a later one; and nothing of which it says no good, or nothing."""
    for name in ("refused", "failed", "elsewhere"):
        publish(made, name, 1)
    publish(made, "lenet", 2)
    good = [{"name": "lenet", "status": "unchanged", "publication": {"build": build_of(1)}}]
    bad = [{"name": name, "status": name, "publication": None} for name in ("refused", "failed")]
    report, target = tmp_path / "night.json", tmp_path / "there"
    report.write_text(json.dumps({"schema": 1, "outcomes": [*bad, *good]}))
    result = zoo("publish", made, target, "--report", report)
    assert (result.exit_code, result.stdout) == (0, f"lenet  published  build {build_of(1)}: 3.1 kB sent\n"), result.output
    assert check(target) == {"lenet": build_of(1)}


@pytest.mark.parametrize("text", ["[]", "{}", '{"outcomes": [1]}', '{"outcomes": [{"status": "published"}]}', "", None])
def test_publish_by_what_is_no_report(made: Path, tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "night.json").write_text(text)
    result = zoo("publish", made, tmp_path / "there", "--report", tmp_path / "night.json")
    assert result.exit_code == 1
    assert "night.json: not " in result.stderr
    assert not (tmp_path / "there").exists()


def test_publish_what_is_no_zoo(tmp_path: Path) -> None:
    result = zoo("publish", tmp_path, tmp_path / "there")
    assert result.exit_code == 1
    assert "not a published zoo" in result.stderr


def test_publish_to_no_address(made: Path) -> None:
    pytest.importorskip("fsspec")
    result = zoo("publish", made, "nonsense://x")
    assert result.exit_code == 2
    assert "Protocol not known" in result.stderr


def test_pull(made: Path, tmp_path: Path) -> None:
    output = tmp_path / "models" / "net"
    result = zoo("pull", "lenet", "--from", made, "-o", output)
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{output / 'lenet.prm'}  build {build_of(1)}: 4 files, 3.1 kB, verified\n"
    assert zoo("pull", "lenet", "--from", made, "-o", output).stdout.endswith(": up to date\n")


def test_pull_into_a_folder_of_the_models_name(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert zoo("pull", "lenet", "--from", made.as_uri()).exit_code == 0
    assert (tmp_path / "lenet" / "lenet.prm").is_file()


@pytest.mark.parametrize("name", ["..", "../x", "a/b", "", "."])
def test_pull_name_that_leads_elsewhere(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    assert zoo("pull", name, "--from", made).exit_code in (1, 2)
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


def test_pull_what_was_tampered_with(made: Path, tmp_path: Path) -> None:
    (made / "lenet" / build_of(1) / "lenet.prm").write_bytes(b"?" * 3000)
    result = zoo("pull", "lenet", "--from", made, "-o", tmp_path / "x")
    assert result.exit_code == 1
    assert "lenet.prm" in result.stderr
    assert "not the file that was published" in result.stderr
    assert not (tmp_path / "x").exists()


def test_diff(made: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    publish(other, "lenet", 2, size=2_000_000)
    publish(other, "alexnet", 1)
    result = zoo("diff", made, other)
    assert result.exit_code == 0
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines[2] == ["alexnet", "added", "-", ">", "91.00", "-", ">", "1.0e-07", "-", ">", "3.0", "kB"]
    assert lines[3][:7] == ["lenet", "changed", "91.00", ">", "92.00", "1.0e-07", "3.0"]
    assert "evaluation.json, lenet.prm, model.json" in result.stdout
    assert lines[-1] == ["2", "models", "1", "added,", "1", "changed"]
    records = json.loads(zoo("diff", made, other, "--json").stdout)
    assert [(record["name"], record["status"]) for record in records] == [("alexnet", "added"), ("lenet", "changed")]
    assert zoo("diff", made, made).stdout == "1 unchanged\n"


def test_diff_with_what_is_no_zoo(made: Path, tmp_path: Path) -> None:
    result = zoo("diff", made, tmp_path / "nothing")
    assert result.exit_code == 1
    assert "no published zoo here" in result.stderr


def test_prune_shows_and_removes_when_told(made: Path) -> None:
    publish(made, "lenet", 2)
    for arguments in ([], ["--dry-run"]):
        result = zoo("prune", made, *arguments)
        assert result.stdout == f"lenet/{build_of(1)}  3.4 kB\n1 build, 3.4 kB: remove them with --yes\n"
        assert len(visible(made / "lenet")) == 2
    assert json.loads(zoo("prune", made, "--json").stdout)[0]["removed"] is False
    assert zoo("prune", made, "--yes").exit_code == 0
    assert visible(made / "lenet") == [build_of(2)]
    assert zoo("prune", made).stdout == "0 builds, 0.0 kB\n"
