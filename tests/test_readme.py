"""The README's code for neon, run in the real neon as it is written there.

A block is marked by its first line, ``# neon: NAME``. It runs in a folder where only ``caffe2neon/`` lies, as in a clone, and
what the blocks before it have made.
"""

from __future__ import annotations

import gzip
import os
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from caffe2neon.caffe import caffe_pb2, read_weights
from caffe2neon.engines import open_caffe, open_neon
from caffe2neon.labels import builtin_map
from caffe2neon.records import Array
from caffe2neon.single import convert_files, load_net

ROOT = Path(__file__).resolve().parents[1]
DIGITS = ROOT / "caffe2neon" / "bundled" / "digits"

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_MARK = re.compile(r"# neon: (\S+)\n")

#: Macrobatches as neon's own tool writes them, of lines "path,label"; it wants a train set, too.
_WRITE_MACROBATCHES = """
from neon.data.batch_writer import BatchWriterCSV
BatchWriterCSV(out_dir='macrobatches', image_dir='.', target_size=0, macro_size=20).run()
"""

_LOAD_LOADER = """
import ctypes, os, neon
ctypes.cdll.LoadLibrary(os.path.join(os.path.dirname(neon.__file__), os.pardir, 'loader', 'bin', 'loader.so'))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "caffe2neon").symlink_to(ROOT / "caffe2neon")
    return tmp_path


def _blocks() -> dict[str, str]:
    """The marked blocks by name."""
    found = {}
    for _, text in _BLOCK.findall((ROOT / "README.md").read_text(encoding="utf-8")):
        if mark := _MARK.match(text):
            found[mark[1]] = text
    return found


def _run(folder: Path, *command: str) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _run_block(name: str, folder: Path, *interpreter: str) -> str:
    assert name in _blocks(), f"README.md has no block that begins with '# neon: {name}'"
    return _run(folder, *interpreter, "-c", _blocks()[name])


def _percentages(printed: str) -> list[float]:
    return [float(number) for number in re.findall(r"top-\d ([\d.]+) %", printed)]


def _top(scores: Array, labels: Array, k: int) -> float:
    """Percent of the examples with fewer than k classes above their own."""
    own = scores[np.arange(len(labels)), labels][:, None]
    return round(100 * float(((scores > own).sum(axis=1) < k).mean()), 2)


def _digits() -> tuple[Array, Array]:
    """Pixels as the bundled net takes them, (360, 1, 8, 8), and labels."""
    with np.load(DIGITS / "digits_heldout.npz", allow_pickle=False) as archive:
        return (archive["images"][:, None].astype(np.float32) - 8) / 8, archive["labels"].astype(np.int64)


def _scores(prm: Path, pixels: Array) -> Array:
    engine = open_neon(prm, engine="embedded")
    [name] = engine.inputs
    return engine.run({name: pixels.astype(np.float32)})[engine.outputs[0]].reshape(len(pixels), -1)


def test_every_python_block_is_tried() -> None:
    tried = {"evaluate", "macrobatches", "fine-tune"}
    for language, text in _BLOCK.findall((ROOT / "README.md").read_text(encoding="utf-8")):
        if language == "python":
            mark = _MARK.match(text)
            assert mark, f"not marked: {text}"
            assert mark[1] in tried


@pytest.mark.neon
def test_neon_evaluates_to_what_the_embedded_engine_does(neon_python: str, folder: Path) -> None:
    _run_block("convert", folder, "sh", "-e")
    pixels, labels = _digits()
    scores = _scores(folder / "digits.prm", pixels)
    assert _percentages(_run_block("evaluate", folder, neon_python)) == [_top(scores, labels, 1), _top(scores, labels, 5)]


@pytest.mark.neon
def test_neon_learns_from_the_cost_that_the_model_brings(neon_python: str, folder: Path) -> None:
    _run_block("convert", folder, "sh", "-e")
    [top1] = _percentages(_run_block("fine-tune", folder, neon_python))
    pixels, labels = _digits()
    pixels, labels = -pixels[280:], labels[280:]
    assert _top(_scores(folder / "digits_train.prm", pixels), labels, 1) < 5
    assert top1 > 80
    # neon's own file of what it has learnt, read by us.
    assert top1 == _top(_scores(folder / "digits_negative.prm", pixels), labels, 1)


def _photos(folder: Path, count: int) -> Array:
    """JPEGs ``0.jpg``… of coloured noise, neither square nor of the net's size.

    Returns them as neon squashes them, less Caffe's mean: (count, 3, 227, 227), BGR.
    """
    generator = np.random.default_rng(5)
    squashed = []
    for index in range(count):
        colour = generator.uniform(40, 215, (1, 1, 3))
        noise = np.clip(colour + generator.normal(0, 20, (12, 15, 3)), 0, 255).astype(np.uint8)
        cv2.imwrite(str(folder / f"{index}.jpg"), cv2.resize(noise, (300, 260), interpolation=cv2.INTER_CUBIC))
        read = cv2.imread(str(folder / f"{index}.jpg"), cv2.IMREAD_COLOR)
        assert read is not None
        squashed.append(cv2.resize(read, (227, 227), interpolation=cv2.INTER_AREA))
    pixels = np.stack(squashed).transpose(0, 3, 1, 2).astype(np.float32)  # (N, H, W, C) -> (N, C, H, W)
    return pixels - np.array([104, 117, 123], np.float32)[:, None, None]


def _thousand_way_net(folder: Path) -> tuple[Path, Path]:
    """A net that takes what SqueezeNet takes and tells 1000 classes apart by colours; its prototxt and caffemodel."""
    generator = np.random.default_rng(6)
    net = caffe_pb2.NetParameter(name="thousand")
    net.layer.add(name="data", type="Input", top=["data"]).input_param.shape.add(dim=[1, 3, 227, 227])
    conv = net.layer.add(name="conv", type="Convolution", bottom=["data"], top=["conv"])
    conv.convolution_param.num_output = 16
    conv.convolution_param.kernel_size.append(11)
    conv.convolution_param.stride.append(16)
    net.layer.add(name="relu", type="ReLU", bottom=["conv"], top=["conv"])
    pool = net.layer.add(name="pool", type="Pooling", bottom=["conv"], top=["pool"])
    pool.pooling_param.pool = caffe_pb2.PoolingParameter.AVE
    pool.pooling_param.global_pooling = True
    product = net.layer.add(name="fc", type="InnerProduct", bottom=["pool"], top=["fc"])
    product.inner_product_param.num_output = 1000
    prototxt, caffemodel = folder / "thousand.prototxt", folder / "thousand.caffemodel"
    prototxt.write_text(str(net), encoding="utf-8")
    for layer, shape in ((conv, (16, 3, 11, 11)), (conv, (16,)), (product, (1000, 16)), (product, (1000,))):
        blob = layer.blobs.add()
        blob.shape.dim.extend(shape)
        blob.data.extend(generator.normal(0, 0.1, shape).ravel().tolist())
    caffemodel.write_bytes(net.SerializeToString())
    return prototxt, caffemodel


@pytest.mark.neon
def test_neon_evaluates_macrobatches(neon_python: str, folder: Path) -> None:
    """36 photos, of which Caffe has 27 right at once and 5 more among the first five; 36 is no multiple of neon's batch."""
    if subprocess.run([neon_python, "-c", _LOAD_LOADER], capture_output=True, check=False).returncode:
        pytest.skip("needs the loader library of neon: make in neon, where OpenCV is installed")
    prototxt, caffemodel = _thousand_way_net(folder)
    pixels = _photos(folder, 36)
    caffe = open_caffe(load_net(prototxt), read_weights(caffemodel), engine="embedded", batch=36)
    ranked = np.argsort(-caffe.run({"data": pixels})["fc"].reshape(36, 1000), axis=1)
    ranks = np.zeros(36, int)
    ranks[::8], ranks[4::8] = 3, 700
    labels = ranked[np.arange(36), ranks]
    neon_class = np.argsort(builtin_map().array)  # of Caffe's
    lines = [f"{folder / str(index)}.jpg,{neon_class[label]}\n" for index, label in enumerate(labels)]
    for part in ("train", "val"):
        with gzip.open(folder / f"{part}_file.csv.gz", "wt") as stream:
            stream.writelines(lines)
    _run(folder, neon_python, "-c", _WRITE_MACROBATCHES)
    meta = folder / "macrobatches" / "macrobatch_meta"
    # The writer takes the highest label it meets for the last class.
    meta.write_text(re.sub(r"nclass \d+", "nclass 1000", meta.read_text()))

    convert_files(prototxt, caffemodel, folder / "squeezenet.prm", remap_classes=True)
    assert _percentages(_run_block("macrobatches", folder, neon_python)) == [75.0, 88.89]
