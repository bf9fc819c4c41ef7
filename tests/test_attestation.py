"""What provenance says of an entry: enough to build it again, and nothing of the machine."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from caffe2neon import __version__
from caffe2neon.attestation import statement
from caffe2neon.records import DatasetSpec, FetchedFile, FetchedModel, ModelSpec, PinnedFile

SPEC = ModelSpec(
    name="net",
    prototxt=PinnedFile("nets/net.prototxt", "sha256", "a" * 64),
    caffemodel=PinnedFile("https://host/net.caffemodel", "sha1", "1" * 40, size=7, mirrors=("https://mirror/net.caffemodel",)),
    license="MIT",
    groups=("all",),
    dataset=DatasetSpec("photos", "image_list", Path("/data/of/somebody"), Path("/data/of/val.txt"), "caffe"),
)


def made(spec: ModelSpec, root: Path = Path("/zoo")) -> Any:
    prototxt, caffemodel = (
        FetchedFile(Path(f"/cache/{pinned.digest}"), f"file:///cache/{pinned.digest}", "b" * 64, 7)
        for pinned in (spec.prototxt, spec.caffemodel)
    )
    return statement(spec, FetchedModel(spec, prototxt, caffemodel), {"topk": [1, 5]}, root)({"net.prm": "c" * 64})


def test_says_entry_options_files_and_version() -> None:
    predicate = made(SPEC)["predicate"]
    definition = predicate["buildDefinition"]
    parameters = definition["externalParameters"]
    assert parameters["options"] == {"topk": [1, 5]}
    assert parameters["dataset"] == {"name": "photos", "kind": "image_list", "class_order": "caffe"}
    assert (parameters["entry"]["name"], parameters["entry"]["license"]) == ("net", "MIT")
    assert parameters["entry"]["caffemodel"]["digest"] == "1" * 40
    assert definition["resolvedDependencies"] == [
        {"name": "net.prototxt", "digest": {"sha256": "b" * 64}},
        {"name": "net.caffemodel", "digest": {"sha256": "b" * 64}, "uri": "https://host/net.caffemodel"},
    ]
    assert predicate["runDetails"]["builder"]["version"] == {"caffe2neon": __version__}


def test_what_changes_no_byte_of_a_build_does_not_change_it() -> None:
    """Where files may be had from besides, groups, and where the data set lies here: the build's id is the same, too."""
    moved = replace(
        SPEC,
        groups=(),
        caffemodel=replace(SPEC.caffemodel, mirrors=()),
        dataset=DatasetSpec("photos", "image_list", Path("/elsewhere"), None, "caffe"),
    )
    assert made(moved, Path("/another")) == made(SPEC)


def test_no_folder_of_this_machine_shows() -> None:
    local = replace(
        SPEC,
        prototxt=replace(SPEC.prototxt, url="file:///secret/net.prototxt"),
        caffemodel=replace(SPEC.caffemodel, url="/secret/net.caffemodel", mirrors=("file:///secret/m",)),
    )
    text = json.dumps(made(local))
    assert not [word for word in ("secret", "cache", "somebody", "val.txt") if word in text]


def test_member_of_an_archive() -> None:
    zipped = replace(SPEC, caffemodel=replace(SPEC.caffemodel, url="https://host/all.zip", member="in/net.caffemodel"))
    assert made(zipped)["predicate"]["buildDefinition"]["resolvedDependencies"][1] == {
        "name": "net.caffemodel",
        "digest": {"sha256": "b" * 64},
        "downloadLocation": "https://host/all.zip",
        "annotations": {"member": "in/net.caffemodel"},
    }
