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
SURVEYED = {"vgg16": "vgg_ilsvrc_16", "vgg19": "vgg_ilsvrc_19"}


def test_it_is_valid_and_warns_of_weights_that_only_sha1_pins() -> None:
    manifest = read_manifest(ZOO)
    warned = [warning.partition(".sha1: ")[0] for warning in manifest.warnings]
    assert warned == ["models.bvlc_reference_rcnn_ilsvrc13.caffemodel", "models.finetune_flickr_style.caffemodel"]
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


#: What the survey says otherwise: see the comments in zoo.yaml.
CORRECTED = {
    "label_remap": {"inception_v4", "inception_resnet_v2"},
    "prototxt": {"senet_154", "open_nsfw", "fcn8s_heavy_pascal", "vgg_cnn_m", "nin_imagenet"}
    | {"places365_alexnet", "places365_googlenet", "places365_vgg16", "places365_resnet152", "hybrid1365_vgg16"}
    | {"hybrid1365_resnet152"},
    "caffemodel": {"senet_154", "open_nsfw"},
}


def test_all_of_the_survey_is_there() -> None:
    survey = yaml.safe_load(shared("facts", "zoo_entries.yaml").read_text(encoding="utf-8"))
    names = {model.name for model in read_manifest(ZOO).models}
    renamed = {old: new for new, old in SURVEYED.items()}
    assert names == {"digits", *(renamed.get(entry["name"], entry["name"]) for entry in survey["models"])}


def test_public_entries_say_what_the_survey_found() -> None:
    survey = yaml.safe_load(shared("facts", "zoo_entries.yaml").read_text(encoding="utf-8"))
    found = {entry["name"]: entry for entry in survey["models"]}
    for model in read_manifest(ZOO).models:
        if model.name == "digits":
            continue
        entry = found[SURVEYED.get(model.name, model.name)]
        for key, pinned in (("prototxt", model.prototxt), ("caffemodel", model.caffemodel)):
            facts = entry[key]
            if model.name not in CORRECTED[key]:
                assert pinned.url == facts["url"]
            if pinned.digest and pinned.algorithm in facts:
                assert (pinned.digest, pinned.size) == (facts[pinned.algorithm], facts.get("size"))
            assert bool(pinned.digest) >= any(algorithm in facts for algorithm in ("sha256", "sha384", "sha1"))
            assert {mirror.split()[0] for mirror in facts.get("mirrors", [])} <= set(pinned.mirrors)
        if "input_shape" in entry:
            assert model.input == tuple(entry["input_shape"][1:])
        if "mean_bgr" in entry["preprocess"]:
            mean = entry["preprocess"]["mean_bgr"]
            assert list(model.preprocess.mean) in (mean, mean[:1])
        assert model.license == entry["license"]
        if model.name not in CORRECTED["label_remap"]:
            assert model.label_remap == entry["label_remap"]
        assert (model.class_order == "neon") == (entry["label_order"] == "ilsvrc_devkit")
        if model.published is not None and model.name not in CORRECTED["label_remap"]:
            stated = {1: model.published.topk.get(1), 5: model.published.topk.get(5)}
            assert stated in [{1: a.get("top1"), 5: a.get("top5")} for a in entry["accuracy"]]


def test_what_is_not_published_says_why() -> None:
    expected: dict[str, list[str]] = {"published": [], "refused": [], "unpinned": []}
    for model in read_manifest(ZOO).models:
        expected[model.expect].append(model.name)
    assert [len(names) for names in expected.values()] == [26, 10, 15]
    assert [name for name in expected["refused"] if not name.startswith("se")] == [
        "shufflenet_v2_x0.5",
        "fcn8s_heavy_pascal",
        "mobilenet_ssd",
    ]
