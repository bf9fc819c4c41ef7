"""An interpreter of pickle protocols 0 to 2 that can build plain data and numpy arrays, and nothing else.

Why not a ``pickle.Unpickler`` with a ``find_class`` of our own: it would still run ``REDUCE`` and ``BUILD`` of whatever that hands
out, copy every array's bytes twice (BINSTRING to latin-1 text and back), and take sizes and memo indices at the file's word. Here
an opcode that is not in the table below cannot do anything; the five globals that neon files need are names compared as text, never
imported; and array bytes are views of the mapped file, so that reading a 553 MB model touches none of them. A model has few opcodes
(some sixty a layer), so that the interpreter in Python takes milliseconds.

What it refuses: any other global (``os.system``), INST, OBJ, NEWOBJ, extension codes, persistent ids, BUILD on anything but arrays
and dtypes, arrays of objects, arrays whose shape does not fit their bytes to the byte, protocols that Python 2.7 does not know.
"""

from __future__ import annotations

import codecs
import re
import struct
from collections.abc import Callable
from typing import Any

from caffe2neon.errors import PrmError
from caffe2neon.pickles.constructors import REMEDY_DAMAGED, REMEDY_HOSTILE
from caffe2neon.pickles.machine import Machine

#: A neon file has some hundred opcodes a layer; each makes at most one small object, so this bounds memory.
MOST_OPCODES = 3_000_000
#: Longest integer, in bytes (or half the digits): more is no number of a model.
_LONGEST_INTEGER = 255
#: An escape that Python 2's ``repr`` of a ``str`` never makes (once the doubled backslashes are out of the way).
_FOREIGN_ESCAPE = re.compile(rb"\\(?![xnrt'\"])|\\x(?![0-9a-fA-F]{2})")
_STOP = ord(".")


def run(data: memoryview) -> Any:
    """The one object in the pickle; text in it is still bytes or memoryview, an array an ``Ndarray``.

    Raises:
        PrmError: damaged or hostile; the message says where in the file.
    """
    machine = Machine(data)
    start = 0
    try:
        for _ in range(MOST_OPCODES):
            start = machine.at
            machine.at += 1
            code = data[start]
            if code == _STOP:
                return machine.result()
            operation = _OPERATIONS.get(code)
            if operation is None:
                raise _foreign(code)
            operation(machine)
    except (IndexError, KeyError, ValueError, TypeError, OverflowError, struct.error) as error:
        reason = "the file ends in the middle" if machine.at >= len(data) else "no valid pickle"
        raise PrmError(f"damaged at byte {start:,}: {reason}", remedy=REMEDY_DAMAGED) from error
    except PrmError as error:
        raise PrmError(f"{error.message} (at byte {start:,})", remedy=error.remedy) from error
    raise PrmError(f"more than {MOST_OPCODES:,} pickle opcodes: no neon model has so many", remedy=REMEDY_HOSTILE)


def _foreign(code: int) -> Exception:
    """Why an opcode that is not in the table is refused."""
    what = {
        ord("i"): "make an object (INST)",
        ord("o"): "make an object (OBJ)",
        0x81: "make an object (NEWOBJ)",
        ord("P"): "fetch something by a persistent id",
        ord("Q"): "fetch something by a persistent id",
        0x82: "run a registered extension",
        0x83: "run a registered extension",
        0x84: "run a registered extension",
    }.get(code)
    return PrmError(f"it asks to {what}", remedy=REMEDY_HOSTILE) if what else ValueError("unknown opcode")


def _protocol(machine: Machine) -> None:
    version = machine.number("B")
    if version > 2:
        raise PrmError(
            f"a pickle of protocol {version}, which Python 2.7, and so neon v1.4.0, cannot load",
            remedy="write it again with caffe2neon, or with pickle protocol 2 under Python 2.7",
        )


def _line_integer(machine: Machine) -> None:
    line = machine.line()
    machine.push({b"00": False, b"01": True}[line] if line in (b"00", b"01") else _digits(line))


def _line_string(machine: Machine) -> None:
    line = machine.line().strip()
    if len(line) < 2 or line[:1] not in (b"'", b'"') or line[-1:] != line[:1]:
        raise ValueError("unquoted text")
    if _FOREIGN_ESCAPE.search(line[1:-1].replace(b"\\\\", b"")):
        raise ValueError("unknown escape")
    machine.push(codecs.escape_decode(line[1:-1])[0])


def _digits(line: bytes) -> int:
    if len(line) > 2 * _LONGEST_INTEGER:
        raise ValueError("no number of a model")
    return int(line)


def _long(machine: Machine, size: int) -> None:
    if size > _LONGEST_INTEGER:
        raise ValueError("no number of a model")
    machine.push(int.from_bytes(machine.take(size), "little", signed=True))


def _short_string(machine: Machine) -> None:
    machine.push(bytes(machine.take(machine.number("B"))))


def _float_line(machine: Machine) -> None:
    machine.push(float(machine.line()))


_OPERATIONS: dict[int, Callable[[Machine], object]] = {
    ord("("): Machine.mark,
    ord("0"): Machine.pop,
    ord("1"): Machine.pop_mark,
    ord("2"): Machine.duplicate,
    ord("F"): _float_line,
    ord("I"): _line_integer,
    ord("L"): lambda m: m.push(_digits(m.line().removesuffix(b"L"))),
    ord("J"): lambda m: m.push(m.number("<i")),
    ord("K"): lambda m: m.push(m.number("B")),
    ord("M"): lambda m: m.push(m.number("<H")),
    ord("N"): lambda m: m.push(None),
    ord("S"): _line_string,
    ord("T"): lambda m: m.push(m.take(m.number("<i"))),
    ord("U"): _short_string,
    ord("V"): lambda m: m.push(m.line().decode("raw-unicode-escape")),
    ord("X"): lambda m: m.push(bytes(m.take(m.number("<I"))).decode("utf-8", "surrogatepass")),
    ord("G"): lambda m: m.push(m.number(">d")),
    ord("R"): Machine.reduce,
    ord("b"): Machine.build,
    ord("c"): Machine.find_global,
    ord("a"): Machine.append,
    ord("e"): Machine.appends,
    ord("d"): Machine.dict_to_mark,
    ord("}"): lambda m: m.push({}),
    ord("]"): lambda m: m.push([]),
    ord("l"): Machine.list_to_mark,
    ord(")"): lambda m: m.push(()),
    ord("t"): Machine.tuple_to_mark,
    0x85: lambda m: m.tuple_of(1),
    0x86: lambda m: m.tuple_of(2),
    0x87: lambda m: m.tuple_of(3),
    ord("s"): Machine.set_item,
    ord("u"): Machine.set_items,
    ord("g"): lambda m: m.get(_digits(m.line())),
    ord("h"): lambda m: m.get(m.number("B")),
    ord("j"): lambda m: m.get(m.number("<I")),
    ord("p"): lambda m: m.put(_digits(m.line())),
    ord("q"): lambda m: m.put(m.number("B")),
    ord("r"): lambda m: m.put(m.number("<I")),
    0x80: _protocol,
    0x88: lambda m: m.push(True),
    0x89: lambda m: m.push(False),
    0x8A: lambda m: _long(m, m.number("B")),
    0x8B: lambda m: _long(m, m.number("<i")),
}
