"""convert, verify, evaluate, remap, doctor: exit codes, files, and a message for every bad input."""

from __future__ import annotations

import json
import pickle
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result

from caffe2neon.labels import builtin_map, write_map
from caffe2neon.neon import read_prm, write_prm
from caffe2neon.records import Array
from tests.evaluate.helpers import save
from tests.test_single import changed
from tests.zoos import DIGITS, SMALL, SMALL_SHAPES, WIDE, WIDE_SHAPES, caffemodel, files_of, random_weights, run

NET, WEIGHTS, DATA = DIGITS / "digits.prototxt", DIGITS / "digits.caffemodel", DIGITS / "digits_heldout.npz"
GRAY = ("--channel-order", "GRAY", "--mean", "8", "--scale", "0.125")
EMBEDDED = ("--engine", "embedded")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with the bundled net, its weights, and its model."""
    monkeypatch.chdir(tmp_path)
    for path in (NET, WEIGHTS, DATA):
        shutil.copy(path, tmp_path / path.name)
    assert run("convert", "digits.prototxt", "digits.caffemodel", "-o", "digits.prm").exit_code == 0
    return tmp_path


def error(result: Result, code: int = 1) -> str:
    """The message of a command that failed; nothing else may be there but what the step before said."""
    assert result.exit_code == code, result.output
    message = result.stderr
    assert re.search(r"^error: ", message, re.MULTILINE), message
    assert "Traceback" not in message
    return message


# ---- convert ----


def test_convert_says_what_it_wrote(folder: Path) -> None:
    result = run("convert", "digits.prototxt", "digits.caffemodel", "-o", "x.prm")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "x.prm: 0.1 MB\n", "")
    assert (folder / "x.prm").read_bytes() == (folder / "digits.prm").read_bytes()


def test_convert_writes_beside_the_weights_by_default(folder: Path) -> None:
    (folder / "sub").mkdir()
    shutil.copy(WEIGHTS, folder / "sub" / "digits.v1.caffemodel")
    assert run("convert", "digits.prototxt", "sub/digits.v1.caffemodel").stdout == "sub/digits.v1.prm: 0.1 MB\n"


@pytest.mark.usefixtures("folder")
def test_convert_verify_says_how_close_it_is() -> None:
    lines = run("convert", "digits.prototxt", "digits.caffemodel", "-o", "x.prm", "--verify").stdout.splitlines()
    assert re.fullmatch(r"verified: neon\S* .* against caffe\S* .*, error \S+, tolerance 1e-05", lines[0])
    assert lines[1].startswith("x.prm: ")


def _bad_files(folder: Path) -> None:
    (folder / "folder").mkdir()
    (folder / "page.html").write_text("<!DOCTYPE html>\n<html><title>Sign in</title></html>")
    (folder / "binary").write_bytes(np.random.default_rng(0).bytes(3000))
    (folder / "empty").write_bytes(b"")
    (folder / "syntax.prototxt").write_text('name: "x"\nlayer {\n  name: "a" type: "ReLU"\n  top = "b"\n}\n')
    (folder / "fork.prototxt").write_text(NET.read_text().replace("kernel_size: 3", "kernel_size: 3 fancy: 4", 1))
    (folder / "short.caffemodel").write_bytes(WEIGHTS.read_bytes()[:50_000])
    (folder / "small.caffemodel").write_bytes(caffemodel(random_weights(SMALL_SHAPES)))
    (folder / "no_ip2.caffemodel").write_bytes(_without("ip2"))


def _without(layer: str) -> bytes:
    from caffe2neon.caffe import caffe_pb2

    net = caffe_pb2.NetParameter.FromString(WEIGHTS.read_bytes())
    for entry in net.layer:
        if entry.name == layer:
            del entry.blobs[:]
    return net.SerializeToString()


_BAD_NETS = [
    ("none.prototxt", "none.prototxt: cannot read: No such file or directory"),
    ("folder", "folder: this is a directory, a file is needed"),
    (".", "this is a directory, a file is needed"),
    ("page.html", "page.html: this is an HTML page, not a net definition"),
    ("binary", "binary: this is neither text nor a binary net definition"),
    ("empty", "empty: "),
    ("syntax.prototxt", "syntax.prototxt:4:7: "),
    ("fork.prototxt", "fancy"),
]


@pytest.mark.parametrize("command", ["convert", "check", "verify", "inspect"])
@pytest.mark.parametrize(("prototxt", "message"), _BAD_NETS)
def test_bad_prototxt(folder: Path, prototxt: str, message: str, command: str) -> None:
    _bad_files(folder)
    arguments = {"convert": (prototxt, "digits.caffemodel", "-o", "x.prm"), "verify": ("digits.prm", prototxt, "digits.caffemodel")}
    said = error(run(command, *arguments.get(command, (prototxt,))))
    if command != "inspect" or prototxt not in ("binary", "empty", "page.html"):
        assert message in said
    assert not (folder / "x.prm").exists()


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ("none.caffemodel", "none.caffemodel: cannot read: No such file or directory"),
        ("folder", "folder: this is a directory, a file is needed"),
        (".", "this is a directory, a file is needed"),
        ("page.html", "page.html: this is an HTML page, not a caffemodel"),
        ("binary", "binary: byte 0 begins no field of protobuf's wire format"),
        ("empty", "empty: "),
        ("digits.prototxt", "the net definition comes first, the .caffemodel second"),
        ("short.caffemodel", "short.caffemodel: the field at byte 42893 has 49,470 bytes, but only 7,102 are left"),
        ("small.caffemodel", "layer 'conv1' (Convolution)"),
        ("no_ip2.caffemodel", "layer 'ip2' (InnerProduct)"),
    ],
)
@pytest.mark.parametrize("default", [False, True], ids=["output", "default output"])
def test_bad_caffemodel(folder: Path, weights: str, message: str, default: bool) -> None:
    _bad_files(folder)
    before = files_of(folder)
    assert message in error(run("convert", "digits.prototxt", weights, *([] if default else ["-o", "x.prm"])))
    assert files_of(folder) == before


@pytest.mark.parametrize("seed", range(12))
def test_flipped_bits_are_refused_or_converted_and_never_a_traceback(folder: Path, seed: int) -> None:
    """Within the weights no format can tell; what tells is the checksum of a zoo. In the structure it is one clear error."""
    random = np.random.default_rng(seed)
    data = bytearray(WEIGHTS.read_bytes())
    for place in random.integers(0, 300 if seed % 2 else len(data), 3):
        data[place] ^= 1 << int(random.integers(8))
    (folder / "flipped.caffemodel").write_bytes(data)
    result = run("convert", "digits.prototxt", "flipped.caffemodel", "-o", "x.prm")
    if result.exit_code:
        error(result)
        assert not (folder / "x.prm").exists()
    else:
        read_prm(folder / "x.prm")


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("no/x.prm", "no/x.prm: cannot write: No such file or directory\n  make the folder first: mkdir -p no"),
        ("folder", "folder: cannot write: Is a directory\n  name a file in it"),
        (".", "cannot write: Is a directory"),
        ("", "cannot write: Is a directory"),
        ("digits.prototxt/x", "cannot write: Not a directory"),
        ("/dev/null", "cannot write: a device or a pipe, not a file"),
    ],
)
@pytest.mark.parametrize("command", ["convert", "remap", "upgrade"])
def test_outputs_that_cannot_be(folder: Path, output: str, message: str, command: str) -> None:
    (folder / "folder").mkdir()
    write_wide(folder)
    before = files_of(folder)
    inputs = {"convert": ["digits.prototxt", "digits.caffemodel"], "remap": ["wide.prm"], "upgrade": ["digits.caffemodel"]}
    assert message in error(run(command, *inputs[command], "-o", output))
    assert files_of(folder) == before
    assert Path("/dev/null").is_char_device()


@pytest.mark.parametrize(
    "arguments",
    [
        ("convert", "digits.prototxt", "digits.caffemodel", "-o", "digits.caffemodel"),
        ("convert", "digits.prototxt", "digits.caffemodel", "-o", "./link"),
        ("upgrade", "digits.caffemodel", "-o", "digits.caffemodel"),
        ("remap", "digits.prm", "-o", "digits.prm"),
    ],
)
def test_a_file_is_not_replaced_by_what_is_made_of_it(folder: Path, arguments: tuple[str, ...]) -> None:
    (folder / "link").symlink_to("digits.prototxt")
    before = files_of(folder)
    assert "the output would replace a file that it is made of" in error(run(*arguments), 2)
    assert files_of(folder) == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--tolerance", "nan"], "nan is no tolerance"),
        (["--tolerance", "0"], "0 is no tolerance"),
        (["--tolerance", "-1"], "-1 is no tolerance"),
        (["--tolerance", "small"], "not a valid float"),
        (["--crop", "0"], "'0' is no size: write 227 or 227x227"),
        (["--crop", "1x2x3"], "'1x2x3' is no size"),
        (["--mean", "104;117"], "'104;117' is no list of numbers: write 104,117,123"),
        (["--channel-order", "CMYK"], "'CMYK' is not one of"),
        (["--phase", "tset"], "'tset' is not one of"),
        (["--input", "3,x"], "'3,x' is no shape: write 3,224,224"),
    ],
)
def test_options_that_make_no_sense(folder: Path, options: list[str], message: str) -> None:
    result = run("convert", "digits.prototxt", "digits.caffemodel", "-o", "x.prm", *options)
    assert result.exit_code == 2
    assert message in result.stderr
    assert not (folder / "x.prm").exists()


@pytest.mark.parametrize("command", ["convert", "check", "verify"])
def test_weights_where_the_net_should_be(folder: Path, command: str) -> None:
    net = "digits.caffemodel"
    arguments = {"convert": (net, net), "verify": ("digits.prm", net, net), "check": (net,)}
    before = files_of(folder)
    assert "digits.caffemodel: " in error(run(command, *arguments[command]))
    assert files_of(folder) == before


# ---- verify ----


@pytest.mark.usefixtures("folder")
def test_verify_a_good_model() -> None:
    result = run("verify", "digits.prm", "digits.prototxt", "digits.caffemodel", "--layers", *EMBEDDED, "--reference", "embedded")
    assert (result.exit_code, result.stderr) == (0, "")
    assert [line.split()[:2] for line in result.stdout.splitlines() if line.endswith(" ok")][:2] == [
        ["prob", "prob"],
        ["conv1", "conv1_bias"],
    ]


def test_verify_names_the_first_layer_that_departs(folder: Path) -> None:
    def change(array: Array) -> Array:
        array[3, 7] += 0.1
        return array

    write_prm(changed(read_prm(folder / "digits.prm"), "conv2", change), folder / "digits.prm")
    arguments = ("verify", "digits.prm", "digits.prototxt", "digits.caffemodel", "--engine", "embedded")
    result = run(*arguments, "--layers")
    assert "the first layer that departs is 'conv2_bias', at Caffe's blob 'conv2'" in error(result)
    verdicts = {line.split()[0]: line for line in result.stdout.partition("layers")[2].splitlines() if line}
    assert verdicts["conv2"].endswith("DIFFERS (first)")
    assert verdicts["pool1"].endswith(" ok")
    assert verdicts["pool2"].endswith(" DIFFERS")
    assert "compare layer by layer to see where the two part: --layers" in error(run(*arguments))


def test_verify_against_another_net(folder: Path) -> None:
    (folder / "small.prototxt").write_text(SMALL)
    (folder / "small.caffemodel").write_bytes(caffemodel(random_weights(SMALL_SHAPES)))
    assert "was the model converted from this prototxt?" in error(run("verify", "digits.prm", "small.prototxt", "small.caffemodel"))


def _hostile(folder: Path) -> None:
    class Bad:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (Path(folder / "ran"),)

    (folder / "hostile.prm").write_bytes(pickle.dumps({"model": Bad()}, protocol=2))
    (folder / "page.html").write_text("<html></html>")
    (folder / "short.prm").write_bytes((folder / "digits.prm").read_bytes()[:5000])
    (folder / "folder").mkdir()


@pytest.mark.parametrize(
    ("prm", "message"),
    [
        ("none.prm", "none.prm: cannot read: No such file or directory"),
        ("folder", "folder: cannot read: Is a directory"),
        (".", "cannot read: Is a directory"),
        ("page.html", "page.html: an HTML page, not a neon model"),
        ("digits.caffemodel", "digits.caffemodel: "),
        ("short.prm", "short.prm: damaged"),
        ("hostile.prm", "hostile.prm: "),
    ],
)
@pytest.mark.parametrize("command", ["verify", "evaluate", "remap", "remap in place"])
def test_bad_prm(folder: Path, prm: str, message: str, command: str) -> None:
    _hostile(folder)
    before = files_of(folder)
    arguments: dict[str, list[str]] = {
        "verify": ["verify", prm, "digits.prototxt", "digits.caffemodel"],
        "evaluate": ["evaluate", prm, "--dataset", "digits_heldout.npz"],
        "remap": ["remap", prm],
        "remap in place": ["remap", prm, "--in-place"],
    }
    assert message in error(run(*arguments[command]))
    assert files_of(folder) == before
    assert not (folder / "ran").exists()


# ---- evaluate ----


@pytest.mark.usefixtures("folder")
def test_evaluate_prints_accuracy_with_its_interval() -> None:
    result = run("evaluate", "digits.prm", "--dataset", "digits_heldout.npz", *GRAY, *EMBEDDED, "--topk", "1", "--topk", "3")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].startswith("digits.prm: 360 examples of digits_heldout.npz, neon-embedded")
    # Wilson's interval of 359 in 360
    assert lines[1] == "top-1   99.72 %   95 % interval 98.44 to 99.95   (359 correct)"
    assert lines[2].startswith("top-3")
    assert result.stderr == "evaluate digits\n"


@pytest.mark.usefixtures("folder")
def test_evaluate_uses_what_convert_recorded() -> None:
    run("convert", "digits.prototxt", "digits.caffemodel", "-o", "recorded.prm", *GRAY)
    assert "(359 correct)" in run("evaluate", "recorded.prm", "--dataset", "digits_heldout.npz", *EMBEDDED).stdout
    other = run("evaluate", "recorded.prm", "--dataset", "digits_heldout.npz", *EMBEDDED, "--mean", "0").stdout
    assert "(359 correct)" not in other


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--dataset", "none.npz"], 1, "none.npz: cannot read the data set: No such file"),
        (["--dataset", "none/"], 1, "none: cannot read the data set: No such file"),
        (["--dataset", "folder"], 1, "folder: there is no folder of pictures here"),
        (["--dataset", "folder", "--kind", "image_list"], 1, "folder/val.txt: cannot read the list of pictures"),
        (["--dataset", "digits.prototxt"], 1, "digits.prototxt: this is no data set of a known kind"),
        (["--dataset", "digits.prototxt", "--kind", "idx"], 1, "an idx data set needs a second file with the labels"),
        (["--dataset", "digits.prototxt", "--kind", "idx", "--labels", "digits.prototxt"], 1, "these are not idx images"),
        (["--dataset", "digits_heldout.npz", "--labels", "digits.prototxt"], 2, "kind npz holds its labels itself"),
        (["--dataset", "page.npz"], 1, "page.npz: this is no data set of a known kind"),
        (["--dataset", "page.npz", "--kind", "npz"], 1, "page.npz: this is not an .npz of plain arrays"),
        (["--dataset", "objects.npz"], 1, "objects.npz: this is not an .npz of plain arrays"),
        (["--dataset", "large.npz"], 1, "the picture is 9 x 9 with 1 channel, the model takes 8 x 8"),
        (["--dataset", "labels.npz"], 1, "label 10 of example 1 is not one of the model's 10 classes"),
        (["--dataset", "digits_heldout.npz", "--topk", "11"], 2, "top-11 of 10 classes means nothing"),
        (["--dataset", "digits_heldout.npz", "--model-order", "neon"], 1, "in which order are this data set's labels?"),
        (["--dataset", "digits_heldout.npz", "--class-order", "neon"], 1, "no map between them fits its 10 classes"),
        (["--dataset", "digits_heldout.npz", "--crop", "9"], 1, "crop"),
        (["--dataset", "digits_heldout.npz", "--mean", "1,2"], 1, "the mean has 2 values"),
    ],
)
def test_evaluate_with_a_wrong_data_set(folder: Path, options: list[str], code: int, message: str) -> None:
    (folder / "folder").mkdir()
    (folder / "page.npz").write_text("<html></html>")
    images = np.zeros((2, 8, 8), np.uint8)
    np.savez(folder / "objects.npz", images=np.array([print, print], object), labels=np.zeros(2, int))
    np.savez(folder / "large.npz", images=np.zeros((2, 9, 9), np.uint8), labels=np.zeros(2, int))
    np.savez(folder / "labels.npz", images=images, labels=np.array([0, 10]))
    result = run("evaluate", "digits.prm", "--channel-order", "GRAY", *EMBEDDED, *options)
    assert message in error(result, code)
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("options", "option"),
    [
        (["--dataset", "digits.prototxt", "--kind", "idx"], "--labels; in a manifest, labels under datasets"),
        (["--dataset", "large.npz"], "--resize, or --resize and --crop; in a manifest, resize and crop under preprocess"),
        (["--dataset", "large.npz", "--crop", "9"], "--crop 8x8; in a manifest, crop under preprocess"),
        (["--dataset", "small.npz", "--crop", "8"], "--resize; in a manifest, resize under preprocess"),
        (["--dataset", "colour.npz", "--channel-order", "BGR"], "--channel-order GRAY; in a manifest, channel_order under"),
    ],
)
def test_evaluate_names_the_option_that_helps(folder: Path, options: list[str], option: str) -> None:
    """Whoever has no manifest finds no remedy in its words."""
    for name, shape in (("large", (2, 9, 9)), ("small", (2, 7, 7)), ("colour", (2, 8, 8, 3))):
        np.savez(folder / f"{name}.npz", images=np.zeros(shape, np.uint8), labels=np.zeros(2, int))
    order = [] if "--channel-order" in options else ["--channel-order", "GRAY"]
    assert option in error(run("evaluate", "digits.prm", *order, *EMBEDDED, *options), 1)


def test_evaluate_leaves_out_bad_pictures_when_told_to(folder: Path) -> None:
    archive = np.load(DATA)
    for index, (image, label) in enumerate(zip(archive["images"][:12], archive["labels"], strict=False)):
        save(folder / "photos" / f"{label}" / f"{index}.png", image)
    listed = folder / "classes.txt"
    listed.write_text("".join(f"{number}\n" for number in range(10)))
    for name in ("2", "7"):
        (path,) = (folder / "photos").glob(f"*/{name}.png")
        path.write_bytes(path.read_bytes()[:-30])
    command = ("evaluate", "digits.prm", "--dataset", "photos", "--labels", "classes.txt", *GRAY, *EMBEDDED, "--topk", "1")
    assert re.search(r"the picture '\d/[27]\.png' is truncated or damaged\n.*--skip-bad", error(run(*command)))
    result = run(*command, "--skip-bad")
    assert result.exit_code == 0
    assert result.stdout.startswith("digits.prm: 10 examples of photos, 2 left out, neon-embedded")
    assert len(re.findall(r"^left out: the picture '\d/[27]\.png' is truncated or damaged$", result.stderr, re.MULTILINE)) == 2


# ---- remap ----


def write_wide(folder: Path) -> Array:
    """``wide.prm``, and its classifier."""
    (folder / "wide.prototxt").write_text(WIDE)
    (folder / "wide.caffemodel").write_bytes(caffemodel(random_weights(WIDE_SHAPES)))
    assert run("convert", "wide.prototxt", "wide.caffemodel").exit_code == 0
    return classifier(folder / "wide.prm")


def classifier(path: Path) -> Array:
    return np.array(next(layer for layer in read_prm(path).root.walk() if layer.kind == "Linear").params["W"])


def test_remap_writes_a_new_file(folder: Path) -> None:
    rows = write_wide(folder)
    before = (folder / "wide.prm").read_bytes()
    result = run("remap", "wide.prm")
    assert (result.exit_code, result.stdout) == (0, "wide_neon.prm: classes in neon's order from 'ip' on\n")
    np.testing.assert_array_equal(classifier(folder / "wide_neon.prm"), rows[builtin_map().array])
    assert (folder / "wide.prm").read_bytes() == before
    assert "in neon's order already" in error(run("remap", "wide_neon.prm"))
    assert not (folder / "wide_neon_neon.prm").exists()
    again = run("remap", "wide_neon.prm", "--again", "--in-place")
    assert again.exit_code == 0
    twice = rows[builtin_map().array][builtin_map().array]
    np.testing.assert_array_equal(classifier(folder / "wide_neon.prm"), twice)


def test_remap_by_a_map_of_ones_own(folder: Path) -> None:
    rows = write_wide(folder)
    write_map(builtin_map(), folder / "map.pkl")
    assert run("remap", "wide.prm", "--map", "map.pkl", "--in-place").exit_code == 0
    np.testing.assert_array_equal(classifier(folder / "wide.prm"), rows[builtin_map().array])


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--in-place", "-o", "x.prm"], 2, "--in-place and --output exclude each other"),
        (["--synsets", "s.txt"], 2, "--synsets and --devkit go together"),
        (["--devkit", "d.tar.gz"], 2, "--synsets and --devkit go together"),
        (["--map", "m", "--synsets", "s", "--devkit", "d"], 2, "--map and --synsets exclude each other"),
        (["--map", "none.p"], 1, "none.p: cannot read"),
        (["--map", "digits.prototxt"], 1, "digits.prototxt: no label map"),
        (["--synsets", "digits.prototxt", "--devkit", "none.tar.gz"], 1, "digits.prototxt:1: "),
        (["--layers", "nothing"], 1, "nothing"),
    ],
)
def test_remap_with_wrong_options(folder: Path, options: list[str], code: int, message: str) -> None:
    write_wide(folder)
    before = files_of(folder)
    assert message in error(run("remap", "wide.prm", *options), code)
    assert files_of(folder) == before


def test_remap_of_what_has_no_1000_classes(folder: Path) -> None:
    assert "head 1 ends in Linear 'ip2' with 10 outputs" in error(run("remap", "digits.prm"))
    assert not (folder / "digits_neon.prm").exists()


# ---- doctor ----


def test_doctor_proves_the_embedded_engines(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CAFFE2NEON_NEON_PYTHON", "CAFFE2NEON_CAFFE_PYTHON"):
        monkeypatch.delenv(name, raising=False)
    result = run("doctor")
    assert result.exit_code == 0
    lines = {line.split()[0]: line for line in result.stdout.splitlines()}
    assert list(lines) == ["neon-embedded", "caffe-embedded", "neon", "caffe"]
    assert all(lines[name].split()[1] == "ok" for name in ("neon-embedded", "caffe-embedded"))
    assert "CAFFE2NEON_NEON_PYTHON" in lines["neon"]
    assert ".prm" not in result.stdout
    findings = json.loads(run("doctor", "--json").stdout)
    assert [finding["name"] for finding in findings] == list(lines)
    assert [finding["works"] for finding in findings] == [True, True, False, False]


def test_doctor_fails_where_nothing_could_be_verified(monkeypatch: pytest.MonkeyPatch) -> None:
    from caffe2neon import diagnosis
    from caffe2neon.errors import EngineError

    def broken(*_: Any, **__: Any) -> Any:
        raise EngineError("no ONNX Runtime", remedy="pip install onnxruntime")

    monkeypatch.setattr(diagnosis, "open_caffe", broken)
    result = run("doctor")
    assert result.exit_code == 1
    assert "caffe-embedded  needed, fails no ONNX Runtime; pip install onnxruntime" in result.stdout


def test_too_little_memory_is_a_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr("caffe2neon.single.convert_files", fail)
    result = run("convert", "net.prototxt", "net.caffemodel", "-o", str(tmp_path / "net.prm"))
    assert error(result) == "error: not enough memory for this\n"
