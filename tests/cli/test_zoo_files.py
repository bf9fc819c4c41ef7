"""zoo add, zoo check, zoo fetch, and what zoo build makes of entries that are not to be published."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from caffe2neon.cli import main
from caffe2neon.manifest import read_manifest
from tests.fetch.server import Server, body, running

BUNDLED = Path(__file__).resolve().parents[2] / "caffe2neon" / "bundled" / "digits"
NET = (BUNDLED / "digits.prototxt").read_bytes()
WEIGHTS = (BUNDLED / "digits.caffemodel").read_bytes()
MULTIPLIED = NET + b"""
layer { name: "twice" type: "Eltwise" bottom: "prob" bottom: "prob" top: "product" eltwise_param { operation: PROD } }
"""
ENTRY = """\
  {name}:
    prototxt: {{url: {net}, sha256: {digest}}}
    caffemodel: {{url: {weights}, sha256: {weights_digest}}}
    license: none
{more}"""


@pytest.fixture
def server() -> Iterator[Server]:
    with running() as server:
        yield server


@pytest.fixture
def zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """A command of ``caffe2neon zoo`` in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(main, ["zoo", *arguments])


def _entry(name: str, net: bytes, folder: Path, more: str = "", weights: bytes = WEIGHTS) -> str:
    (folder / f"{name}.prototxt").write_bytes(net)
    (folder / f"{name}.caffemodel").write_bytes(weights)
    return ENTRY.format(
        name=name,
        net=f"{name}.prototxt",
        digest=hashlib.sha256(net).hexdigest(),
        weights=f"{name}.caffemodel",
        weights_digest=hashlib.sha256(weights).hexdigest(),
        more="".join(f"    {line}\n" for line in more.splitlines()),
    )


def _manifest(folder: Path, *entries: str) -> None:
    (folder / "zoo.yaml").write_text("schema: 1\nmodels:\n" + "\n".join(entries), encoding="utf-8")


REFUSED = "expect: refused\nreason: neon has no products"
MIXED = (
    ("fine", NET, ""),
    ("as_said", MULTIPLIED, REFUSED),
    ("not_as_said", NET, REFUSED),
    ("surprise", MULTIPLIED, ""),
    ("fixed", NET.replace(b"layer {", b"layers_ {", 1), 'fixes: [{find: "layers_ {", replace: "layer {", count: 1}]'),
)


@pytest.fixture
def mixed(tmp_path: Path) -> None:
    """What converts and what does not, each expected and unexpected; and an entry that nobody can pin."""
    entries = [_entry(name, net, tmp_path, more) for name, net, more in MIXED]
    unpinned = ENTRY.replace(", sha256: {weights_digest}", "").format(
        name="loose", net="http://127.0.0.1:1/n", digest="1" * 64, weights="http://127.0.0.1:1/w", more=""
    )
    _manifest(tmp_path, *entries, unpinned + "    expect: unpinned\n    reason: nobody says its hash\n")


@pytest.mark.usefixtures("mixed")
def test_check_holds_nets_against_what_is_expected(zoo: Callable[..., Result]) -> None:
    result = zoo("check", "--json")
    assert result.exit_code == 1
    found = {entry["name"]: (entry["status"], entry["detail"]) for entry in json.loads(result.stdout)}
    assert {name: status for name, (status, _) in found.items()} == {
        "fine": "converts",
        "as_said": "refused",
        "not_as_said": "failed",
        "surprise": "failed",
        "fixed": "converts",
        "loose": "not checked",
    }
    assert found["as_said"][1].startswith("as expected: layer 'twice' (Eltwise): ")
    assert found["not_as_said"][1] == "expected to be refused (neon has no products), but converts"
    assert "layer 'twice' (Eltwise)" in found["surprise"][1]


@pytest.mark.usefixtures("mixed")
def test_check_of_what_is_well(zoo: Callable[..., Result]) -> None:
    result = zoo("check", "fine", "as_said", "fixed", "loose")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[0] == "fine     converts"


