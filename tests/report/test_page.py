"""The page's bytes and its errors; how it behaves is in test_browser.py."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from click.testing import CliRunner

from caffe2neon.cli import main
from caffe2neon.errors import PublishError
from caffe2neon.records import Preprocess
from caffe2neon.report.page import read_zoo, render, write_page
from caffe2neon.report.page.plots import accuracy_plot, parity_plot
from caffe2neon.report.page.usage import neon_code, preprocessing
from tests.report.zoos import MARKUP, Made, publish

ALEXNET = Made("bvlc_alexnet", errors=(0.0, 1e-7, 3e-5))


class Tags(HTMLParser):
    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_same_zoo_same_bytes(tmp_path: Path) -> None:
    publish(tmp_path, [ALEXNET, Made("vgg16")])
    first = write_page(tmp_path).read_bytes()
    assert write_page(tmp_path) == tmp_path / "index.html"
    assert (tmp_path / "index.html").read_bytes() == first
    assert str(tmp_path).encode() not in first
    other = tmp_path / "other"
    publish(other, [ALEXNET, Made("vgg16")])
    assert write_page(other).read_bytes() == first


def test_everything_is_said(tmp_path: Path) -> None:
    publish(tmp_path, [ALEXNET])
    text = " ".join(Tags(render(read_zoo(tmp_path))).text.split())
    files = json.loads((tmp_path / "index.json").read_text())["models"]["bvlc_alexnet"]["files"]
    hashes = [facts["sha256"] for facts in files.values()]
    assert len(hashes) == 6
    for fact in (
        "BSD-2-Clause",
        "1.0 kB",
        "57.1",
        "56.9",
        "−0.2",
        "56.1 to 57.7",
        "3.0e-05",
        "tolerance 1.0e-05",
        "layer by layer",
        "conv2: 2 groups as dense weights",
        "BGR, resized to 256×256, centre crop 224×224, minus 104, 117, 123",
        "Measured on ilsvrc12, 50000 examples, by neon-embedded; ties count against the model. Published: center crop.",
        "load_obj('bvlc_alexnet.prm')",
        *hashes,
    ):
        assert fact in text, fact


def test_a_licence_that_is_an_address_is_a_link_with_a_short_name(tmp_path: Path) -> None:
    address = "https://example.org/net/LICENSE"
    publish(tmp_path, [Made("net", license=address), Made("other", license="see https://example.org/LICENSE")])
    page = Tags(render(read_zoo(tmp_path)))
    assert [attributes.get("href") for tag, attributes in page.tags if tag == "a"].count(address) == 2
    assert page.text.count(address) == 1
    assert "LICENSE, 1.0 kB" in page.text
    assert read_zoo(tmp_path).models[1].license_link == ""


def test_policy_allows_the_page_itself_and_nothing_outside(tmp_path: Path) -> None:
    publish(tmp_path, [ALEXNET])
    page = render(read_zoo(tmp_path)).decode()
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', page)
    policy = policy.replace("&#39;", "'")
    for tag in ("style", "script"):
        (inline,) = re.findall(f"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'; img-src 'self' file:;")
    assert not re.search(r"\sstyle=|\son\w+=|url\(|@import", page)


def test_hostile_text_stays_text(tmp_path: Path) -> None:
    name = MARKUP.replace("/", "")
    record = {
        "description": MARKUP,
        "notes": [MARKUP],
        "class_order": MARKUP,
        "outputs": [MARKUP],
        "sources": {
            MARKUP: {"url": "javascript:alert(1)", "sha256": MARKUP},
            "prototxt": {"url": "data:text/html,x", "sha256": ""},
        },
        "published": {"topk": {"1": 50.0}, "protocol": MARKUP, "source": MARKUP},
    }
    publish(tmp_path, [Made(name, license=MARKUP, record=record)])
    tags = Tags(write_page(tmp_path).read_bytes()).tags
    assert [tag for tag, _ in tags].count("script") == 1
    assert all(not name.startswith("on") for _, attributes in tags for name in attributes)
    for tag, attributes in tags:
        for attribute in ("href", "src"):
            assert re.match(r"\./|#|https://example\.org/|$", attributes.get(attribute) or ""), (tag, attributes)


def test_report_of_the_last_build(tmp_path: Path) -> None:
    publish(tmp_path, [ALEXNET])
    outcomes = [
        {"name": "fcn8s", "status": "refused", "stage": "convert", "reason": "no per-pixel Softmax"},
        {"name": "bvlc_alexnet", "status": "unchanged", "stage": "", "reason": "there already"},
    ]
    (tmp_path / "report.json").write_text(json.dumps({"schema": 1, "outcomes": outcomes}))
    text = Tags(render(read_zoo(tmp_path))).text
    assert "no per-pixel Softmax" in text
    assert "there already" not in text


def test_what_is_not_known(tmp_path: Path) -> None:
    record: dict[str, list[str] | None] = {"input": None, "preprocess": None, "notes": []}
    publish(tmp_path, [Made("bare", license="", top1=(None, None), record=record)])
    zoo = read_zoo(tmp_path)
    assert accuracy_plot(zoo.models) is None
    assert neon_code(zoo.models[0]) == ""
    assert "licence not stated" in Tags(render(zoo)).text


def test_plots(tmp_path: Path) -> None:
    publish(tmp_path, [Made("low", top1=(62.0, 61.0)), Made("high", top1=(75.0, 80.0)), ALEXNET])
    models = read_zoo(tmp_path).models
    plot = accuracy_plot(models)
    assert plot is not None
    assert [row.model.name for row in plot.rows] == ["high", "low", "bvlc_alexnet"]
    assert (plot.ticks[0].text, plot.ticks[-1].text) == ("50 %", "100 %")
    # the scale goes from 50 to 100
    assert (plot.rows[0].published, plot.rows[0].measured) == (50.0, 60.0)
    assert models[0].parity is not None
    marks = parity_plot(models[0].parity).marks
    assert [mark.bad for mark in marks] == [False, False, True]
    assert marks[0].y == 100
    assert marks[2].y < parity_plot(models[0].parity).tolerance < marks[1].y


def test_an_error_that_is_no_number_is_bad(tmp_path: Path) -> None:
    publish(tmp_path, [Made("broken", errors=(1e-7, "NaN"))])
    parity = read_zoo(tmp_path).models[0].parity
    assert parity is not None
    marks = parity_plot(parity).marks
    assert [(mark.bad, mark.y == 0) for mark in marks] == [(False, False), (True, True)]
    render(read_zoo(tmp_path))


def test_preprocessing() -> None:
    assert preprocessing(Preprocess("GRAY", mean=(8.0,), scale=0.125)) == "GRAY, minus 8, times 0.125"


def test_a_folder_that_is_no_zoo(tmp_path: Path) -> None:
    with pytest.raises(PublishError, match="no published zoo here"):
        write_page(tmp_path)


@pytest.mark.parametrize(
    "index", ["[]", '{"models": 3}', '{"models": {"a": {}}}', '{"models": {"../a": {"build": "b", "files": {}}}}', "{"]
)
def test_a_damaged_index(tmp_path: Path, index: str) -> None:
    (tmp_path / "index.json").write_text(index)
    with pytest.raises(PublishError):
        write_page(tmp_path)
    assert not (tmp_path / "index.html").exists()


def test_a_build_without_its_record(tmp_path: Path) -> None:
    publish(tmp_path, [ALEXNET])
    next(tmp_path.glob("*/*/model.json")).unlink()
    with pytest.raises(PublishError, match=r"no model\.json"):
        write_page(tmp_path)


def test_command(tmp_path: Path) -> None:
    publish(tmp_path, [ALEXNET])
    result = CliRunner().invoke(main, ["zoo", "report", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert "index.html" in result.stdout
    assert (tmp_path / "index.html").exists()


def test_command_on_no_zoo(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["zoo", "report", str(tmp_path)])
    assert result.exit_code == 1
    assert "no published zoo" in result.stderr
