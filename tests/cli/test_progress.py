"""What a build shows: JSON by its schema, lines in a log, bars for several models at once."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from caffe2neon.cli.progress import Bars
from caffe2neon.pipeline import STAGES
from caffe2neon.records import Event, Outcome
from tests.zoos import Zoo

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.fixture
def zoo(tmp_path: Path) -> Zoo:
    zoo = Zoo(tmp_path)
    zoo.add_digits()
    zoo.add_small()
    zoo.add_small("broken", seed=1)
    (zoo.folder / "broken.caffemodel").write_bytes(b"")
    return zoo


def facts(text: str) -> list[dict[str, Any]]:
    """Each line as JSON, and as the schema says."""
    schema = json.loads((DOCS / "progress.schema.json").read_bytes())
    validator = jsonschema.Draft202012Validator(schema)
    found = [json.loads(line) for line in text.splitlines()]
    for fact in found:
        validator.validate(fact)
    return found


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_json_is_a_line_for_all_that_happens_and_nothing_else(zoo: Zoo, jobs: str) -> None:
    result = zoo.build("--progress", "json", "--jobs", jobs)
    assert result.exit_code == 1
    said = facts(result.stdout)
    assert said[0] == {"event": "run", "state": "start", "models": 3, "jobs": int(jobs)}
    assert said[-1] == {"event": "run", "state": "end", "counts": {"published": 2, "failed": 1}, "interrupted": False}
    stages = [fact["stage"] for fact in said if fact.get("model") == "digits" and fact.get("state") == "end"]
    assert stages == [name for name, _ in STAGES]
    (last,) = [fact for fact in said if fact.get("step") == "evaluate digits" and fact["done"] == 360]
    assert last["total"] == 360
    broken = [fact for fact in said if fact.get("model") == "broken"]
    assert [(fact["event"], fact.get("ok"), fact.get("stage")) for fact in broken[-2:]] == [
        ("stage", False, "fetch"),
        ("model", None, "fetch"),
    ]
    assert result.stderr.splitlines()[-1] == "2 published, 1 failed"
    plan = facts(zoo.build("--progress", "json", "--dry-run").stdout)
    assert {fact["model"]: fact["action"] for fact in plan} == {"broken": "build", "digits": "unchanged", "small": "unchanged"}


def test_the_documents_name_what_the_schema_names() -> None:
    text = (DOCS / "progress.md").read_text()
    schema = json.loads((DOCS / "progress.schema.json").read_bytes())
    stages = schema["oneOf"][2]["properties"]["stage"]["enum"]
    assert [*(name for name, _ in STAGES), "check"] == stages
    named = {key for kind in schema["oneOf"] for key in kind["required"]} | set(stages)
    assert [name for name in sorted(named) if f"`{name}`" not in text] == []
    (example,) = re.findall(r"```json\n(.*?)```", text, re.DOTALL)
    assert len(facts(example)) == 6


def screen(said: str) -> list[str]:
    """What a terminal shows in the end of text with \\r, \\n and the sequence that goes a line up."""
    lines, row, column = [""], 0, 0
    for token in re.findall(r"\x1b\[A|\x1b\[[0-9;]*[A-Za-z]|\r|\n|[^\r\n\x1b]+", said):
        if token == "\x1b[A":
            row = max(0, row - 1)
        elif token == "\n":
            row, column = row + 1, 0  # as a terminal's driver makes it
            lines += [""] * (row + 1 - len(lines))
        elif token == "\r":
            column = 0
        elif not token.startswith("\x1b"):
            lines[row] = lines[row][:column].ljust(column) + token + lines[row][column + len(token) :]
            column += len(token)
    return [line.rstrip() for line in lines if line.strip()]


def test_a_bar_for_each_model_and_a_total(capsys: pytest.CaptureFixture[str]) -> None:
    bars = Bars()
    bars.begin(3, 2)
    bars.event(Event("aa", "fetch", "progress", "download aa.caffemodel", 5_000_000, 10_000_000))
    bars.event(Event("bb", "convert", "start"))
    shown = screen(capsys.readouterr().err)
    assert shown[0].startswith("models 0/3")
    assert re.match(r"  aa: download aa\.caffemodel:  50% \|.*\| 5\.00M/10\.0M", shown[1])
    assert shown[2] == "  bb: convert"
    said = ""
    bars.outcome(Outcome("aa", "failed", "no such file\nmore", "fetch"))
    bars.event(Event("cc", "evaluate", "progress", "evaluate cc", 7, 100))
    bars.event(Event("bb", "verify", "start"))
    said += capsys.readouterr().err
    bars.outcome(Outcome("bb", "published", "build 1"))
    bars.outcome(Outcome("cc", "published", "build 2"))
    bars.end({}, interrupted=False)
    said += capsys.readouterr().err
    assert "cc: evaluate cc:   7% |" in said
    assert screen(said) == ["aa: failed: fetch: no such file"]


def test_workers_never_write_to_the_terminal(zoo: Zoo) -> None:
    """In a log, two at once: whole lines, each of a model."""
    zoo.write()
    command = [sys.executable, "-m", "caffe2neon", "zoo", "build", *map(str, zoo.arguments()), "--jobs", "2"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert all(re.match(r"(digits|small|broken): (\w|:| |\.)+", line) for line in lines), lines
    assert [line for line in lines if line.startswith("small: ")][-1].startswith("small: published: build ")
