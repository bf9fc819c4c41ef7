"""Choosing entries by name, glob and group."""

from __future__ import annotations

from pathlib import Path

import pytest

from caffe2neon.errors import UsageError
from caffe2neon.manifest import select
from caffe2neon.records import Manifest, ModelSpec, PinnedFile

_FILE = PinnedFile("x", "sha256", "0" * 64)
_GROUPS = {
    "digits": ("bundled",),
    "bvlc_alexnet": ("ilsvrc12", "large"),
    "bvlc_googlenet": ("ilsvrc12",),
    "squeezenet_v1.0": ("ilsvrc12",),
}
MANIFEST = Manifest(
    Path("zoo.yaml"), tuple(ModelSpec(name, _FILE, _FILE, "", groups=groups) for name, groups in _GROUPS.items()), {}
)


@pytest.mark.parametrize(
    ("patterns", "groups", "names"),
    [
        ([], [], list(_GROUPS)),
        (["digits"], [], ["digits"]),
        (["bvlc_*"], [], ["bvlc_alexnet", "bvlc_googlenet"]),
        (["squeezenet_v1.?"], [], ["squeezenet_v1.0"]),
        (["squeezenet_v1.0", "*net*", "digits"], [], list(_GROUPS)),
        ([], ["large", "bundled"], ["digits", "bvlc_alexnet"]),
        (["bvlc_googlenet"], ["bundled"], ["digits", "bvlc_googlenet"]),
    ],
)
def test_select(patterns: list[str], groups: list[str], names: list[str]) -> None:
    assert [model.name for model in select(MANIFEST, patterns, groups)] == names


@pytest.mark.parametrize(
    ("patterns", "groups", "message"),
    [
        (["bvlc_googelnet"], [], "no entry is named 'bvlc_googelnet'; did you mean 'bvlc_googlenet'"),
        (["zzz"], [], "no entry is named 'zzz'\n"),
        (["Digits"], [], "no entry is named 'Digits'; did you mean 'digits'?"),
        (["resnet*"], [], "no entry matches 'resnet*'"),
        ([], ["ilsvrc"], "no group is named 'ilsvrc'; did you mean 'ilsvrc12'?"),
        ([], ["zzz"], "no group is named 'zzz'; there are bundled, ilsvrc12, large"),
        (["digits", "x*"], ["y"], "no entry matches 'x*'\n  no group is named 'y'"),
    ],
)
def test_nothing_fits(patterns: list[str], groups: list[str], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        select(MANIFEST, patterns, groups)
    assert message in str(caught.value)
