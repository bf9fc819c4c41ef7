"""Text fixes: what they replace, and when they refuse."""

from __future__ import annotations

import pytest

from caffe2neon.errors import ParseError
from caffe2neon.manifest import apply_fixes
from caffe2neon.records import TextFix


def test_one_after_the_other() -> None:
    fixes = (TextFix("a", "b"), TextFix("b", "c", count=3), TextFix("é", ""))
    assert apply_fixes("a b a é\n".encode(), fixes) == b"c c c \n"


def test_none_leave_the_bytes_alone() -> None:
    assert apply_fixes(b"\xff\r\n", ()) == b"\xff\r\n"


@pytest.mark.parametrize(("fix", "found"), [(TextFix("x", "y"), 0), (TextFix("a", "y", 2), 3), (TextFix("a", "y", 4), 3)])
def test_another_file_than_the_fix_is_for(fix: TextFix, found: int) -> None:
    with pytest.raises(ParseError, match=f"is there {found} times"):
        apply_fixes(b"aaa", (fix,))
