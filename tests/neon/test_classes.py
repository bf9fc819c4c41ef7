"""The table of neon's constructors, held to neon's own refusals and to neon itself."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from caffe2neon.errors import PrmError
from caffe2neon.neon import check_classes, read_prm
from caffe2neon.neon.classes import _MODULES, arguments
from caffe2neon.records import NeonContainer, NeonLayer, NeonModel
from tests.conftest import shared

_LAYER, _CONTAINER = "neon.layers.layer", "neon.layers.container"
_POPEN = {"type": "subprocess.Popen", "config": {"args": ["true"]}}
_LOAD = {"type": "neon.util.persist.load_obj", "config": {"load_path": "x"}}
_CONSTANT = {"type": "neon.initializers.initializer.Constant", "config": {"val": 0.0}}


def model(kind: str, **config: Any) -> NeonModel:
    return NeonModel(NeonContainer(f"{_CONTAINER}.Sequential", {"name": "main"}, (NeonLayer(kind, {"name": "x", **config}),)), {})


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (model("os.system", command="true"), "os.system is no class"),
        (model(f"{_LAYER}.load_class", ctype="x"), "load_class is no class"),
        (model(f"{_LAYER}.Reshape"), "is no class"),
        (model(f"{_CONTAINER}.Tree", layers=[]), "is no class that neon has here"),
        (model(f"{_LAYER}.Dropout", ratio=0.5), "takes no argument 'ratio' .it takes keep, name"),
        (model(f"{_LAYER}.Linear", nout=3), "needs an argument 'init'"),
        (model(f"{_LAYER}.Linear", nout=3, init=3), "no description of an object"),
        (model(f"{_LAYER}.Linear", nout=3, init=_POPEN), "subprocess.Popen is no class"),
        (model(f"{_LAYER}.Linear", nout=3, init={"type": _CONSTANT["type"]}), "has no 'config'"),
        (model(f"{_LAYER}.Linear", nout=3, init={**_CONSTANT, "config": {"value": 1}}), "Constant takes no argument 'value'"),
        (model(f"{_LAYER}.Activation", transform=None), "no description of an object"),
        (model(f"{_LAYER}.Activation", transform=_LOAD), "load_obj is no class"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_neon_would_refuse_or_run_is_refused(bad: NeonModel, message: str) -> None:
    with pytest.raises(PrmError, match=message):
        check_classes(bad)


def test_all_mistakes_at_once() -> None:
    bad = NeonModel(
        NeonContainer(
            f"{_CONTAINER}.Sequential",
            {"name": "main", "merge": "depth"},
            (NeonLayer(f"{_LAYER}.Dropout", {"name": "a", "ratio": 1}), NeonLayer(f"{_LAYER}.Slice", {"name": "b"})),
        ),
        {},
    )
    with pytest.raises(PrmError) as caught:
        check_classes(bad)
    assert [name in str(caught.value) for name in ("'main'", "'a'", "'b'")] == [True] * 3


def test_a_class_may_be_named_in_its_package() -> None:
    assert arguments("neon.layers.Dropout") == arguments("neon.layers.layer.Dropout") == {"keep": False, "name": False}
    assert arguments("neon.Dropout") is None
    assert arguments("neon.layers.Rectlin") is None


def test_every_recorded_model_that_builds_is_accepted() -> None:
    folder = shared("golden", "neon")
    for path in sorted(folder.glob("*.prm")):
        check_classes(read_prm(path))


@pytest.mark.neon
def test_the_table_is_what_neon_says(neon_python: str) -> None:
    code = (
        "import importlib, inspect, json, sys\n"
        "out = {}\n"
        "for module, classes in json.loads(sys.argv[1]).items():\n"
        "    for name in classes:\n"
        "        spec = inspect.getargspec(getattr(importlib.import_module(module), name).__init__)\n"
        "        needed = len(spec.args) - len(spec.defaults or ())\n"
        "        out[module + '.' + name] = dict((a, i + 1 < needed) for i, a in enumerate(spec.args[1:]))\n"
        "print(json.dumps(out))\n"
    )
    request = json.dumps({module: sorted(classes) for module, classes in _MODULES.items()})
    answer = subprocess.run([neon_python, "-c", code, request], check=True, capture_output=True, text=True).stdout
    names = [f"{module}.{name}" for module in _MODULES for name in _MODULES[module]]
    assert json.loads(answer) == {name: arguments(name) for name in names}