def test_check_lists_all_mistakes(zoo: Callable[..., Result], tmp_path: Path) -> None:
    _manifest(tmp_path, _entry("a", NET, tmp_path, "expect: perhaps\ninput: 3"))
    result = zoo("check")
    assert result.exit_code == 2
    assert "2 mistakes" in result.stderr


def test_check_of_a_changed_prototxt(zoo: Callable[..., Result], tmp_path: Path) -> None:
    _manifest(tmp_path, _entry("a", NET, tmp_path))
    (tmp_path / "a.prototxt").write_bytes(NET + b" ")
    result = zoo("check")
    assert result.exit_code == 1
    assert "checksum mismatch" in result.stdout


@pytest.mark.usefixtures("mixed")
def test_build_refuses_what_is_to_be_refused(zoo: Callable[..., Result], tmp_path: Path) -> None:
    (tmp_path / "as_said.caffemodel").unlink()  # nobody needs it
    result = zoo("build", "fine", "as_said", "fixed", "loose", "--no-evaluate")
    assert result.exit_code == 0, result.output
    report = json.loads((tmp_path / "zoo" / "report.json").read_bytes())
    assert report["counts"] == {"published": 2, "unchanged": 0, "refused": 2, "failed": 0}
    reasons = {outcome["name"]: outcome["reason"] for outcome in report["outcomes"]}
    assert reasons["as_said"].startswith("as expected: neon has no products\nlayer 'twice' (Eltwise)")
    assert reasons["loose"] == "not pinned, as the manifest says: nobody says its hash"
    (build,) = (tmp_path / "zoo" / "fixed").iterdir()
    assert json.loads((build / "model.json").read_bytes())["fixes"] == [{"count": 1, "find": "layers_ {", "replace": "layer {"}]


@pytest.mark.usefixtures("mixed")
def test_build_fails_where_the_expected_refusal_does_not_come(zoo: Callable[..., Result], tmp_path: Path) -> None:
    result = zoo("build", "not_as_said", "--no-evaluate")
    assert result.exit_code == 1
    (outcome,) = json.loads((tmp_path / "zoo" / "report.json").read_bytes())["outcomes"]
    assert outcome["status"] == "failed"
    assert outcome["reason"].startswith("expected to be refused (neon has no products), but converts")


@pytest.mark.usefixtures("mixed")
def test_dry_run_says_what_is_not_built(zoo: Callable[..., Result]) -> None:
    lines = zoo("build", "--dry-run").stdout.splitlines()
    assert "as_said: refused   neon has no products" in lines
    assert "loose: unpinned  nobody says its hash" in lines


def test_fetch_fills_the_cache_and_goes_on_after_a_failure(zoo: Callable[..., Result], tmp_path: Path, server: Server) -> None:
    good = {"net": server.serve("/n", body(NET)), "weights": server.serve("/w", body(WEIGHTS))}
    gone = {"net": server.serve("/gone", body(b"", status=404)), "weights": server.serve("/w2", body(WEIGHTS))}
    digests = {"digest": hashlib.sha256(NET).hexdigest(), "weights_digest": hashlib.sha256(WEIGHTS).hexdigest()}
    _manifest(
        tmp_path,
        ENTRY.format(name="bad", more="", **gone, **{**digests, "digest": "1" * 64}),
        ENTRY.format(name="good", more="", **good, **digests),
    )
    result = zoo("fetch", "--json")
    assert result.exit_code == 1
    bad, fine = json.loads(result.stdout)
    assert bad["status"] == "failed"
    assert "404" in bad["detail"]
    assert (fine["status"], fine["detail"]) == ("here", "0.1 MB")
    assert zoo("fetch", "good", "--offline").exit_code == 0
    assert zoo("check", "good").stdout == "good  converts\n"


def test_offline_asks_nobody(zoo: Callable[..., Result], tmp_path: Path, server: Server) -> None:
    urls = {"net": server.serve("/n", body(NET)), "weights": server.serve("/w", body(WEIGHTS))}
    _manifest(tmp_path, ENTRY.format(name="far", more="", **urls, digest="1" * 64, weights_digest="2" * 64))
    for command in (("fetch", "--offline"), ("build", "--offline", "--no-evaluate")):
        result = zoo(*command)
        assert result.exit_code == 1
        assert "the network is not to be asked" in " ".join(result.output.split())
    assert server.requests == []


