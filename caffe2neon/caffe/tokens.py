"""Protobuf text split into tokens, by the rules of the C++ tokenizer that Caffe uses."""

from __future__ import annotations

import re
from collections.abc import Iterator

from caffe2neon.errors import ParseError, Where

# Kinds of tokens: the number of the group in the pattern below. BAD is any character that begins no token.
WORD, REAL, INTEGER, STRING, MARK, BAD, END = range(1, 8)

# Every alternative is linear: none can match one stretch of text in two ways, so hostile text costs no more than other text.
_TOKEN = re.compile(
    r"""
      [ \t\r\n\v\f]+ | \#[^\n]*
    | ( [A-Za-z_][A-Za-z0-9_]* )
    | ( (?: [0-9]+\.[0-9]* | \.[0-9]+ ) (?: [eE][+-]?[0-9]+ )? [fF]? | [0-9]+[eE][+-]?[0-9]+[fF]? | [1-9][0-9]*[fF] | 0[fF] )
    | ( 0[xX][0-9A-Fa-f]+ | [0-9]+ )
    | ( "[^"\\\n]*(?:\\.[^"\\\n]*)*" | '[^'\\\n]*(?:\\.[^'\\\n]*)*' )
    | ( [{}<>\[\]:,;.-] )
    | ( . )
    """,
    re.VERBOSE | re.DOTALL,
)

_ESCAPE = re.compile(rb"\\(?:([0-7]{1,3})|[xX]([0-9A-Fa-f]{1,2})|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|(.?))", re.DOTALL)
_SIMPLE = dict(zip(b"abfnrtv\\?'\"", b"\a\b\f\n\r\t\v\\?'\"", strict=True))


class Cursor:
    """A place in a text: ``kind``, ``token`` and ``offset`` describe the current token. Errors say the place.

    ``layer`` is the name of the layer around it, for errors; whoever moves the cursor keeps it.
    """

    def __init__(self, text: str, path: str) -> None:
        self._text = text
        self._path = path
        self._tokens = _tokens(text)
        self.layer = ""
        self.advance()

    def advance(self) -> None:
        self.kind, self.token, self.offset = next(self._tokens)

    def position(self, offset: int) -> tuple[int, int]:
        """Line and column of an offset, in characters, from 1."""
        return self._text.count("\n", 0, offset) + 1, offset - self._text.rfind("\n", 0, offset)

    def error(self, message: str, offset: int | None = None, *, remedy: str = "") -> ParseError:
        """An error at ``offset``, or at the current token."""
        line, column = self.position(self.offset if offset is None else offset)
        return ParseError(message, remedy=remedy, where=Where(path=self._path, line=line, column=column, layer=self.layer))

    def unexpected(self, expected: str, closes: str = "", opened: int = 0) -> ParseError:
        """An error about the current token; at the end of the file, about ``closes`` that was ``opened`` at that offset."""
        if self.kind == END and closes:
            line, column = self.position(opened)
            return self.error(f"the file ends before the '{closes}' of what begins at {line}:{column}")
        return self.error(f"expected {expected}, got {self._shown()}")

    def _shown(self) -> str:
        token = self.token
        if self.kind == END:
            return "the end of the file"
        if self.kind == BAD and token in "\"'":
            return f"a string without its closing {token} on the same line"
        if self.kind == BAD:
            return f"the character {ascii(token)[1:-1]}"
        shown = token if len(token) <= 40 else f"{token[:40]}…"
        return shown if self.kind == STRING else f"'{shown}'"


def _tokens(text: str) -> Iterator[tuple[int, str, int]]:
    """Kind, text and offset of every token; after the last one, END for ever."""
    for match in _TOKEN.finditer(text):
        kind = match.lastindex
        if kind:
            yield kind, match.group(), match.start()
    while True:
        yield END, "", len(text)


def unquote(token: str) -> bytes:
    """The bytes that a STRING token stands for.

    Raises:
        ValueError: an escape that C has not got.
    """
    inner = token[1:-1].encode("utf-8", "surrogateescape")
    return _ESCAPE.sub(_unescape, inner) if b"\\" in inner else inner


def _unescape(match: re.Match[bytes]) -> bytes:
    octal, hexadecimal, short, long, simple = match.groups()
    if octal:
        return bytes([int(octal, 8) & 0xFF])
    if hexadecimal:
        return bytes([int(hexadecimal, 16)])
    if short or long:
        return chr(int(short or long, 16)).encode("utf-8")
    if simple and simple[0] in _SIMPLE:
        return bytes([_SIMPLE[simple[0]]])
    raise ValueError(f"no such escape: {match.group().decode('utf-8', 'replace')}")
