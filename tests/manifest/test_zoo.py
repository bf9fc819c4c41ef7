"""The project's own zoo.yaml."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from caffe2neon.files import digest
from caffe2neon.manifest import read_manifest, select
from tests.conftest import shared

ZOO = Path(__file__).resolve().parents[2] / "zoo.yaml"

#: How the survey of public models calls an entry, where it differs.
SURVEYED = {"vgg16": "vgg_ilsvrc_16"}


def test_it_is_valid_without_a_warning() -> None:
    manifest = read_manifest(ZOO)
    assert manifest.warnings == ()
    assert [model.name for model in select(manifest, groups=["bundled"])] == ["digits"]


def test_bundled_files_are_the_pinned_ones() -> None:
    for model in select(read_manifest(ZOO), groups=["bundled"]):
        for pinned in (model.prototxt, model.caffemodel):
            path = ZOO.parent / pinned.url
            assert (digest(path), path.stat().st_size) == (pinned.digest, pinned.size)
        assert model.dataset is not None
        assert model.dataset.path.is_file()


@pytest.mark.parametrize("name", ["bvlc_alexnet", "bvlc_reference_caffenet", "bvlc_googlenet"])
def test_pins_of_public_nets_fit_the_files(name: str) -> None:
    (model,) = select(read_manifest(ZOO), [name])
    path = shared("prototxt", name, "deploy.prototxt")
    assert (digest(path), path.stat().st_size) == (model.prototxt.digest, model.prototxt.size)


def test_public_entries_say_what_the_survey_found() -> None:
    survey = yaml.safe_load(shared("facts", "zoo_entries.yaml").read_text(encoding="utf-8"))
    found = {entry["name"]: entry for entry in survey["models"]}
    for model in select(read_manifest(ZOO), groups=["ilsvrc12"]):
        entry = found[SURVEYED.get(model.name, model.name)]
        for pinned, facts in ((model.prototxt, entry["prototxt"]), (model.caffemodel, entry["caffemodel"])):
            assert (pinned.url, pinned.digest, pinned.size) == (facts["url"], facts["sha256"], facts["size"])
            assert list(pinned.mirrors) == facts.get("mirrors", [])
        assert model.input == tuple(entry["input_shape"][1:])
        assert list(model.preprocess.mean) == entry["preprocess"]["mean_bgr"]
        assert (model.label_remap, model.license) == (entry["label_remap"], entry["license"])
        assert model.published is not None
        assert dict(model.published.topk) in [{1: a.get("top1"), 5: a.get("top5")} for a in entry["accuracy"]]
