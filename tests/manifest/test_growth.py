"""A new entry in a manifest that people wrote."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caffe2neon.errors import ManifestError
from caffe2neon.manifest import begin, entry_text, read_manifest, with_entry
from caffe2neon.records import ModelSpec, PinnedFile
from tests.manifest.test_read import GOOD

NET = PinnedFile("https://example.org/n.prototxt", "sha256", "1" * 64, 100)
WEIGHTS = PinnedFile("https://example.org/w.zip?a=b&c", "sha256", "e" * 64, 200, member="a b/net.caffemodel")
NEW = ModelSpec("new", NET, WEIGHTS, "MIT", input=(3, 8, 9))


def _grown(text: str, spec: ModelSpec = NEW) -> ModelSpec:
    grown = with_entry(text, spec)
    manifest = read_manifest(Path("zoo.yaml"), grown)
    same = next((i for i, (old, new) in enumerate(zip(text, grown, strict=False)) if old != new), len(text))
    assert grown.endswith(text[same:])  # something was put in, and nothing else changed
    return manifest.models[-1]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(GOOD, id="before-datasets"),
        pytest.param(GOOD.partition("datasets:")[0].replace("    dataset: digits\n", ""), id="at-the-end"),
        pytest.param(GOOD.replace("datasets:", "\n# what is\n  # measured\ndatasets:"), id="comments-between"),
        pytest.param(GOOD.replace("models:", "models:  # all of them"), id="comment-behind"),
        pytest.param("schema: 1\nmodels:\n", id="the-first"),
        pytest.param("\n".join(f"  {line}" if line.startswith(" ") else line for line in GOOD.splitlines()), id="other-indent"),
        pytest.param(GOOD.partition("datasets:")[0].replace("    dataset: digits\n", "").rstrip(), id="no-end-of-line"),
    ],
)
def test_the_entry_is_the_last_one_and_all_else_stays(text: str) -> None:
    assert _grown(text) == NEW


def test_refused_entry() -> None:
    spec = ModelSpec("new", NET, WEIGHTS, "yes", expect="refused", reason="layer 'x' (Axpy): no: \"never\"")
    assert _grown(GOOD, spec) == spec


@settings(max_examples=40, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(lambda text: text.strip() != ""))
def test_any_text_is_read_back(text: str) -> None:
    assert _grown(GOOD, ModelSpec("new", NET, WEIGHTS, text)).license == text


@settings(max_examples=40, deadline=None)
@given(st.text("0123456789ef+-.x_:", min_size=1, max_size=12))
def test_text_that_looks_like_something_else(text: str) -> None:
    assert _grown(GOOD, ModelSpec("new", NET, WEIGHTS, text)).license == text


@pytest.mark.parametrize(
    ("text", "grown"),
    [
        pytest.param("schema: 1\n", "schema: 1\n\nmodels:\n{new}", id="no-models"),
        pytest.param("schema: 1", "schema: 1\n\nmodels:\n{new}", id="no-models-no-end-of-line"),
        pytest.param("schema: 1\nmodels: {{}}\n", "schema: 1\nmodels:\n{new}", id="no-entries"),
        pytest.param("schema: 1\nmodels: {{ }}  # none yet\n", "schema: 1\nmodels:  # none yet\n{new}", id="no-entries-comment"),
        pytest.param("models: null\nschema: 1\n", "models:\n{new}schema: 1\n", id="null"),
        pytest.param("models:\nschema: 1\n", "models:\n{new}schema: 1\n", id="nothing"),
        pytest.param("# mine\n", "# mine\nschema: 1\n\nmodels:\n{new}", id="comment"),
        pytest.param("", "schema: 1\n\nmodels:\n{new}", id="empty"),
        pytest.param("---\n", "---\nschema: 1\n\nmodels:\n{new}", id="empty-document"),
        pytest.param(GOOD.replace("{", "{{").replace("}", "}}"), None, id="entries"),
    ],
)
def test_a_manifest_without_entries_takes_one(tmp_path: Path, text: str, grown: str | None) -> None:
    path = tmp_path / "zoo.yaml"
    path.write_text(text.format())
    begun, new = begin(path)
    assert new == ("schema" not in text)
    read_manifest(path, begun)  # what is wrong with it is said before anything is fetched
    entry = "".join(f"  {line}\n" for line in entry_text(NEW).splitlines())
    if grown is None:
        assert begun == GOOD
    else:
        assert with_entry(begun, NEW) == grown.format(new=entry)
        assert read_manifest(path, with_entry(begun, NEW)).models == (NEW,)


def test_a_manifest_is_begun_where_there_is_none(tmp_path: Path) -> None:
    text, begun = begin(tmp_path / "zoo.yaml")
    assert begun
    assert read_manifest(tmp_path / "zoo.yaml", text).models == ()
    assert _grown(text.replace("models: {}", "models:")) == NEW
    assert not (tmp_path / "zoo.yaml").exists()


def _added(path: Path) -> str:
    text, _ = begin(path)
    read_manifest(path, text)
    return with_entry(text, NEW)


@pytest.mark.parametrize(
    "text", ["models: {}\n", "{schema: 1, models: {}}", "[]", "schema: 1\nmodels: {a: 1}\n", "schema: 1\nmodel: {}\n"]
)
def test_mistakes_of_people_stay_theirs(tmp_path: Path, text: str) -> None:
    """Only what is missing is written: never a schema that somebody left out, nor lines into what is written in another form."""
    (tmp_path / "zoo.yaml").write_text(text)
    with pytest.raises(ManifestError):
        _added(tmp_path / "zoo.yaml")
