"""Caffe's LMDB of ``Datum`` messages, as ``convert_imageset`` and Caffe's converters of MNIST and CIFAR-10 write them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from caffe2neon import wire
from caffe2neon.errors import DataError, ParseError, Where, located
from caffe2neon.evaluate.dataset import labels_file
from caffe2neon.evaluate.pictures import decode, unreadable
from caffe2neon.records import Array, DatasetSpec

if TYPE_CHECKING:
    import lmdb

#: Fields of ``message Datum`` in ``caffe.proto``. That room is closed to this one, and seven numbers are no reason for a door.
_CHANNELS, _HEIGHT, _WIDTH, _DATA, _LABEL, _FLOATS, _ENCODED = range(1, 8)

_FLOAT = np.dtype("<f4")


class _Datum(NamedTuple):
    """``data`` is where the bytes lie; ``floats`` are a copy."""

    channels: int
    height: int
    width: int
    label: int
    encoded: bool
    data: wire.Field | None
    floats: NDArray[np.float32]


class _Database:
    """An open database. LMDB lets a process open a file just once, so all who read the same one share this."""

    def __init__(self, path: Path) -> None:
        try:
            import lmdb
        except ImportError as error:
            raise DataError("reading an LMDB needs the package lmdb", remedy="pip install 'caffe2neon[lmdb]'") from error

        self._error = lmdb.Error
        try:
            # A lock needs a writable folder, and nobody writes to a data set that is being measured.
            self._environment = lmdb.open(str(path), subdir=False, readonly=True, create=False, lock=False)
            pages = self._environment.info()["last_pgno"] + 1
            size = pages * self._environment.stat()["psize"]
        except (lmdb.Error, OSError) as error:
            remedy = "it must be the folder that holds Caffe's data.mdb, or such a file"
            reason = str(error).removeprefix(f"{path}: ")
            raise DataError(f"this is no LMDB, or a damaged one: {reason}", remedy=remedy) from error
        # LMDB maps the file, and reading beyond its end would kill the process.
        if (there := path.stat().st_size) < size:
            raise DataError(f"the database is cut short: {there} of {size} bytes are there", remedy="copy it again")

    @contextmanager
    def reading(self) -> Iterator[lmdb.Transaction]:
        """What it hands out is memory of the map: valid, and to be used, inside the block alone."""
        try:
            with self._environment.begin(buffers=True) as transaction:
                yield transaction
        except self._error as error:
            raise DataError(f"the database is damaged: {error}", remedy="copy it again") from error


_databases: WeakValueDictionary[Path, _Database] = WeakValueDictionary()
_opening = Lock()


@dataclass(frozen=True)
class LmdbDatums:
    """A datum is found and decoded when it is asked for.

    Encoded ones are decoded as picture files are. Raw ones are handed on with their channels in the order they were stored in:
    Caffe never changes it, so it is the net's (BGR by ``convert_imageset``, RGB in Caffe's CIFAR-10).
    """

    name: str
    class_order: str
    labels: NDArray[np.int64]
    path: Path
    keys: Sequence[bytes]
    database: _Database

    def __len__(self) -> int:
        return len(self.keys)

    def picture(self, index: int, channel_order: str) -> Array:
        """uint8 or float32, (H, W, C); an encoded one for GRAY is (H, W)."""
        name = self.keys[index].decode("utf-8", "backslashreplace")
        with located(path=str(self.path)):
            with self.database.reading() as transaction:
                value = transaction.get(self.keys[index])
                if value is None:
                    raise unreadable(name, "is no longer in the database")
                try:
                    datum = _parse(value)
                except ParseError as error:
                    raise unreadable(name, f"is no Datum of Caffe's, or a damaged one: {error.message}") from error
                data = bytes(value[datum.data.start : datum.data.stop]) if datum.data else b""
            return decode(name, data, channel_order) if datum.encoded else _raw(name, datum, data)

    def where(self, index: int) -> Where:  # noqa: ARG002 a database has no lines, and messages name the key
        return Where(path=str(self.path))


def open_lmdb(spec: DatasetSpec) -> LmdbDatums:
    """A folder with Caffe's ``data.mdb``, or such a file: examples in the order of their keys, as Caffe reads them.

    Labels are found without reading the pictures before them. A record that is no Datum is told of when its picture is asked for.

    Raises:
        DataError: the package ``lmdb`` is missing, this is no LMDB or a truncated one, there is no Datum in it, or a label is
            negative.
    """
    path = labels_file(spec)
    with located(path=str(path)):
        with _opening:
            database = _databases.get(resolved := path.resolve())
            if database is None:
                database = _databases[resolved] = _Database(path)
        keys, labels = _index(database)
    return LmdbDatums(spec.name, spec.class_order or "caffe", np.array(labels, np.int64), path, keys, database)


def _index(database: _Database) -> tuple[tuple[bytes, ...], list[int]]:
    keys, labels, broken = [], [], 0
    with database.reading() as transaction:
        for key, value in transaction.cursor():
            keys.append(bytes(key))
            try:
                labels.append(_parse(value).label)
            except ParseError:
                labels.append(0)  # never used: the picture cannot be had either
                broken += 1
            if labels[-1] < 0:
                raise DataError(f"the label of {keys[-1].decode('utf-8', 'backslashreplace')!r} is {labels[-1]}")
    if keys and broken == len(keys):
        raise DataError(f"none of its {len(keys)} records is a Datum of Caffe's", remedy="give a database that Caffe's tools made")
    return tuple(keys), labels


def _raw(name: str, datum: _Datum, data: bytes) -> Array:
    """Floats count only where there are no bytes, as in Caffe's DataTransformer."""
    numbers: Array = np.frombuffer(data, np.uint8) if data else datum.floats
    shape = (datum.channels, datum.height, datum.width)
    if min(shape) < 1 or numbers.size != math.prod(shape):
        raise unreadable(name, f"should have {' x '.join(map(str, shape))} values, but has {numbers.size}")
    return numbers.reshape(shape).transpose(1, 2, 0)  # (C, H, W) -> (H, W, C)


def _parse(value: bytes | memoryview) -> _Datum:
    """A Datum; of what comes twice the last counts, as in protobuf.

    Raises:
        ParseError: this is not protobuf's wire format.
    """
    numbers = dict.fromkeys((_CHANNELS, _HEIGHT, _WIDTH, _LABEL, _ENCODED), 0)
    data: wire.Field | None = None
    floats = [np.empty(0, np.float32)]
    at = 0
    while at < len(value):
        field = wire.field_at(value, at, len(value))
        at = field.stop
        if field.number in numbers and field.wire == wire.VARINT:
            numbers[field.number] = wire.signed(field.value, 32)
        elif field.number == _DATA and field.wire == wire.LENGTH:
            data = field
        elif field.number == _FLOATS and field.wire == wire.LENGTH:
            floats.append(wire.packed(value, field, _FLOAT))
        elif field.number == _FLOATS and field.wire == wire.FIXED32:
            run, at = wire.unpacked(value, field, len(value), _FLOAT)
            floats.append(run)
    return _Datum(
        numbers[_CHANNELS],
        numbers[_HEIGHT],
        numbers[_WIDTH],
        numbers[_LABEL],
        bool(numbers[_ENCODED]),
        data,
        np.concatenate(floats, dtype=np.float32),
    )
