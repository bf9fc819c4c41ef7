"""Whole entries, from the manifest to what is published."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from caffe2neon import __version__, engines
from caffe2neon.errors import EngineError
from caffe2neon.labels import builtin_map
from caffe2neon.neon import read_prm
from caffe2neon.pipeline import STAGES, Options, build_model
from caffe2neon.records import DatasetSpec, ModelSpec, Outcome, PinnedFile
from tests.nets import data, layer
from tests.zoos import SMALL, SMALL_SHAPES, WIDE, WIDE_SHAPES, Zoo, caffemodel, files_of, random_weights, run

SHARED_MAP = builtin_map().array


@pytest.fixture
def zoo(tmp_path: Path) -> Zoo:
    return Zoo(tmp_path)


def failed(zoo: Zoo, name: str, stage: str) -> str:
    """The reason for which an entry failed in ``stage``; nothing of it may be published."""
    outcome = zoo.outcomes()[name]
    assert (outcome["status"], outcome["stage"]) == ("failed", stage)
    assert outcome["publication"] is None
    assert zoo.builds(name) == []
    assert not (zoo.output / ".staging").exists()
    index = zoo.output / "index.json"
    assert not index.exists() or name not in json.loads(index.read_bytes())["models"]
    return str(outcome["reason"])


# ---- what is published ----


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Zoo:
    zoo = Zoo(tmp_path_factory.mktemp("digits"))
    zoo.add_digits()
    result = zoo.build()
    assert result.exit_code == 0, result.output
    return zoo


@pytest.fixture(scope="module")
def published(digits: Zoo) -> Path:
    (folder,) = digits.builds("digits")
    return folder


def load(path: Path) -> Any:
    return json.loads(path.read_bytes())


def test_a_build_has_these_files_and_sums(published: Path) -> None:
    made = ["digits.prm", "digits.prototxt", "digits.svg", "evaluation.json", "model.json", "parity.json", "provenance.json"]
    names = ["SHA256SUMS", *made]
    assert sorted(path.name for path in published.iterdir()) == names
    assert re.fullmatch("[0-9a-f]{16}", published.name)
    sums = {name: digest for digest, name in map(str.split, (published / "SHA256SUMS").read_text().splitlines())}
    assert sums == {name: hashlib.sha256((published / name).read_bytes()).hexdigest() for name in names[1:]}


def test_model_json_says_what_a_user_needs(published: Path, digits: Zoo) -> None:
    model = load(published / "model.json")
    assert model["converter"] == {"caffe2neon": __version__, "neon": "1.4.0"}
    assert model["input"] == {"name": "data", "shape": [1, 8, 8]}
    assert model["outputs"] == ["prob"]
    assert model["license"] == "Apache-2.0"
    assert model["preprocess"] == {"channel_order": "GRAY", "resize": None, "crop": None, "mean": [8.0], "scale": 0.125}
    for role in ("prototxt", "caffemodel"):
        assert model["sources"][role] == digits.models["digits"][role]
    assert model["published"]["topk"] == {"1": 99.72}


def test_parity_json_compares_layers_too(published: Path) -> None:
    parity = load(published / "parity.json")
    assert (parity["passed"], parity["tolerance"], parity["first"]) == (True, 1e-5, None)
    assert [each["blob"] for each in parity["outputs"]] == ["prob"]
    assert [each["blob"] for each in parity["layers"]][:3] == ["conv1", "pool1", "conv2"]
    assert parity["worst"] == max(each["error"] for each in (*parity["outputs"], *parity["layers"])) <= 1e-5
    assert (parity["engine"].split()[0], parity["reference"].split()[0]) == ("neon-embedded", "caffe-embedded")


def test_evaluation_json_holds_the_measured_accuracy(published: Path) -> None:
    evaluation = load(published / "evaluation.json")
    assert (evaluation["count"], evaluation["dataset"]) == (360, "digits")
    # README of the bundled model: 359 of 360
    assert [(each["k"], each["correct"]) for each in evaluation["topk"]] == [(1, 359), (5, 360)]
    assert evaluation["topk"][0]["percent"] == pytest.approx(100 * 359 / 360)


def test_index_and_report_tell_the_same(published: Path, digits: Zoo) -> None:
    entry = load(digits.output / "index.json")["models"]["digits"]
    assert (entry["build"], entry["path"]) == (published.name, f"digits/{published.name}")
    assert entry["accuracy"]["top1"] == pytest.approx(100 * 359 / 360)
    outcome = digits.outcomes()["digits"]
    assert (outcome["status"], outcome["publication"]["path"]) == ("published", entry["path"])


def test_the_model_file_is_read_back(published: Path) -> None:
    model = read_prm(published / "digits.prm")
    assert model.input_shape == (1, 8, 8)
    assert model.meta["source"]["prototxt"]["name"] == "digits.prototxt"


def test_no_published_byte_names_a_place_on_this_machine(digits: Zoo) -> None:
    for name, content in files_of(digits.output).items():
        for place in (str(digits.folder), str(Path.home()), os.uname().nodename):
            assert len(place) < 3 or place.encode() not in content, f"{place} in {name}"


def test_a_file_url_leaves_its_folders_out(zoo: Zoo) -> None:
    zoo.add_small()
    zoo.models["small"]["caffemodel"]["url"] = (zoo.folder / "small.caffemodel").as_uri()
    assert zoo.build().exit_code == 0
    (folder,) = zoo.builds("small")
    assert load(folder / "model.json")["sources"]["caffemodel"]["url"] == "small.caffemodel"
    assert all(str(zoo.folder).encode() not in content for content in files_of(folder).values())


def test_the_same_inputs_are_the_same_bytes_in_another_folder(digits: Zoo, tmp_path: Path) -> None:
    other = Zoo(tmp_path)
    other.add_digits()
    assert other.build().exit_code == 0
    assert files_of(other.output) == files_of(digits.output)


def test_an_unchanged_entry_is_not_built_again_and_shows_its_numbers(digits: Zoo, published: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in published.iterdir()}
    first = digits.outcomes()["digits"]
    result = digits.build()
    assert result.exit_code == 0
    second = digits.outcomes()["digits"]
    assert (second["status"], second["reason"]) == ("unchanged", f"build {published.name} is published already")
    assert {path: path.stat().st_mtime_ns for path in published.iterdir()} == before
    for part in ("parity", "evaluation", "publication"):
        assert second[part] == first[part] is not None
    assert " 99.7 (99.7) " in result.stdout


@pytest.mark.parametrize("damage", ["{", "[]", '{"outputs": 3}', '{"outputs": [{}], "layers": []}'])
def test_numbers_that_cannot_be_read_back_fail_the_entry(zoo: Zoo, damage: str) -> None:
    zoo.add_small()
    assert zoo.build().exit_code == 0
    (folder,) = zoo.builds("small")
    (folder / "parity.json").write_text(damage)
    zoo.build()
    outcome = zoo.outcomes()["small"]
    if damage == "[]":
        assert outcome["parity"] is None  # nothing there is nothing wrong
    else:
        assert (outcome["status"], outcome["stage"]) == ("failed", "look up")
        assert "parity.json: not" in outcome["reason"]


def test_another_setting_is_another_build(zoo: Zoo) -> None:
    zoo.add_small()
    zoo.build()
    zoo.models["small"]["preprocess"] = {"channel_order": "GRAY", "scale": 0.5}
    zoo.build()
    assert zoo.outcomes()["small"]["status"] == "published"
    assert len(zoo.builds("small")) == 2


# ---- what fails ----


def test_one_bad_model_does_not_stop_the_others(zoo: Zoo) -> None:
    zoo.add_small("aa")
    zoo.add_small("bb", seed=1)
    zoo.add_small("cc", seed=2)
    (zoo.folder / "bb.caffemodel").unlink()
    result = zoo.build()
    assert result.exit_code == 1
    assert [outcome["status"] for outcome in zoo.outcomes().values()] == ["published", "failed", "published"]
    assert "no such file" in failed(zoo, "bb", "fetch")
    assert result.stdout.splitlines()[-1] == "2 published, 1 failed"


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"<html><title>Sign in</title></html>", "an HTML page titled 'Sign in'"),
        (b"", "an empty file"),
        (b"\0\1\2", "a shorter file (3 of "),
    ],
)
def test_another_file_than_the_pinned_one(zoo: Zoo, content: bytes, what: str) -> None:
    zoo.add_small()
    (zoo.folder / "small.caffemodel").write_bytes(content)
    assert zoo.build().exit_code == 1
    reason = failed(zoo, "small", "fetch")
    assert f"checksum mismatch: {what}" in reason
    assert zoo.models["small"]["caffemodel"]["sha256"] in reason


def test_unsupported_layers_are_all_named(zoo: Zoo) -> None:
    net = SMALL + "\n" + layer("odd", "SPP", "prob") + "\n" + layer("odder", "NoSuchLayer", "odd")
    zoo.add("small", net, caffemodel(random_weights(SMALL_SHAPES)))
    assert zoo.build().exit_code == 1
    reason = failed(zoo, "small", "convert")
    assert "layer 'odd' (SPP)" in reason
    assert "layer 'odder' (NoSuchLayer)" in reason


def test_weights_of_another_net(zoo: Zoo) -> None:
    zoo.add("small", SMALL, caffemodel(random_weights({**SMALL_SHAPES, "ip": ((7, 64), (7,))})))
    zoo.build()
    assert "layer 'ip' (InnerProduct)" in failed(zoo, "small", "convert")


def test_the_manifest_and_the_prototxt_disagree_on_the_input(zoo: Zoo) -> None:
    zoo.add_small(input=[1, 6, 7])
    zoo.build()
    assert "the prototxt's input is 1×6×6, the manifest says 1×6×7" in failed(zoo, "small", "convert")


class Lying:
    """An engine that is right but for one number of its output."""

    def __init__(self, real: Any, error: float) -> None:
        self._real = real
        self._error = error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def run(self, *arguments: Any) -> Any:
        results = {name: array.copy() for name, array in self._real.run(*arguments).items()}
        results[self._real.outputs[0]].ravel()[0] += self._error
        return results


@pytest.mark.parametrize(("error", "status"), [(5e-6, "published"), (5e-5, "failed"), (float("nan"), "failed")])
def test_parity_beyond_the_tolerance(zoo: Zoo, error: float, status: str, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = engines.open_neon
    monkeypatch.setattr(engines, "open_neon", lambda *args, **options: Lying(opened(*args, **options), error))
    zoo.add_small(tolerance={"parity": 1e-5})
    assert zoo.build().exit_code == (status == "failed")
    assert zoo.outcomes()["small"]["status"] == status
    if status == "failed":
        assert "output 'prob' differs from caffe-embedded" in failed(zoo, "small", "verify")
        assert not zoo.outcomes()["small"]["parity"]["passed"]
        assert float(zoo.outcomes()["small"]["parity"]["worst"]) != 0


def test_an_engine_that_dies_fails_the_entry(zoo: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*_: Any, **__: Any) -> Any:
        raise EngineError("the worker died", remedy="look at its log")

    monkeypatch.setattr(engines, "open_neon", die)
    zoo.add_small()
    zoo.build()
    assert failed(zoo, "small", "verify") == "the worker died\nlook at its log"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(28, "No space left on device", "scores"), "cannot write: No space left on device"),
        (PermissionError(13, "Permission denied", "weights"), "weights: Permission denied"),
        (MemoryError(), "not enough memory"),
    ],
)
def test_what_the_machine_lacks_fails_the_entry_alone(
    zoo: Zoo, error: Exception, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Any] = []

    def fail_once(*args: Any, **options: Any) -> Any:
        calls.append(args)
        if len(calls) == 1:
            raise error
        return opened(*args, **options)

    opened = engines.open_neon
    monkeypatch.setattr(engines, "open_neon", fail_once)
    zoo.add_small("aa")
    zoo.add_small("bb", seed=1)
    zoo.build()
    assert reason in failed(zoo, "aa", "verify")
    assert zoo.outcomes()["bb"]["status"] == "published"


def test_accuracy_below_the_published_one(zoo: Zoo) -> None:
    zoo.add_digits()
    zoo.models["digits"]["preprocess"]["mean"] = 0
    zoo.models["digits"]["tolerance"] = {"top1": 0.1}
    zoo.build()
    reason = failed(zoo, "digits", "evaluate")
    assert re.match(r"top-1 is \d\d\.\d\d %, published 99\.72 % with a tolerance of 0\.1 points\n", reason)
    assert zoo.outcomes()["digits"]["parity"]["passed"]
    assert zoo.outcomes()["digits"]["evaluation"]["topk"][0]["percent"] < 99.62


def test_accuracy_within_the_tolerance_of_the_published_one(zoo: Zoo) -> None:
    """359 of 360 is 99.722 %."""
    zoo.add_digits()
    zoo.models["digits"]["published"] = {"top1": 100.0}
    zoo.models["digits"]["tolerance"]["top1"] = 0.28
    zoo.build()
    assert zoo.outcomes()["digits"]["status"] == "published"
    zoo.models["digits"]["tolerance"]["top1"] = 0.27
    zoo.build()
    assert zoo.outcomes()["digits"]["status"] == "failed"
    assert len(zoo.builds("digits")) == 1


@pytest.mark.parametrize("kind", ["npz", "image_list"])
def test_a_data_set_that_is_not_here_is_said_before_anything_is_fetched(zoo: Zoo, kind: str) -> None:
    zoo.add_small(dataset="pictures")
    zoo.datasets["pictures"] = {"kind": kind, "path": "elsewhere"}
    (zoo.folder / "small.caffemodel").unlink()
    zoo.build()
    reason = failed(zoo, "small", "look up")
    assert "data set 'pictures' is not here" in reason
    assert "--dataset NAME=PATH" in reason


def test_a_data_set_may_be_left_out_when_asked(zoo: Zoo) -> None:
    zoo.add_small(dataset="pictures")
    zoo.datasets["pictures"] = {"kind": "npz", "path": "elsewhere"}
    assert zoo.build("--no-evaluate").exit_code == 0
    assert zoo.outcomes()["small"]["warnings"] == ["not evaluated, as asked"]
    (folder,) = zoo.builds("small")
    assert not (folder / "evaluation.json").exists()


def test_pictures_that_cannot_be_read_are_left_out_only_where_asked(zoo: Zoo) -> None:
    import cv2

    folder = zoo.folder / "pictures"
    folder.mkdir()
    for number in range(12):
        assert cv2.imwrite(str(folder / f"{number}.png"), np.full((6, 6), number, np.uint8))
    (folder / "val.txt").write_text("".join(f"{number}.png {number % 5}\n" for number in range(12)))
    for number in (2, 3, 5, 8):
        (folder / f"{number}.png").write_bytes(b"")
    zoo.add_small(dataset="pictures", preprocess={"channel_order": "GRAY"})
    zoo.datasets["pictures"] = {"kind": "image_list", "path": "pictures"}
    zoo.build()
    assert "the picture '2.png' is empty" in failed(zoo, "small", "evaluate")

    names = [f"the picture '{number}.png' is empty" for number in (2, 3, 5, 8)]
    for status in ("published", "unchanged"):
        result = zoo.build("--skip-bad")
        assert result.exit_code == 0
        outcome = zoo.outcomes()["small"]
        assert (outcome["status"], outcome["evaluation"]["count"], outcome["evaluation"]["skipped"]) == (status, 8, names)
        assert outcome["warnings"] == [f"4 of 12 pictures of pictures left out: {'; '.join(names[:3])}; …"]
        assert "warning: 4 of 12 pictures" in result.stdout
    (build,) = zoo.builds("small")
    assert load(build / "evaluation.json")["skipped"] == names
    assert load(build / "provenance.json")["predicate"]["buildDefinition"]["externalParameters"]["options"]["skip_bad"] is True
    page = (zoo.output / "index.html").read_text()
    assert "8 examples; 4 left out, which cannot be read" in page
    assert '<span class="aside">4 left out</span></td>' in page
    assert "8.png" in page

    zoo.build()
    assert zoo.outcomes()["small"]["status"] == "failed", "without the option it is another build"


def test_a_folder_of_pictures_without_its_list_fails_the_entry_alone(zoo: Zoo) -> None:
    """The list is val.txt in the folder where the manifest does not say; another entry goes on."""
    zoo.add_small("aa", dataset="pictures")
    zoo.add_small("bb", seed=1)
    zoo.datasets["pictures"] = {"kind": "image_list", "path": "pictures"}
    (zoo.folder / "pictures").mkdir()
    zoo.build()
    assert "val.txt: data set 'pictures' is not here" in failed(zoo, "aa", "look up")
    assert zoo.outcomes()["bb"]["status"] == "published"


def test_a_folder_where_the_data_set_should_be_a_file(zoo: Zoo) -> None:
    zoo.add_digits()
    zoo.add_small()
    result = zoo.build("--dataset", f"digits={zoo.folder}")
    assert result.exit_code == 1
    assert "cannot read: Is a directory" in failed(zoo, "digits", "look up")
    assert zoo.outcomes()["small"]["status"] == "published"


def test_a_data_set_that_does_not_fit_the_model(zoo: Zoo) -> None:
    zoo.add_digits()
    zoo.add_npz("digits", np.zeros((3, 9, 9), np.uint8), np.zeros(3, np.uint8))
    zoo.build()
    assert "the picture is 9 x 9 with 1 channel, the model takes 8 x 8" in failed(zoo, "digits", "evaluate")


def test_a_damaged_index_fails_entries_and_hides_nothing(zoo: Zoo) -> None:
    zoo.add_small()
    zoo.output.mkdir()
    (zoo.output / "index.json").write_text("{")
    zoo.build()
    assert zoo.outcomes()["small"]["stage"] == "publish"
    assert zoo.builds("small") == []
    assert (zoo.output / "index.json").read_text() == "{"


# ---- classes ----


def wide(zoo: Zoo, *, class_order: str = "caffe", **more: Any) -> None:
    """A 1000-way net whose accuracy over its data set is 100 % in Caffe, by a plain product in numpy."""
    blobs = random_weights(WIDE_SHAPES)
    weight, bias = blobs["ip"]
    images = np.random.default_rng(1).integers(0, 256, (40, 2, 2, 3), dtype=np.uint8)
    bgr = images[..., ::-1].transpose(0, 3, 1, 2).astype(np.float64)  # (N, H, W, RGB) -> (N, BGR, H, W)
    labels = (bgr.reshape(40, 12) @ weight.T.astype(np.float64) + bias).argmax(1)
    if class_order == "neon":
        labels = np.argsort(SHARED_MAP)[labels]
    zoo.add("wide", WIDE, caffemodel(blobs), dataset="pictures", published={"top1": 100}, **more)
    zoo.add_npz("pictures", images, labels, class_order=class_order)


@pytest.mark.parametrize("remap", [False, True])
@pytest.mark.parametrize("order", ["caffe", "neon"])
def test_classes_reordered_or_not_accuracy_is_the_same(zoo: Zoo, remap: bool, order: str) -> None:
    wide(zoo, class_order=order, label_remap=remap)
    result = zoo.build()
    assert result.exit_code == 0, result.stdout
    (folder,) = zoo.builds("wide")
    assert load(folder / "evaluation.json")["topk"][0]["correct"] == 40
    model = read_prm(folder / "wide.prm")
    rows = np.asarray(next(layer for layer in model.root.walk() if layer.kind == "Linear").params["W"])
    expected = random_weights(WIDE_SHAPES)["ip"][0]
    np.testing.assert_array_equal(rows, expected[SHARED_MAP] if remap else expected)
    if remap:
        assert load(folder / "model.json")["class_order"] == "neon"


def test_a_data_set_of_unknown_order_is_not_measured_against_a_reordered_model(zoo: Zoo) -> None:
    wide(zoo, label_remap=True)
    del zoo.datasets["pictures"]["class_order"]
    zoo.build()
    assert "in which order are this data set's labels?" in failed(zoo, "wide", "evaluate")


def test_a_remap_of_what_has_no_1000_classes(zoo: Zoo) -> None:
    zoo.add_small(label_remap=True)
    zoo.build()
    assert "not every head of this model is a classifier of 1000 classes" in failed(zoo, "small", "remap")


# ---- the function ----


def test_build_model_never_raises_our_errors(tmp_path: Path) -> None:
    """Each stage's first step fails here: there is no file, no folder, no data."""
    pinned = PinnedFile("none", "sha256", "0" * 64)
    spec = ModelSpec("none", pinned, pinned, "", dataset=DatasetSpec("d", "npz", tmp_path / "none.npz"))
    options = Options(tmp_path, tmp_path / "zoo", tmp_path / "cache")
    for each, stage in ((spec, "look up"), (replace(spec, dataset=None), "fetch")):
        outcome = build_model(each, options)
        assert isinstance(outcome, Outcome)
        assert (outcome.status, outcome.stage) == ("failed", stage)
        assert outcome.reason
    assert not (tmp_path / "zoo").exists()


