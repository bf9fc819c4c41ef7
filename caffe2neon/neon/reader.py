""".prm -> NeonModel, without trusting the file: get the plain tree, audit it, construct the records."""

from __future__ import annotations

import gzip
import mmap
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from caffe2neon.errors import PrmError, located
from caffe2neon.neon.record import check_record
from caffe2neon.pickles import REMEDY_DAMAGED, REMEDY_HOSTILE, Ndarray, run, text
from caffe2neon.records import NeonContainer, NeonLayer, NeonModel

#: Values in a model's tree, counted as often as they are reached: a small file can share one list a billion times.
MOST_VALUES = 2_000_000
#: Lists in lists; neon's own files reach some 30.
DEEPEST = 200
#: A .gz file may unpack to this much, or to so many times its own size: floats do not pack any better.
UNPACKED_FLOOR, _UNPACKED_RATIO = 256 << 20, 30

#: Protocol 2 and above; the opcodes that a dict in protocol 0 or 1 begins with, or an object that is not welcome.
_BEGINNINGS = (b"\x80", b"(", b"}", b"]", b"c", b"i")
_REMEDY_NOT_CONVERTED = "a prototxt and a caffemodel are converted first: caffe2neon convert PROTOTXT CAFFEMODEL -o MODEL.prm"
_REMEDY_NOT_A_MODEL = "neon writes such files with Model.save_params, caffe2neon with convert"


def read_prm(path: Path) -> NeonModel:
    """Read a model file of neon v1.4.0 or of this project, ``.gz`` too; parameters are read-only views of the mapped file.

    Raises:
        PrmError: no such file, damaged, hostile, no neon model, or what it records of itself makes no sense; nothing in the file is
            ever run.
    """
    with located(path=str(path)):
        return parse_prm(_bytes(path))


def parse_prm(data: memoryview | bytes) -> NeonModel:
    """As :func:`read_prm`, of bytes in memory."""
    view = memoryview(data)
    head = bytes(view[:64]).lstrip().lower()
    if head.startswith((b"<!doctype", b"<html", b"<?xml")):
        raise PrmError("an HTML page, not a neon model", remedy="open the address it came from in a browser: it leads to a page")
    if not head.startswith(_BEGINNINGS):
        raise PrmError("no neon model: it does not begin as a pickle does", remedy=_REMEDY_NOT_CONVERTED)
    raw = run(view)
    _reach(raw, {})
    tree = _plain(raw, {})
    if not isinstance(tree, dict):
        raise PrmError(f"holds a {type(tree).__name__}, not the dict of a neon model", remedy=_REMEDY_NOT_A_MODEL)
    if "model" not in tree:
        old = "layer_params_states" in tree
        raise PrmError(
            "an old format of neon before 1.0 (layer_params_states): weights without a description" if old else "no key 'model'",
            remedy="load it into its network in neon, then Model.save_params" if old else _REMEDY_NOT_A_MODEL,
        )
    root = _node(tree.pop("model"), "model")
    if not isinstance(root, NeonContainer):
        raise PrmError(f"the model is one {root.kind}, not a container of layers", remedy="neon wants a Sequential or Tree on top")
    check_record(tree)
    return NeonModel(root, tree)


def _bytes(path: Path) -> memoryview | bytes:
    try:
        with path.open("rb") as stream:
            if path.name.endswith(".gz"):
                size = path.stat().st_size
                limit = max(UNPACKED_FLOOR, _UNPACKED_RATIO * size)
                data = gzip.GzipFile(fileobj=stream).read(limit + 1)
                if len(data) > limit:
                    raise PrmError(f"unpacks to more than {limit:,} bytes from {size:,}", remedy=REMEDY_HOSTILE)
            else:
                data = memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))  # type: ignore[assignment]
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise PrmError(f"damaged: {error}", remedy=REMEDY_DAMAGED) from error
    except OSError as error:
        raise PrmError(f"cannot read: {error.strerror or error}", remedy="check the path") from error
    except ValueError as error:  # mmap cannot map nothing
        raise PrmError("the file is empty", remedy=REMEDY_DAMAGED) from error
    if not data:
        raise PrmError("the file is empty", remedy=REMEDY_DAMAGED)
    return data


