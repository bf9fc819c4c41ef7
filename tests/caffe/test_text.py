"""Our text reader against protobuf's, and what Caffe's own reader accepts and refuses."""

from __future__ import annotations

import contextlib
import math
from pathlib import Path

import pytest
from google.protobuf import text_format
from hypothesis import given, settings
from hypothesis import strategies as st

from caffe2neon.caffe import caffe_pb2
from caffe2neon.caffe.text import parse_net
from caffe2neon.errors import ParseError
from tests.caffe.messages import messages
from tests.conftest import SHARED, shared


def parse(text: str | bytes) -> caffe_pb2.NetParameter:
    return parse_net(text.encode() if isinstance(text, str) else text, "net.prototxt").net


def refuse(text: str | bytes) -> ParseError:
    with pytest.raises(ParseError) as caught:
        parse(text)
    assert caught.value.where.path == "net.prototxt"
    return caught.value


def layer(text: str) -> caffe_pb2.LayerParameter:
    (found,) = parse(f"layer {{ {text} }}").layer
    return found


# ---- against protobuf's own reader


@settings(max_examples=150, deadline=None)
@given(messages(caffe_pb2.NetParameter), st.booleans(), st.booleans(), st.booleans(), st.booleans())
def test_what_protobuf_prints_reads_back(net: caffe_pb2.NetParameter, line: bool, angles: bool, short: bool, utf8: bool) -> None:
    text = text_format.MessageToString(
        net, as_one_line=line, pointy_brackets=angles, use_short_repeated_primitives=short, as_utf8=utf8
    )
    assert parse(text).SerializeToString(deterministic=True) == net.SerializeToString(deterministic=True)


def _real_files() -> list[str]:
    folders = SHARED / "prototxt", SHARED / "models"
    return sorted(str(path.relative_to(SHARED)) for folder in folders for path in folder.rglob("*.prototxt"))


@pytest.mark.parametrize("name", _real_files() or ["prototxt"])
def test_real_files_read_as_protobuf_reads_them(name: str) -> None:
    data = shared(*name.split("/")).read_bytes()
    assert parse(data) == text_format.Parse(data, caffe_pb2.NetParameter())


def test_all_golden_nets_read_as_protobuf_reads_them() -> None:
    refused = {"parse_missing_brace", "parse_unknown_field"}
    files = [path for path in sorted(shared("golden", "caffe").rglob("*.prototxt")) if path.parent.name not in refused]
    assert len(files) > 150
    for path in files:
        data = path.read_bytes()
        assert parse(data) == text_format.Parse(data, caffe_pb2.NetParameter()), path


@settings(max_examples=200, deadline=None)
@given(st.text(st.sampled_from("layernmtopbi{}<>[]:;,-.'\"\\ \n#0123456789efx_é\x01"), max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(ParseError):
        parse(text)


MIXED = 'name: "n" state { stage: "a" } layer { name: "c" type: "C" bottom: "x" convolution_param { pad: [1, 2] num_output: 4 } }'


@settings(max_examples=200, deadline=None)
@given(st.integers(0, len(MIXED) - 1), st.integers(0, 8), st.text(max_size=4))
def test_a_mutated_net_is_read_or_refused(at: int, length: int, inserted: str) -> None:
    text = (MIXED[:at] + inserted + MIXED[at + length :]).encode("utf-8", "surrogatepass")
    try:
        ours = parse(text)
    except ParseError:
        return
    # What we take, protobuf takes with the same meaning. (The reverse does not hold: Python's reader is laxer than Caffe's.)
    assert ours == text_format.Parse(text, caffe_pb2.NetParameter())


# ---- quirks of real files, which Caffe accepts


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("name: 'n' # it's a \"comment\" {", id="comment"),
        pytest.param("# nothing but\nname: 'n'# at the end", id="comment-at-end"),
        pytest.param("name: 'n';", id="semicolon"),
        pytest.param("name: 'n',", id="comma"),
        pytest.param("name:'n'", id="no-space"),
        pytest.param("name\n:\n'n'", id="newlines"),
        pytest.param("\r\nname: 'n'\r\n", id="crlf"),
        pytest.param("\ufeffname: 'n'", id="byte-order-mark"),
        pytest.param("name: '' \"n\"", id="adjacent-strings"),
        pytest.param(r"name: '\x6e'", id="hexadecimal-escape"),
        pytest.param(r"name: '\156'", id="octal-escape"),
        pytest.param(r"name: '\u006e'", id="unicode-escape"),
        pytest.param("\f\vname: 'n'", id="odd-white-space"),
    ],
)
def test_quirks(text: str) -> None:
    assert parse(text) == caffe_pb2.NetParameter(name="n")


def test_a_comment_may_have_bytes_of_any_encoding() -> None:
    assert parse(b"# \xb5\xda\xd2\xbb\xb2\xe3 \xff\x00\x1a\nname: 'n'").name == "n"