def test_stages_are_those_of_the_design() -> None:
    assert [name for name, _ in STAGES] == ["upstream", "look up", "fetch", "convert", "remap", "verify", "evaluate", "publish"]


def test_a_mirrors_files_are_used_where_they_lie(zoo: Zoo) -> None:
    """They do not go into the cache, and the mirror is nowhere in what is published."""
    zoo.add_small()
    mirror = zoo.folder / "mirror"
    mirror.mkdir()
    for name in ("small.prototxt", "small.caffemodel"):
        shutil.move(zoo.folder / name, mirror / name)
    assert zoo.build().exit_code == 1
    assert zoo.build("--mirror", mirror).exit_code == 0
    (folder,) = zoo.builds("small")
    assert all(str(mirror).encode() not in content for content in files_of(folder).values())
    assert run("zoo", "build", *zoo.arguments(), "--output", zoo.folder / "other").exit_code == 1


def test_a_net_of_two_outputs_is_published_with_both(zoo: Zoo) -> None:
    net = "\n".join((data(1, 1, 6, 6), layer("a", "InnerProduct", "data", more="inner_product_param { num_output: 3 }"),
                     layer("b", "InnerProduct", "data", more="inner_product_param { num_output: 2 }")))  # fmt: skip
    zoo.add("small", net, caffemodel(random_weights({"a": ((3, 36), (3,)), "b": ((2, 36), (2,))})))
    assert zoo.build().exit_code == 0, zoo.outcomes()
    (folder,) = zoo.builds("small")
    assert sorted(load(folder / "model.json")["outputs"]) == ["a", "b"]
    assert sorted(each["blob"] for each in load(folder / "parity.json")["outputs"]) == ["a", "b"]
