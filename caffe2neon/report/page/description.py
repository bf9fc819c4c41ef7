"""``model.json``: what is said of a model beside its numbers."""

from __future__ import annotations

import re
from dataclasses import dataclass

from caffe2neon.publish import Fields
from caffe2neon.records import Preprocess, Published, Shape


@dataclass(frozen=True)
class Source:
    """Where a file came from; ``link`` is its address where a browser can go there."""

    what: str
    address: str
    link: str
    sha256: str


@dataclass(frozen=True)
class Input:
    """``shape`` is that of one example."""

    name: str
    shape: Shape


@dataclass(frozen=True)
class Description:
    """Texts are empty, and records None, where the manifest does not say."""

    text: str
    license: str
    input: Input | None
    outputs: tuple[str, ...]
    preprocess: Preprocess | None
    class_order: str
    published: Published | None
    sources: tuple[Source, ...]
    notes: tuple[str, ...]


def read_description(record: Fields) -> Description:
    """What a ``model.json`` says.

    Raises:
        PublishError: a field is missing, or is not what it should be.
    """
    return Description(
        text=record.text("description"),
        license=record.text("license"),
        input=_input(record.inner("input")) if record.given("input") else None,
        outputs=record.texts("outputs"),
        preprocess=_preprocess(record.inner("preprocess")) if record.given("preprocess") else None,
        class_order=record.text("class_order"),
        published=_published(record.inner("published")) if record.given("published") else None,
        sources=tuple(_source(what, facts) for what, facts in record.named("sources").items()),
        notes=record.texts("notes"),
    )


def web(text: str) -> str:
    """``text`` where it is an address of the web and nothing else."""
    return text if re.fullmatch(r"https?://\S+", text) else ""


def _input(record: Fields) -> Input:
    return Input(record.text("name"), record.shape("shape"))


def _preprocess(record: Fields) -> Preprocess:
    resize, crop = (record.pair(key) if record.given(key) else None for key in ("resize", "crop"))
    return Preprocess(record.text("channel_order"), resize, crop, record.numbers("mean"), record.number("scale"))


def _published(record: Fields) -> Published:
    return Published(record.topk("topk"), record.text("protocol"), record.text("source"))


def _source(what: str, facts: Fields) -> Source:
    address = facts.text("url")
    return Source(what, address, web(address), facts.text("sha256"))