def test_fetch_of_what_is_refused_or_unpinned(zoo: Callable[..., Result], tmp_path: Path) -> None:
    _manifest(tmp_path, _entry("a", MULTIPLIED, tmp_path, REFUSED))
    (tmp_path / "a.caffemodel").unlink()
    assert zoo("fetch").exit_code == 0


def test_add_pins_what_arrives_and_keeps_comments(zoo: Callable[..., Result], tmp_path: Path, server: Server) -> None:
    _manifest(tmp_path, "  # the first of many\n" + _entry("a", NET, tmp_path) + "\n# the end\n")
    before = (tmp_path / "zoo.yaml").read_text(encoding="utf-8")
    net, weights = server.serve("/n.prototxt", body(NET)), server.serve("/My%20Net.caffemodel", body(WEIGHTS))
    result = zoo("add", net, weights, "--license", "MIT")
    assert result.exit_code == 0, result.output
    spec = read_manifest(tmp_path / "zoo.yaml").models[-1]
    assert (spec.name, spec.input, spec.license, spec.expect) == ("my_net", (1, 8, 8), "MIT", "published")
    assert (spec.prototxt.digest, spec.prototxt.size) == (hashlib.sha256(NET).hexdigest(), len(NET))
    assert (spec.caffemodel.digest, spec.caffemodel.size) == (hashlib.sha256(WEIGHTS).hexdigest(), len(WEIGHTS))
    added = "".join(f"  {line}\n" for line in result.stdout.splitlines())
    first, _, last = before.partition("\n# the end")
    assert (tmp_path / "zoo.yaml").read_text(encoding="utf-8") == f"{first}\n{added}\n# the end{last}"
    assert zoo("build", "my_net", "--no-evaluate", "--offline").exit_code == 0


@pytest.mark.parametrize(
    "before", [None, "", "schema: 1\n", "schema: 1\nmodels: {}\n"], ids=["no-file", "empty", "no-models", "no-entries"]
)
def test_add_begins_a_manifest(zoo: Callable[..., Result], tmp_path: Path, before: str | None) -> None:
    """All that a new user has is two addresses."""
    if before is not None:
        (tmp_path / "zoo.yaml").write_text(before)
    for name, data in (("n.prototxt", NET), ("w.caffemodel", WEIGHTS)):
        (tmp_path / name).write_bytes(data)
    result = zoo("add", "n.prototxt", "w.caffemodel", "--name", "mine")
    assert result.exit_code == 0, result.output
    assert ("zoo.yaml: there was no manifest, and this is a new one" in result.stderr) == (not before)
    assert [spec.name for spec in read_manifest(tmp_path / "zoo.yaml").models] == ["mine"]
    assert zoo("build", "--no-evaluate", "--offline").exit_code == 0


def test_add_into_a_folder_that_is_not_there(zoo: Callable[..., Result], server: Server) -> None:
    """It is said before anything is fetched."""
    net = server.serve("/n", body(NET))
    result = zoo("add", net, net, "--manifest", "nowhere/zoo.yaml")
    assert result.exit_code == 2
    assert "nowhere: there is no such folder for a manifest" in result.stderr
    assert server.requests == []


def test_add_without_a_manifest_as_a_dry_run(zoo: Callable[..., Result], tmp_path: Path) -> None:
    (tmp_path / "n.prototxt").write_bytes(NET)
    assert zoo("add", "n.prototxt", "n.prototxt", "--dry-run").exit_code == 0
    assert not (tmp_path / "zoo.yaml").exists()


