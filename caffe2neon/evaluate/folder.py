"""A folder of pictures for each class."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np

from caffe2neon.errors import DataError
from caffe2neon.evaluate.pictures import EncodedPictures, Span
from caffe2neon.records import DatasetSpec

#: Files that are taken for pictures; others may lie beside them, as thumbnails' indices and notes do.
_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})

_WORDNET_ID = re.compile(r"n\d{8}")

#: Classes of ILSVRC12.
_CLASSES = 1000

#: How many names a message has.
_NAMED = 3


def open_folder(spec: DatasetSpec) -> EncodedPictures:
    """Classes are numbered as their folders' names sort, pictures may lie at any depth within; hidden files are left out.

    1000 folders named by WordNet ids are ILSVRC12's in Caffe's order, which is that of the sorted ids; other names have an order
    of their own. ``spec.labels`` is a list of all classes where only some have folders, or where they are in another order: the
    name first in each line, as in Caffe's ``synsets.txt`` and ``synset_words.txt``.

    Raises:
        DataError: no folders, a folder without pictures or not in the list; or names are WordNet ids, but not 1000, and no list
            says which number each has.
    """
    folders = _folders(spec.path)
    ids = all(_WORDNET_ID.fullmatch(name) for name in folders)
    if spec.labels:
        classes = _listed(spec.labels)
        if unlisted := [name for name in folders if name not in classes]:
            raise DataError(f"not in the list of classes: {_some(unlisted)}", path=str(spec.labels))
    elif ids and len(folders) != _CLASSES:
        remedy = "give the list of all classes, Caffe's synsets.txt or one like it: --labels; in a manifest, labels under datasets"
        raise DataError(f"there are folders for {len(folders)} of ImageNet's classes; which numbers do these have?", remedy=remedy)
    else:
        classes = {name: number for number, name in enumerate(folders)}

    spans, labels = [], []
    for name in folders:
        pictures = _pictures(spec.path / name)
        if not pictures:
            raise DataError("no pictures are in this class's folder", path=str(spec.path / name), remedy="fill it, or remove it")
        spans += [Span(path, path.relative_to(spec.path).as_posix()) for path in pictures]
        labels += [classes[name]] * len(pictures)
    order = spec.class_order or ("caffe" if ids and len(classes) == _CLASSES else "")
    return EncodedPictures(spec.name, order, np.array(labels, np.int64), tuple(spans))


def _folders(root: Path) -> list[str]:
    try:
        with os.scandir(root) as entries:
            names = sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))
    except OSError as error:
        raise DataError(f"cannot read the folder of classes: {error.strerror or error}") from error
    if not names:
        remedy = "each class has its folder; a list of pictures is val.txt in it, or --labels; in a manifest, labels under datasets"
        raise DataError("there is no folder of pictures here", remedy=remedy)
    return names


def _pictures(folder: Path) -> list[Path]:
    found = []
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths = (Path(parent, name) for name in files if not name.startswith("."))
        found += [path for path in paths if path.suffix.lower() in _SUFFIXES]
    return sorted(found)


def _listed(path: Path) -> dict[str, int]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise DataError(f"cannot read the list of classes: {error.strerror or error}", path=str(path)) from error
    except UnicodeDecodeError as error:
        raise DataError("the list of classes is not text", path=str(path)) from error
    names = [line.split()[0] for line in lines if line.strip()]
    classes = {name: number for number, name in enumerate(names)}
    if len(classes) != len(names):
        twice = [name for number, name in enumerate(names) if classes[name] != number]
        raise DataError(f"the list of classes has some twice: {_some(twice)}", path=str(path))
    return classes


def _some(names: list[str]) -> str:
    more = f", and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(map(repr, names[:_NAMED])) + more