def _reach(value: Any, known: dict[int, tuple[int, int]], depth: int = 0) -> tuple[int, int]:
    """How many values a walk from here would meet, and how deep it would go; shared ones are counted once and added up.

    Raises:
        PrmError: more than a model has, or a list that holds itself.
    """
    if not isinstance(value, (dict, list, tuple)):
        return 1, 0
    if id(value) not in known:
        if depth > DEEPEST:
            raise PrmError(f"lists nested deeper than {DEEPEST}: no neon model has that", remedy=REMEDY_HOSTILE)
        inner = [_reach(item, known, depth + 1) for item in (value.values() if isinstance(value, dict) else value)]
        known[id(value)] = 1 + sum(count for count, _ in inner), 1 + max((height for _, height in inner), default=0)
    count, height = known[id(value)]
    if count > MOST_VALUES or height > DEEPEST:
        raise PrmError(f"more than {MOST_VALUES:,} values, or deeper than {DEEPEST}: no neon model has that", remedy=REMEDY_HOSTILE)
    return count, height


def _plain(value: Any, texts: dict[int, str]) -> Any:
    """The interpreter's values as text and arrays, each place on its own, so that nothing is shared."""
    if isinstance(value, dict):
        return {key: _plain(item, texts) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item, texts) for item in value]
    if isinstance(value, tuple):
        return tuple(_plain(item, texts) for item in value)
    if isinstance(value, (bytes, memoryview)):
        # One decoding however often the same text is reached; the tree keeps the ids alive.
        if id(value) not in texts:
            texts[id(value)] = text(value)
        return texts[id(value)]
    if isinstance(value, Ndarray):
        if value.value is None:
            raise PrmError("an array without values", remedy=REMEDY_DAMAGED)
        return value.value
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    raise PrmError("holds something that is neither data nor an array", remedy=REMEDY_HOSTILE)


def _node(tree: Any, place: str) -> NeonLayer | NeonContainer:
    """A layer or container description; ``place`` is its path in the file, for messages."""
    kind, config = _part(tree, "type", str, place), _part(tree, "config", dict, place)
    name = config.get("name", "")
    extra = {key: value for key, value in tree.items() if key not in ("type", "config", "params", "container")}
    with located(layer=name if isinstance(name, str) else "", layer_type=kind.rpartition(".")[2]):
        _check_keys(config, place)
        if "layers" in config:
            layers = _part(config, "layers", list, place)
            nodes = tuple(_node(item, f"{place}.layers[{index}]") for index, item in enumerate(layers))
            return NeonContainer(kind, {key: value for key, value in config.items() if key != "layers"}, nodes, extra)
        if tree.get("container"):
            raise PrmError(f"{place}: a container without 'layers'", remedy=REMEDY_DAMAGED)
        params = _part(tree, "params", dict, place) if "params" in tree else {}
        for key, value in params.items():
            if not hasattr(value, "dtype"):
                raise PrmError(f"{place}: parameter {key!r} is a {type(value).__name__}, not an array", remedy=REMEDY_DAMAGED)
        return NeonLayer(kind, config, params, extra)


def _part(tree: Any, key: str, kind: type[Any], place: str) -> Any:
    if not isinstance(tree, dict):
        raise PrmError(f"{place} is a {type(tree).__name__}, not a layer's dict", remedy=REMEDY_DAMAGED)
    if not isinstance(tree.get(key), kind):
        found = f"has a {type(tree[key]).__name__} as {key!r}" if key in tree else f"has no {key!r}"
        raise PrmError(f"{place} {found}, where a {kind.__name__} is expected", remedy=REMEDY_DAMAGED)
    return tree[key]


def _check_keys(config: Mapping[Any, Any], place: str) -> None:
    for key in config:
        if not isinstance(key, str):
            raise PrmError(f"{place}: {key!r} is no argument's name", remedy=REMEDY_DAMAGED)
