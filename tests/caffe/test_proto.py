"""``caffe_pb2.py`` is ``caffe.proto``, compiled."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from caffe2neon.caffe import caffe_pb2

MODULE = Path(caffe_pb2.__file__)


def _descriptor(module: Path) -> str:
    """The module's text from the serialized descriptor on; what comes before depends on the compiler's version."""
    _, mark, rest = module.read_text(encoding="utf-8").partition("DESCRIPTOR = ")
    assert mark
    return rest


def test_the_committed_module_is_the_compiled_proto(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{MODULE.parent}", f"--python_out={tmp_path}", "caffe.proto"]
    subprocess.run(command, check=True)
    assert _descriptor(tmp_path / MODULE.name) == _descriptor(MODULE)


def test_blob_numbers_are_those_of_the_published_format() -> None:
    # The numbers in Caffe's own caffe.proto; every caffemodel in the world depends on these.
    fields = {field.name: field.number for field in caffe_pb2.BlobProto.DESCRIPTOR.fields}
    assert fields == {
        "num": 1, "channels": 2, "height": 3, "width": 4, "data": 5, "diff": 6, "shape": 7, "double_data": 8, "double_diff": 9,
    }  # fmt: skip
    assert caffe_pb2.NetParameter.DESCRIPTOR.fields_by_name["layer"].number == 100
