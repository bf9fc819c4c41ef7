"""Published zoos are read from anywhere: whatever their files say, each command refuses it in its own words."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.zoos import Zoo, run

#: In place of a value that json.dumps would not write so.
MARK = "@@"
LONG = "9" * 400
DEEP = "[" * 100_000


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    zoo = Zoo(tmp_path_factory.mktemp("published"))
    zoo.add_digits()
    assert zoo.build().exit_code == 0
    return zoo.output


def changed(published: Path, target: Path, file: str, text: str) -> Path:
    """A copy with another text in a file: of the zoo, or of its one build."""
    shutil.copytree(published, target)
    (target / file if file == "index.json" else next(target.glob(f"digits/*/{file}"))).write_text(text)
    return target


def with_value(path: Path, way: tuple[str | int, ...], written: str) -> str:
    """The JSON in a file with one value replaced by what is written."""
    value = json.loads(path.read_text())
    inner = value
    for step in way[:-1]:
        inner = inner[step]
    inner[way[-1]] = MARK
    return json.dumps(value).replace(json.dumps(MARK), written)


def said(zoo: Path, published: Path, tmp_path: Path) -> dict[str, tuple[int, str]]:
    """Exit code and words of all commands that read a published zoo; a bug is raised."""
    out = tmp_path / "out"
    commands: dict[str, tuple[str | Path, ...]] = {
        "report": ("zoo", "report", zoo),
        "diff": ("zoo", "diff", published, zoo),
        "json": ("zoo", "diff", published, zoo, "--json"),
        "pull": ("zoo", "pull", "digits", "--from", zoo, "-o", out / "pulled"),
        "publish": ("zoo", "publish", zoo, out / "zoo"),
        "store": ("zoo", "publish", zoo, f"memory:/{tmp_path}"),
        "prune": ("zoo", "prune", zoo, "--dry-run"),
    }
    results = {}
    for name, command in commands.items():
        result = run(*command)
        assert result.exit_code in (0, 1)
        results[name] = (result.exit_code, " ".join(result.stderr.split()))
    return results


FILES = ("digits", "files", "digits.prm")

#: Way to a value in the index, what is written there instead, and what is said of it.
INDEX: dict[str, tuple[tuple[str, ...], str, str]] = {
    "size-infinite": ((*FILES, "size"), "1e999", "1e999 is no number"),
    "size-below-0": ((*FILES, "size"), "-5", "files.digits.prm.size is no count"),
    "size-a-fraction": ((*FILES, "size"), "1.5", "size is no count"),
    "size-true": ((*FILES, "size"), "true", "size is no count"),
    "size-a-list": ((*FILES, "size"), "[]", "size is no count"),
    "size-of-400-digits": ((*FILES, "size"), LONG, "size is no count"),
    "size-of-5000-digits": ((*FILES, "size"), "9" * 5000, "not the index of a zoo"),
    "sha256-a-number": ((*FILES, "sha256"), "7", "sha256 is no text"),
    "sha256-too-short": ((*FILES, "sha256"), '"ab"', "sha256 is no sha256"),
    "accuracy-of-400-digits": (("digits", "accuracy", "top1"), LONG, "accuracy.top1 is no number"),
    "accuracy-NaN": (("digits", "accuracy", "top1"), "NaN", "NaN is no number"),
    "accuracy-infinite": (("digits", "accuracy", "top1"), "-1e999", "-1e999 is no number"),
    "accuracy-above-100": (("digits", "accuracy", "top1"), "100.5", "accuracy.top1 is not from 0 to 100"),
    "accuracy-a-list": (("digits", "accuracy"), "[]", "accuracy is no object"),
    "parity-a-list": (("digits", "parity"), "[]", "parity is no number"),
    "parity-a-text": (("digits", "parity"), '"abc"', "parity is no number"),
    "parity-of-400-digits": (("digits", "parity"), LONG, "parity is no number"),
    "files-a-list": (("digits", "files"), '["a"]', "files is no object"),
    "build-a-number": (("digits", "build"), "5", "build is no text"),
    "build-half-a-character": (("digits", "build"), '"\\ud800"', "not the index of a zoo"),
    "entry-null": (("digits",), "null", "it is no object"),
    "entry-a-text": (("digits",), '"x"', "it is no object"),
}


@pytest.mark.parametrize("case", INDEX)
def test_a_hostile_index_is_refused_by_all(published: Path, tmp_path: Path, case: str) -> None:
    way, written, message = INDEX[case]
    zoo = changed(published, tmp_path / "zoo", "index.json", with_value(published / "index.json", ("models", *way), written))
    for command, (code, words) in said(zoo, published, tmp_path).items():
        assert (code, message in words) == (1, True), (command, words)


#: File of a build, its text, and what the page says of it.
RECORDS: dict[str, tuple[str, str, str]] = {
    "description-a-list": ("model.json", "[]", "model.json: not the record of a build: it is no object"),
    "description-empty": ("model.json", "{}", "model.json: not the record of a build: description is missing"),
    "description-deep": ("model.json", DEEP, "model.json: not JSON"),
    "parity-a-list": ("parity.json", "[]", "parity.json: not the record of a build: it is no object"),
    "parity-empty": ("parity.json", "{}", "parity.json: not the record of a build: outputs is missing"),
    "parity-deep": ("parity.json", DEEP, "parity.json: not JSON"),
    "evaluation-a-number": ("evaluation.json", "5", "evaluation.json: not the record of a build: it is no object"),
    "evaluation-empty": ("evaluation.json", "{}", "evaluation.json: not the record of a build: engine is missing"),
    "evaluation-deep": ("evaluation.json", DEEP, "evaluation.json: not JSON"),
}
#: File, way to a value in it, and what is written there instead.
VALUES: tuple[tuple[str, tuple[str | int, ...], str], ...] = (
    ("model.json", ("license",), "5"),
    ("model.json", ("notes",), "5"),
    ("model.json", ("notes",), "[5]"),
    ("model.json", ("sources", "prototxt"), "5"),
    ("model.json", ("input",), "7"),
    ("model.json", ("input", "shape"), '"x"'),
    ("model.json", ("input", "shape"), f"[{LONG}]"),
    ("model.json", ("input", "shape"), f"[{','.join('9' * 9)}]"),
    ("model.json", ("preprocess",), "[]"),
    ("model.json", ("preprocess", "scale"), LONG),
    ("model.json", ("preprocess", "crop"), "[1]"),
    ("model.json", ("published", "topk"), "[1]"),
    ("model.json", ("published", "topk"), '{"one": 1}'),
    ("model.json", ("published", "topk"), '{"1": 1e300}'),
    ("parity.json", ("tolerance",), "1e999"),
    ("parity.json", ("layers",), "[5]"),
    ("parity.json", ("outputs", 0, "error"), '"x"'),
    ("parity.json", ("outputs", 0, "shape"), "{}"),
    ("evaluation.json", ("count",), '"x"'),
    ("evaluation.json", ("topk",), "[5]"),
    ("evaluation.json", ("topk", 0, "percent"), "NaN"),
    ("evaluation.json", ("topk", 0, "k"), '"a"'),
    ("evaluation.json", ("skipped",), '{"a": 1}'),
)


@pytest.mark.parametrize("case", RECORDS)
def test_a_hostile_record_is_refused_by_the_page(published: Path, tmp_path: Path, case: str) -> None:
    file, text, message = RECORDS[case]
    zoo = changed(published, tmp_path / "zoo", file, text)
    code, words = said(zoo, published, tmp_path)["report"]
    assert (code, message in words) == (1, True), words
    assert not (zoo / "index.html").exists() or (zoo / "index.html").read_bytes() == (published / "index.html").read_bytes()


@pytest.mark.parametrize(("file", "way", "written"), VALUES, ids=[f"{'.'.join(map(str, w))}-{t[:9]}" for _, w, t in VALUES])
def test_a_hostile_value_of_a_record_is_refused_by_the_page(
    published: Path, tmp_path: Path, file: str, way: tuple[str | int, ...], written: str
) -> None:
    (path,) = published.glob(f"digits/*/{file}")
    zoo = changed(published, tmp_path / "zoo", file, with_value(path, way, written))
    code, words = said(zoo, published, tmp_path)["report"]
    assert (code, f"{file}: not " in words) == (1, True), words


# ---- whatever else ----

NAMES = ["../x", "a" * 300, "\ud800", "\0", ".", ""]
NUMBERS = [int(LONG), -1, 2**63, 1e308, "NaN", "Infinity"]
HOSTILE = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from([*NAMES, *NUMBERS, [], {}, [[]], {"": None}]),
)


def _places(value: Any, way: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    steps: list[Any] = list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []
    return [way, *(place for step in steps for place in _places(value[step], (*way, step)))]


def _disturbed(value: Any, draw: Callable[[st.SearchStrategy[Any]], Any]) -> Any:
    """One value replaced, removed, or put under another name."""
    value = copy.deepcopy(value)
    way = draw(st.sampled_from(_places(value)))
    if not way:
        return draw(HOSTILE)
    inner = value
    for step in way[:-1]:
        inner = inner[step]
    how = draw(st.sampled_from(["replace", "replace", "remove", "rename"]))
    if how == "replace":
        inner[way[-1]] = draw(HOSTILE)
    else:
        old = inner.pop(way[-1])
        if how == "rename" and isinstance(inner, dict):
            inner[draw(st.one_of(st.text(max_size=5), st.sampled_from(NAMES)))] = old
    return value


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_disturbed_zoo_is_a_bug(published: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    file = data.draw(st.sampled_from(["index.json", "model.json", "parity.json", "evaluation.json", "SHA256SUMS"]))
    path = published / file if file == "index.json" else next(published.glob(f"digits/*/{file}"))
    if file == "SHA256SUMS":
        lines = path.read_text().splitlines()
        number = data.draw(st.integers(0, len(lines) - 1))
        sha256, name = lines[number].split("  ")
        names = [f"{sha256}  {other}" for other in ("a" * 300, "../x", "")]
        lines[number] = data.draw(st.sampled_from([*names, f"{sha256} {name}", "", name, sha256]))
        text = "\n".join(lines)
    else:
        text = json.dumps(_disturbed(json.loads(path.read_text()), data.draw))
        if data.draw(st.integers(0, 4)) == 0:
            cut = data.draw(st.integers(0, len(text)))
            text = text[:cut] + data.draw(st.text(st.characters(codec="utf-8"), max_size=3)) + text[cut + 1 :]
    folder = tmp_path_factory.mktemp("disturbed")
    said(changed(published, folder / "zoo", file, text), published, folder)
    shutil.rmtree(folder)
