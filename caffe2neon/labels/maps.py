"""Label maps from files: the published pickle, or Caffe's list of classes and ImageNet's devkit."""

from __future__ import annotations

import pickle
import struct
import tarfile
import zlib
from pathlib import Path

from caffe2neon.errors import LabelError, PrmError, located
from caffe2neon.files import write_bytes
from caffe2neon.labels.matlab import MOST_BYTES, read_structs
from caffe2neon.labels.orders import CLASSES, LabelMap, map_between, parse_synsets
from caffe2neon.pickles import Ndarray, run

_META = "data/meta.mat"


def read_map(path: Path) -> LabelMap:
    """A map as it is published (``neon_caffe_label_map.p``) or as :func:`write_map` wrote it: one pickled numpy array.

    Raises:
        LabelError: unreadable, damaged, hostile (nothing in it is ever run), or no permutation of 0..999.
    """
    with located(path=str(path)):
        try:
            value = run(memoryview(_read(path)))
        except PrmError as error:
            raise LabelError(f"no label map: {error.message}", remedy="download it again, and do not load it in Python") from error
        if not isinstance(value, Ndarray) or value.value is None:
            raise LabelError("the pickle holds no numpy array")
        return LabelMap(value.value)


def write_map(order: LabelMap, path: Path) -> None:
    """Write a map as a pickle that Python 2 and 3 load, with any numpy.

    Raises:
        PublishError: the file cannot be written.
    """
    # numpy 2 writes a module name that older numpy does not know; both know the old one.
    data = pickle.dumps(order.array.astype("<i8"), protocol=2).replace(b"cnumpy._core.", b"cnumpy.core.", 1)
    write_bytes(path, data)


def devkit_map(synsets: Path, devkit: Path) -> LabelMap:
    """The map from Caffe's ``synsets.txt`` and ImageNet's ``ILSVRC2012_devkit_t12.tar.gz``.

    Raises:
        LabelError: one of them cannot be read, or they do not list the same 1000 classes.
    """
    return map_between(read_synsets(synsets), read_devkit(devkit))


def read_synsets(path: Path) -> list[str]:
    """Caffe's order of classes, as WordNet ids.

    Raises:
        LabelError: unreadable, or not 1000 different ids.
    """
    with located(path=str(path)):
        return parse_synsets(_read(path).decode("utf-8", "replace"))


def read_devkit(path: Path) -> list[str]:
    """The WordNet ids of ``ILSVRC2012_ID`` 1..1000, in that order, from the devkit's ``data/meta.mat``.

    Raises:
        LabelError: unreadable, damaged, or another archive.
    """
    with located(path=str(path)):
        try:
            rows = read_structs(_meta(path), "synsets", ("ILSVRC2012_ID", "WNID"))
        except (tarfile.TarError, EOFError, zlib.error, struct.error, ValueError, IndexError, KeyError) as error:
            raise LabelError(
                f"no devkit of ILSVRC2012, or a damaged one: {error}", remedy="download ILSVRC2012_devkit_t12.tar.gz again"
            ) from error
        except OSError as error:
            raise _unreadable(error) from error
        leaves = {int(number): wnid for row in rows if isinstance(number := row["ILSVRC2012_ID"], float) and (wnid := row["WNID"])}
        if missing := [number for number in range(1, CLASSES + 1) if number not in leaves]:
            raise LabelError(f"its {_META} has no class {missing[0]} of 1..{CLASSES}")
        return parse_synsets("\n".join(str(leaves[number]) for number in range(1, CLASSES + 1)))


def _meta(path: Path) -> bytes:
    with tarfile.open(path, "r:gz") as archive:
        for member in archive:
            if member.isfile() and member.name.endswith(_META):
                if member.size > MOST_BYTES:
                    raise ValueError(f"its {_META} has {member.size:,} bytes")
                stream = archive.extractfile(member)
                assert stream is not None  # it is a file
                return stream.read()
    raise ValueError(f"no {_META} in it")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(error) from error


def _unreadable(error: OSError) -> LabelError:
    return LabelError(f"cannot read: {error.strerror or error}", remedy="check the path")