def test_a_name_may_have_any_letters() -> None:
    assert layer("name: 'プール/3×3'").name == "プール/3×3"


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e-4", 1e-4), ("1.f", 1.0), (".5", 0.5), ("2F", 2.0), ("-3", -3.0), ("- 3", -3.0), ("1E+2", 100.0), ("0", 0.0), ("0f", 0.0),
     ("-inf", -math.inf), ("Infinity", math.inf), ("12345678901234567890", 12345678901234567890.0), ("1e99", math.inf)],
)  # fmt: skip
def test_decimal_numbers(text: str, value: float) -> None:
    assert layer(f"power_param {{ shift: {text} }}").power_param.shift == pytest.approx(value, rel=1e-7)


def test_not_a_number() -> None:
    assert math.isnan(layer("power_param { shift: nan }").power_param.shift)


@pytest.mark.parametrize(("text", "value"), [("7", 7), ("0x1F", 31), ("010", 8), ("0", 0), ("4294967295", 2**32 - 1)])
def test_whole_numbers(text: str, value: int) -> None:
    assert layer(f"inner_product_param {{ num_output: {text} }}").inner_product_param.num_output == value


@pytest.mark.parametrize(("text", "value"), [("AVE", 1), ("1", 1), ("0x2", 2)])
def test_enum_by_name_or_number(text: str, value: int) -> None:
    assert layer(f"pooling_param {{ pool: {text} }}").pooling_param.pool == value


@pytest.mark.parametrize("text", ["true", "True", "t", "1"])
def test_true(text: str) -> None:
    assert layer(f"batch_norm_param {{ use_global_stats: {text} }}").batch_norm_param.use_global_stats


@pytest.mark.parametrize("text", ["false", "False", "f", "0"])
def test_false(text: str) -> None:
    assert not layer(f"batch_norm_param {{ use_global_stats: {text} }}").batch_norm_param.use_global_stats


def test_lists_and_angles() -> None:
    net = parse("layer: [ { top: ['a', 'b'] bottom: [] }, < name: 'x' >, ] ".replace(", ]", "]"))
    assert [list(layer.top) for layer in net.layer] == [["a", "b"], []]
    assert net.layer[1].name == "x"


def test_lines_of_layers() -> None:
    parsed = parse_net(b"\xef\xbb\xbf# 1\r\nlayer { # 2\r\n}\n\n\nlayer\n{\n} layer: [ {},\n {} ]\ninput: 'x'", "")
    assert parsed.lines == {"layer": [2, 6, 8, 9], "input": [10]}


# ---- refused, as Caffe refuses it


@pytest.mark.parametrize(
    ("text", "line", "column", "words"),
    [
        pytest.param("layer {\n name: 'a'\n", 3, 1, "ends before the '}' of what begins at 1:7", id="missing-brace"),
        pytest.param("layer { name: 'a' } }", 1, 21, "expected a field name, got '}'", id="one-brace-too-many"),
        pytest.param("layer < name: 'a' }", 1, 19, "expected a field name, got '}'", id="brackets-crossed"),
        pytest.param("name 'a'", 1, 6, "expected ':' after name", id="missing-colon"),
        pytest.param("name: a", 1, 7, "a string in quotes for name, got 'a'", id="missing-quotes"),
        pytest.param("name: 'a\nb'", 1, 7, "without its closing '", id="unclosed-string"),
        pytest.param(r"name: '\q'", 1, 7, "no such escape: \\q", id="unknown-escape"),
        pytest.param(r"name: '\ud800'", 1, 7, "this string is wrong", id="lone-surrogate"),
        pytest.param("name: 'a' name: 'b'", 1, 11, "name is given twice", id="duplicate-scalar"),
        pytest.param("layer { lrn_param {} lrn_param {} }", 1, 22, "lrn_param is given twice", id="duplicate-message"),
        pytest.param("input_dim: 1.5", 1, 12, "a whole number for input_dim, got '1.5'", id="fraction"),
        pytest.param("input_dim: 089", 1, 12, "octal", id="octal-with-9"),
        pytest.param("input_dim: " + "9" * 5000, 1, 12, "no whole number", id="thousands-of-digits"),
        pytest.param("input_dim: 2147483648", 1, 12, "must be from -2147483648 to 2147483647", id="out-of-range"),
        pytest.param("input_dim: +1", 1, 12, "got the character +", id="plus-sign"),
        pytest.param("layer { tile_param { axis: } }", 1, 28, "a whole number for axis, got '}'", id="no-value"),
        pytest.param("layer { loss_weight: 0x1 }", 1, 22, "a decimal number for loss_weight", id="hexadecimal-float"),
        pytest.param("layer { dropout_param { dropout_ratio: '1' } }", 1, 40, "a decimal number", id="float-in-quotes"),
        pytest.param("force_backward: yes", 1, 17, "true or false", id="yes"),
        pytest.param("layers { type: 'RELU' }", 1, 16, "for type, got 'RELU'", id="quoted-enum"),
        pytest.param("input_dim: [1, 2", 1, 17, "ends before the ']'", id="unclosed-list"),
        pytest.param("input_dim: [1 2]", 1, 15, "expected ',' or ']', got '2'", id="list-without-comma"),
        pytest.param("input_dim: [1, ]", 1, 16, "a value after ','", id="trailing-comma"),
        pytest.param("name: ['a']", 1, 7, "a string in quotes", id="list-for-one"),
        pytest.param("layer: 3", 1, 8, "expected '{' after layer", id="value-for-message"),
        pytest.param("layer {}\u00a0", 1, 9, "the character \\xa0", id="no-break-space"),
        pytest.param("name: 'a';;", 1, 11, "a field name, got ';'", id="two-separators"),
        pytest.param("[caffe.ext]: 1", 1, 1, "a field name, got '['", id="extension"),
        pytest.param('{"name": "a"}', 1, 1, "a field name, got '{'", id="json"),
        pytest.param("404: Not Found", 1, 1, "a field name, got '404'", id="error-page"),
        pytest.param("name: 'ä' foo", 1, 14, "after 'foo', got the end", id="columns-count-characters"),
        pytest.param("layer { clip_param { min: 0 } }", 1, 29, "clip_param must have a field 'max'", id="required-field"),
    ],
)
def test_syntax_errors_have_line_and_column(text: str, line: int, column: int, words: str) -> None:
    error = refuse(text)
    assert words in error.message
    assert (error.where.line, error.where.column) == (line, column)


