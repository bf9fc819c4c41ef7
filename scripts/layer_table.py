#!/usr/bin/env python3
"""Write docs/layers.md: what becomes of every layer type of Caffe, as the converters themselves say it.

    python scripts/layer_table.py
"""

from __future__ import annotations

import sys
from pathlib import Path

from caffe2neon.caffe import deploy_rules
from caffe2neon.convert import layer_rules
from caffe2neon.files import write_bytes
from caffe2neon.records import LayerRule

PATH = Path(__file__).resolve().parents[1] / "docs" / "layers.md"

_HEAD = """\
# What becomes of each Caffe layer

Every layer type of BVLC Caffe HEAD. A layer converts exactly where its condition holds; else it is refused, with the reason.
`caffe2neon check PROTOTXT` says it of each layer of a net, by name and line. `--cut BLOB` ends a net before a refused layer.

*Inference only*: the numbers are those of Caffe, but neon cannot train that form on. `caffe2neon check` notes it, and where a form
makes the file larger, how much.

This page is written by `scripts/layer_table.py` from the texts beside the converters.

| Caffe layer | becomes in neon | condition | refused otherwise, because |
|---|---|---|---|
"""


def rules() -> dict[str, LayerRule]:
    """By type; what deploying a net makes of data layers and losses counts before what a converter would say of one left over."""
    return {**layer_rules(), **deploy_rules()}


def document() -> str:
    """The whole page."""
    return _HEAD + "".join(_row(rule) for _, rule in sorted(rules().items(), key=lambda item: item[0].lower()))


def _row(rule: LayerRule) -> str:
    becomes = rule.becomes.format(type=rule.type)
    cells = (rule.type, becomes or "*refused*", rule.condition, rule.reason)
    return "".join(f"| {cell} " if cell else "| " for cell in (text.replace("|", "\\|") for text in cells)) + "|\n"


def main() -> int:
    PATH.parent.mkdir(exist_ok=True)
    write_bytes(PATH, document().encode())
    print(f"{PATH.name}: {len(rules())} layer types")
    return 0


if __name__ == "__main__":
    sys.exit(main())