def test_licence_that_nobody_looked_up(zoo: Callable[..., Result], tmp_path: Path) -> None:
    """It is published as unknown, and each build warns of it, also where it has been published already."""
    (tmp_path / "n.prototxt").write_bytes(NET)
    (tmp_path / "w.caffemodel").write_bytes(WEIGHTS)
    assert "look up the licence of mine's weights" in zoo("add", "n.prototxt", "w.caffemodel", "--name", "mine").stderr
    for status in ("published", "unchanged"):
        assert zoo("build", "--no-evaluate").exit_code == 0
        (outcome,) = json.loads((tmp_path / "zoo" / "report.json").read_bytes())["outcomes"]
        assert outcome["status"] == status
        (warning,) = outcome["warnings"]
        assert warning == "the licence of the weights is unknown: look it up, and say it in models.mine.license"
    (build,) = (tmp_path / "zoo" / "mine").iterdir()
    assert json.loads((build / "model.json").read_bytes())["license"] == "unknown"
    assert "unknown" in (tmp_path / "zoo" / "index.html").read_text(encoding="utf-8")


def test_add_of_a_net_that_neon_cannot_express(zoo: Callable[..., Result], tmp_path: Path, server: Server) -> None:
    _manifest(tmp_path, _entry("a", NET, tmp_path))
    net, weights = server.serve("/n.prototxt", body(MULTIPLIED)), server.serve("/w.caffemodel", body(WEIGHTS))
    assert zoo("add", net, weights).exit_code == 0
    spec = read_manifest(tmp_path / "zoo.yaml").models[-1]
    assert spec.expect == "refused"
    assert spec.reason.startswith("layer 'twice' (Eltwise): ")
    assert zoo("check").exit_code == 0


@pytest.mark.parametrize("arguments", [("--name", "a"), ("--name", "A b")], ids=["taken", "no-name"])
def test_add_under_a_name_that_cannot_be(zoo: Callable[..., Result], tmp_path: Path, arguments: tuple[str, ...]) -> None:
    _manifest(tmp_path, _entry("a", NET, tmp_path))
    (tmp_path / "w.caffemodel").write_bytes(WEIGHTS + b"!")
    before = (tmp_path / "zoo.yaml").read_bytes()
    assert zoo("add", "a.prototxt", "w.caffemodel", *arguments).exit_code == 2
    assert (tmp_path / "zoo.yaml").read_bytes() == before


def test_add_dry_run_prints_hashes_only(zoo: Callable[..., Result], tmp_path: Path) -> None:
    _manifest(tmp_path, _entry("a", NET, tmp_path))
    before = (tmp_path / "zoo.yaml").read_bytes()
    result = zoo("add", "a.prototxt", "a.caffemodel", "--dry-run")
    assert result.exit_code == 0
    assert hashlib.sha256(WEIGHTS).hexdigest() in result.stdout
    assert (tmp_path / "zoo.yaml").read_bytes() == before


def test_add_of_a_web_page(zoo: Callable[..., Result], tmp_path: Path, server: Server) -> None:
    _manifest(tmp_path, _entry("a", NET, tmp_path))
    before = (tmp_path / "zoo.yaml").read_bytes()
    page = server.serve("/n", body(b"<!DOCTYPE html><title>Sign in</title>"))
    result = zoo("add", page, "a.caffemodel", "--name", "b")
    assert result.exit_code == 1
    assert "an HTML page titled 'Sign in'" in result.stderr
    assert (tmp_path / "zoo.yaml").read_bytes() == before


def test_only_chosen_entries_are_warned_of(zoo: Callable[..., Result], tmp_path: Path) -> None:
    entry = ENTRY.replace("sha256: {weights_digest}", "sha1: {weights_digest}")
    digests = {"digest": "1" * 64, "weights_digest": "2" * 40}
    _manifest(tmp_path, *(entry.format(name=name, net=name, weights=f"{name}w", more="", **digests) for name in "ab"))
    assert zoo("list", "a").stderr.splitlines() == [
        "warning: models.a.caffemodel.sha1: SHA-1 can be forged; pin the file by sha256 (line 5)"
    ]
    assert len(zoo("list").stderr.splitlines()) == 2


@pytest.mark.usefixtures("mixed")
def test_list_says_what_is_not_published(zoo: Callable[..., Result]) -> None:
    lines = {line.split()[0]: line for line in zoo("list").stdout.splitlines()}
    assert lines["as_said"].endswith("(refused: neon has no products)")
    assert lines["loose"].endswith("(unpinned: nobody says its hash)")
    assert lines["fine"].rstrip() == "fine"