def test_an_error_names_the_layer_around_it() -> None:
    assert refuse("layer { name: 'ok' }\nlayer { name: 'conv1' param { name: 'w' } top: 3 }").where.layer == "conv1"
    assert refuse("layers { layer { name: 'v0' type: 3 } }").where.layer == "v0"
    assert refuse("layer { name: 'ok' }\nfoo").where.layer == ""


def test_a_string_that_is_not_utf8() -> None:
    error = refuse(b"name: 'caf\xe9'")
    assert "UTF-8" in error.message
    assert "UTF-8" in error.remedy


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be"])
def test_utf16(codec: str) -> None:
    assert "UTF-16" in refuse("\ufeffname: 'a'".encode(codec)).message


# ---- fields that Caffe has not got


def test_all_unknown_fields_at_once() -> None:
    error = refuse(
        """
        layer { name: "a" convolution_param { kernel: 3 num_outputs: 2 } bn_param { slope { a: [1, 2] b: "}" '{' } c: -4 } }
        detection_output_param: { nms: [ { x: 1.f }, < y: RED > ] }
        layer { type: "P" pooling_param { pool: LEAST mode: -1.5e3; size: 1 ceil: true } }
        layers { type: BATCH_NORM include { phase: 7 } }"""
    )
    assert error.message.splitlines() == [
        "Caffe does not know",
        "    2:47: layer.convolution_param.kernel (is kernel_size meant?)",
        "    2:57: layer.convolution_param.num_outputs (is num_output meant?)",
        "    2:74: layer.bn_param",
        "    3:9: detection_output_param",
        "    4:49: layer.pooling_param.pool: LEAST",
        "    4:55: layer.pooling_param.mode",
        "    4:69: layer.pooling_param.size",
        "    4:77: layer.pooling_param.ceil",
        "    5:24: layers.type: BATCH_NORM",
        "    5:52: layers.include.phase: 7",
    ]
    assert (error.where.line, error.where.column) == (2, 47)
    assert "another branch of Caffe" in error.remedy


def test_very_deep_nesting_of_unknown_fields_is_no_recursion() -> None:
    assert "layer.x" in refuse("layer { x " + "{ y " * 50_000 + "{" + "}" * 50_001 + "}").message


@pytest.mark.parametrize("text", ["foo { [ }", "foo: {", "foo { 'a }", "foo: ,", "foo: ]", "foo bar", "foo", "foo: -", "foo: \x01"])
def test_unknown_fields_with_broken_contents(text: str) -> None:
    assert refuse(f"\n{text}").where.line == 2


def test_a_file_of_nothing_but_unknown_fields() -> None:
    lines = refuse("x: 1 " * 3000).message.splitlines()
    assert len(lines) == 1002
    assert lines[-1] == "    and 2,000 more"


def test_a_solver() -> None:
    error = refuse("net: 'train_val.prototxt'\nbase_lr: 0.01 solver_mode: GPU snapshot_prefix: 'x'")
    assert "solver" in error.message
    assert "net" in error.remedy
    assert error.where.line == 1


def test_a_solver_like_field_in_a_net_is_just_unknown() -> None:
    assert "base_lr" in refuse("base_lr: 1 layer { }").message


@pytest.mark.parametrize("case", ["parse_missing_brace", "parse_unknown_field"])
def test_refused_by_caffe_too(case: str) -> None:
    path: Path = shared("golden", "caffe", "refused", case, "net.prototxt")
    error = refuse(path.read_bytes())
    # Caffe's words: "3:114: Expected identifier, got: " and "3:103: ... has no field named "kernel"", after that name.
    assert (error.where.line, error.where.column) == {"parse_missing_brace": (3, 114), "parse_unknown_field": (3, 97)}[case]
