"""A good manifest, field by field, and every kind of bad one."""

from __future__ import annotations

import contextlib
import hashlib
import string
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caffe2neon.errors import ManifestError
from caffe2neon.manifest import read_manifest
from caffe2neon.records import DatasetSpec, Manifest, PinnedFile, Preprocess, Published, TextFix, Tolerance

A, B = "a" * 64, "b" * 64

GOOD = f"""\
schema: 1
models:
  lenet:
    description: digits
    prototxt: {{url: nets/lenet.prototxt, sha256: {A}}}
    caffemodel:
      url: https://example.org/lenet.caffemodel
      mirrors: [http://example.net/lenet.caffemodel, file:///srv/lenet.caffemodel]
      size: 1725025
      sha256: {B.upper()}
    label_remap: true
    input: [3, 224, 224]
    preprocess: {{channel_order: RGB, resize: 256, crop: [224, 224], mean: [104, 117.5, 123], scale: 0.00390625}}
    dataset: digits
    published: {{top1: 57.1, top5: 80.2, protocol: center crop, source: its readme}}
    tolerance: {{parity: 1.0e-4, top1: 0.3}}
    license: Apache-2.0
    groups: [bundled, small]
  plain:
    prototxt: {{url: p, sha384: {"c" * 96}}}
    caffemodel: {{url: w, sha256: {A}, sha1: {"d" * 40}}}
    license: none
datasets:
  digits: {{kind: image_list, path: data/val, labels: data/val.txt, class_order: caffe}}
"""


def _read(tmp_path: Path, text: str | bytes) -> Manifest:
    path = tmp_path / "zoo.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_manifest(path)


def _mistakes(tmp_path: Path, text: str | bytes) -> list[str]:
    with pytest.raises(ManifestError) as caught:
        _read(tmp_path, text)
    assert caught.value.where.path == str(tmp_path / "zoo.yaml")
    return [line.strip() for line in caught.value.message.splitlines()[1:]]


def _changed(old: str, new: str) -> str:
    assert GOOD.count(old) == 1
    return GOOD.replace(old, new)


def test_every_field(tmp_path: Path) -> None:
    manifest = _read(tmp_path, GOOD)
    lenet, plain = manifest.models
    assert lenet.name == "lenet"
    assert lenet.description == "digits"
    assert lenet.prototxt == PinnedFile("nets/lenet.prototxt", "sha256", A)
    mirrors = ("http://example.net/lenet.caffemodel", "file:///srv/lenet.caffemodel")
    assert lenet.caffemodel == PinnedFile("https://example.org/lenet.caffemodel", "sha256", B, 1725025, mirrors)
    assert lenet.label_remap is True
    assert lenet.input == (3, 224, 224)
    assert lenet.preprocess == Preprocess("RGB", (256, 256), (224, 224), (104.0, 117.5, 123.0), 1 / 256)
    assert lenet.dataset == DatasetSpec("digits", "image_list", tmp_path / "data/val", tmp_path / "data/val.txt", "caffe")
    assert lenet.published == Published({1: 57.1, 5: 80.2}, "center crop", "its readme")
    assert lenet.tolerance == Tolerance(1e-4, 0.3)
    assert (lenet.license, lenet.groups) == ("Apache-2.0", ("bundled", "small"))
    assert manifest.datasets == {"digits": lenet.dataset}
    assert (plain.label_remap, plain.input, plain.dataset, plain.published, plain.groups) == (False, None, None, None, ())
    assert (plain.preprocess, plain.tolerance) == (Preprocess(), Tolerance())
    assert manifest.warnings == ()


def test_strongest_hash_pins(tmp_path: Path) -> None:
    plain = _read(tmp_path, GOOD).models[1]
    assert (plain.prototxt.algorithm, plain.prototxt.digest) == ("sha384", "c" * 96)
    assert plain.caffemodel.algorithm == "sha256"


def test_hash_of_digits_alone_keeps_its_leading_zeros(tmp_path: Path) -> None:
    digits = "0" * 10 + "1" * 54
    assert _read(tmp_path, GOOD.replace(B.upper(), digits)).models[0].caffemodel.digest == digits


def test_sha1_alone_is_a_warning(tmp_path: Path) -> None:
    manifest = _read(tmp_path, _changed(f"w, sha256: {A}, sha1", "w, sha1"))
    assert manifest.warnings == ("models.plain.caffemodel.sha1: SHA-1 can be forged; pin the file by sha256 (line 21)",)
    assert manifest.models[1].caffemodel.algorithm == "sha1"


def test_what_is_expected(tmp_path: Path) -> None:
    extra = "license: none\n    expect: refused\n    reason: of its layers\n    class_order: neon"
    refused = _read(tmp_path, _changed("license: none", extra)).models[1]
    assert (refused.expect, refused.reason, refused.class_order) == ("refused", "of its layers", "neon")
    plain = _read(tmp_path, GOOD).models[1]
    assert (plain.expect, plain.reason, plain.class_order, plain.fixes) == ("published", "", "", ())


def test_only_what_is_not_published_may_lack_a_hash(tmp_path: Path) -> None:
    text = _changed(f"w, sha256: {A}, sha1: {'d' * 40}", "w")
    assert _mistakes(tmp_path, text) == ["models.plain.caffemodel.sha256: required (line 21)"]
    for expect in ("refused", "unpinned"):
        read = _read(tmp_path, text.replace("license: none", f"license: none\n    expect: {expect}\n    reason: x"))
        assert read.models[1].caffemodel == PinnedFile("w", "sha256", "")


def test_the_net_of_a_refused_entry_is_pinned(tmp_path: Path) -> None:
    text = _changed(f"p, sha384: {'c' * 96}", "p").replace("license: none", "license: none\n    expect: refused\n    reason: x")
    assert _mistakes(tmp_path, text) == ["models.plain.prototxt.sha256: required (line 20)"]


def test_fixes_and_members(tmp_path: Path) -> None:
    fixes = "license: none\n    fixes: [{find: 'a: b', replace: ''}, {find: c, replace: d, count: 2}]"
    plain = _read(tmp_path, _changed("license: none", fixes).replace("url: w,", "url: w, member: x/y,")).models[1]
    assert plain.fixes == (TextFix("a: b", ""), TextFix("c", "d", 2))
    assert plain.caffemodel.member == "x/y"


def test_two_models_may_come_from_one_archive(tmp_path: Path) -> None:
    text = GOOD.replace("url: w,", "url: a.zip, member: w,").replace(f"p, sha384: {'c' * 96}", f"a.zip, member: p, sha256: {A}")
    assert len(_read(tmp_path, text).models) == 2


def test_aliases_share_what_they_name(tmp_path: Path) -> None:
    text = _changed("license: none", "license: none\n    preprocess: *p").replace("preprocess: {ch", "preprocess: &p {ch")
    first, second = _read(tmp_path, text).models
    assert first.preprocess == second.preprocess


@pytest.mark.parametrize(
    ("old", "new", "mistake"),
    [
        ("schema: 1", "schema: 2", "schema: this version of caffe2neon reads schema 1, not 2 (line 1)"),
        ("schema: 1\n", "", "schema: required (line 1)"),
        ("\ndatasets:", "\ndataset:", "dataset: unknown key; did you mean 'datasets'? (line 23)"),
        ("  plain:", "  Plain Net:", "Plain Net: a name has only a-z, 0-9, '_', '.', '-', and does not start with '.' or '-'"),
        ("  plain:", "  ..:", "..: a name has only a-z, 0-9, '_', '.', '-', and does not start with '.' or '-' (line 19)"),
        ("  plain:", "  index.json:", "index.json: a published zoo has a file of this name (line 19)"),
        ("  plain:", "  lenet:", "lenet: given twice, first in line 3 (line 19)"),
        ("    license: none\n", "", "plain.license: required (line 19)"),
        ("license: none", "license:", "plain.license: expected text, got nothing (line 22)"),
        ("license: none", "license: ' '", "plain.license: must not be empty (line 22)"),
        ("license: none", "license: 2.0", "plain.license: expected text, got a number (put it in quotes) (line 22)"),
        ("label_remap", "label_reamp", "lenet.label_reamp: unknown key; did you mean 'label_remap'? (line 11)"),
        ("label_remap: true", "label_remap: 1", "lenet.label_remap: expected true or false, got a whole number (line 11)"),
        ("      url: https", "      ulr: https", "lenet.caffemodel.url: required (line 6)"),
        (f"      sha256: {B.upper()}\n", "", "lenet.caffemodel.sha256: required (line 6)"),
        (f"{B.upper()}", "bbb", "lenet.caffemodel.sha256: expected 64 hex digits, got 3 (line 10)"),
        (f"{B.upper()}", "d" * 40, "lenet.caffemodel.sha256: expected 64 hex digits, got 40; that is the length of sha1 (line 10)"),
        (f"{B.upper()}", "x" * 64, "lenet.caffemodel.sha256: a hash has only the digits 0-9 and a-f, got '" + "x" * 64 + "'"),
        (f"{B.upper()}", "[1]", "lenet.caffemodel.sha256: expected text, got a list (line 10)"),
        ("d" * 40, "xyz", "plain.caffemodel.sha1: a hash has only the digits 0-9 and a-f, got 'xyz' (line 21)"),
        ("1725025", "-3", "lenet.caffemodel.size: expected a whole number above 0, got -3 (line 9)"),
        ("1725025", "1.5", "lenet.caffemodel.size: expected a whole number above 0, got 1.5 (line 9)"),
        ("url: w,", "url: [w],", "plain.caffemodel.url: expected text, got a list (line 21)"),
        ("url: w,", "url: 'w (see page)',", "plain.caffemodel.url: an address has no spaces: 'w (see page)' (line 21)"),
        ("url: w,", "url: ftp://h/w,", "plain.caffemodel.url: expected http, https, file or a path beside the manifest, got 'ftp'"),
        ("url: w,", "url: 'http:///w',", "plain.caffemodel.url: 'http:///w' names no host (line 21)"),
        ("url: w,", "url: 'file://w',", "plain.caffemodel.url: write 'file://w' as file:///folder/name (line 21)"),
        ("url: w,", "url: 'http://[w',", "plain.caffemodel.url: 'http://[w' is no address: Invalid IPv6 URL (line 21)"),
        ("mirrors: [http:", "mirrors: [s3:", "lenet.caffemodel.mirrors: expected http, https, file or a path"),
        ("mirrors: [", "mirrors: [[], ", "lenet.caffemodel.mirrors[0]: expected text, got a list (line 8)"),
        ("input: [3, 224, 224]", "input: [224, 224]", "lenet.input: expected a list of 3 whole numbers above 0 (line 12)"),
        ("input: [3, 224, 224]", "input: 224", "lenet.input: expected a list of 3 whole numbers above 0 (line 12)"),
        ("input: [3,", "input: [true,", "lenet.input: expected a list of 3 whole numbers above 0 (line 12)"),
        ("channel_order: RGB", "channel_order: GBR", "lenet.preprocess.channel_order: 'GBR' is none of BGR, RGB, GRAY; did you"),
        ("channel_order: RGB", "channel_order: GRAY", "lenet.preprocess.channel_order: GRAY is not for an input of 3 channels"),
        ("resize: 256", "resize: 0", "lenet.preprocess.resize: expected a list of 2 whole numbers above 0, or a single one"),
        ("resize: 256", "resize: 200", "lenet.preprocess.crop: 224 × 224 does not fit into the 200 × 200 of resize (line 13)"),
        ("crop: [224, 224]", "crop: 227", "lenet.preprocess.crop: 227 × 227 is not the input's 224 × 224 (line 13)"),
        ("crop: [224, 224], ", "", "lenet.preprocess.resize: 256 × 256 is not the input's 224 × 224 (line 13)"),
        ("mean: [104, 117.5, 123]", "mean: [1, 2]", "lenet.preprocess.mean: expected 1 value or 3, one per channel, got 2"),
        ("mean: [104,", "mean: [a,", "lenet.preprocess.mean[0]: expected a number, got text (line 13)"),
        ("0.00390625", "0", "lenet.preprocess.scale: 0 makes every input the same (line 13)"),
        ("0.00390625", ".nan", "lenet.preprocess.scale: expected a finite number, got .nan (line 13)"),
        ("0.00390625", "1e-3", "lenet.preprocess.scale: expected a number, got text (YAML needs a dot and a sign: 1.0e-4)"),
        ("dataset: digits", "dataset: digit", "lenet.dataset: 'digit' is not under datasets; did you mean 'digits'? (line 14)"),
        ("top1: 57.1, top5: 80.2, ", "", "lenet.published.top1: give top1, top5 or both (line 15)"),
        ("top1: 57.1", "top1: 101", "lenet.published.top1: expected a finite number from 0 to 100, got 101 (line 15)"),
        ("top1: 57.1", "top1: 90", "lenet.published.top5: cannot be below top1 (line 15)"),
        ("top1: 57.1, top5: 80.2", "top1: 0.57, top5: 0.8", "lenet.published.top1: accuracy is in percent: 57.1, not 0.571"),
        ("1.0e-4", "-1", "lenet.tolerance.parity: expected a finite number from 0 to 1, got -1 (line 16)"),
        ("top1: 0.3", "top1: .inf", "lenet.tolerance.top1: expected a finite number from 0 to 100, got .inf (line 16)"),
        ("[bundled, small]", "bundled", "lenet.groups: expected a list, got text (line 18)"),
        ("[bundled, small]", "['a b']", "lenet.groups: 'a b': a name has only a-z, 0-9, '_', '.', '-'"),
        ("kind: image_list", "kind: imagelist", "datasets.digits.kind: 'imagelist' is none of npz, idx, image_list"),
        ("kind: image_list, ", "", "datasets.digits.kind: required (line 24)"),
        ("path: data/val, ", "", "datasets.digits.path: required (line 24)"),
        ("image_list, path: data/val, labels: data/val.txt", "idx, path: data/val", "datasets.digits.labels: required (line 24)"),
        ("kind: image_list", "kind: npz", "datasets.digits.labels: an npz file holds its labels itself (line 24)"),
        ("kind: image_list", "kind: lmdb", "datasets.digits.labels: an LMDB holds its labels itself (line 24)"),
        ("kind: image_list", "kind: macrobatch", "datasets.digits.labels: a folder of macrobatches holds its labels itself"),
        ("class_order: caffe", "class_order: devkit", "datasets.digits.class_order: 'devkit' is none of caffe, neon (line 24)"),
        (f"nets/lenet.prototxt, sha256: {A}", "x", "lenet.prototxt.sha256: required"),
        ("license: none", "license: none\n    expect: refuse", "plain.expect: 'refuse' is none of published, refused, unpinned"),
        ("license: none", "license: none\n    expect: refused", "plain.reason: required (line 19)"),
        ("license: none", "license: none\n    expect: unpinned\n    reason: x", "plain.expect: both files are pinned (line 23)"),
        ("license: none", "license: none\n    reason: x", "plain.reason: is for entries that are not published: give expect, too"),
        ("label_remap: true", "label_remap: true\n    class_order: neon", "lenet.label_remap: the classes are in neon's order alr"),
        ("license: none", "license: none\n    fixes: x", "plain.fixes: expected a list, got text (line 23)"),
        ("license: none", "license: none\n    fixes: [{find: a}]", "plain.fixes[0].replace: required (line 23)"),
        ("license: none", "license: none\n    fixes: [{find: '', replace: a}]", "plain.fixes[0].find: must not be empty (line 23)"),
        ("license: none", "license: none\n    fixes: [{find: a, replace: a}]", "plain.fixes[0].replace: replaces a text by itself"),
        ("license: none", "license: none\n    fixes: [{find: a, replace: b, count: 0}]", "plain.fixes[0].count: expected a whole"),
        ("url: w,", "url: w, member: ../w,", "plain.caffemodel.member: expected a path inside the archive such as"),
        ("url: w,", "url: w, member: /w,", "plain.caffemodel.member: expected a path inside the archive such as"),
    ],
)  # fmt: skip
def test_one_mistake(tmp_path: Path, old: str, new: str, mistake: str) -> None:
    """``mistake`` may leave out "models." and the end of a long sentence."""
    wanted = mistake if mistake.startswith(("schema", "dataset", "models")) else f"models.{mistake}"
    found = _mistakes(tmp_path, _changed(old, new))
    assert any(line.startswith(wanted) for line in found), found


def test_all_mistakes_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = GOOD.replace("schema: 1", "schema: 3").replace("license: none", "licence: none").replace("top1: 0.3", "top1: lots")
    assert _mistakes(tmp_path, text) == [
        "schema: this version of caffe2neon reads schema 1, not 3 (line 1)",
        "models.lenet.tolerance.top1: expected a number, got text (line 16)",
        "models.plain.license: required (line 19)",
        "models.plain.licence: unknown key; did you mean 'license'? (line 22)",
    ]


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "sha384"])
def test_hash_of_an_empty_file(tmp_path: Path, algorithm: str) -> None:
    empty = hashlib.new(algorithm, b"").hexdigest()
    found = _mistakes(tmp_path, _changed(f"sha384: {'c' * 96}", f"{algorithm}: {empty}"))
    assert found == [f"models.plain.prototxt.{algorithm}: this is the hash of an empty file (line 20)"]


def test_two_models_of_one_caffemodel(tmp_path: Path) -> None:
    """With and without ``label_remap``, say: nothing is wrong with it, as long as both mean the same bytes."""
    text = _changed(f"url: w, sha256: {A}, sha1: {'d' * 40}", f"url: 'https://example.org/lenet.caffemodel', sha256: {B}")
    lenet, plain = _read(tmp_path, text).models
    assert lenet.caffemodel.url == plain.caffemodel.url
    assert lenet.caffemodel.digest == plain.caffemodel.digest


def test_one_caffemodel_with_two_hashes(tmp_path: Path) -> None:
    text = _changed(f"url: w, sha256: {A}, sha1: {'d' * 40}", f"url: 'https://example.org/lenet.caffemodel', sha256: {A}")
    assert _mistakes(tmp_path, text) == [
        "models.plain.caffemodel: https://example.org/lenet.caffemodel is pinned to another sha256 in lenet (line 21)"
    ]


def test_one_url_with_two_hashes(tmp_path: Path) -> None:
    text = _changed(f"url: p, sha384: {'c' * 96}", f"url: nets/lenet.prototxt, sha256: {B}")
    assert _mistakes(tmp_path, text) == [
        "models.plain.prototxt: nets/lenet.prototxt is pinned to another sha256 in lenet (line 20)"
    ]


def test_two_models_may_share_a_net(tmp_path: Path) -> None:
    assert len(_read(tmp_path, _changed(f"url: p, sha384: {'c' * 96}", f"url: nets/lenet.prototxt, sha256: {A}")).models) == 2


def test_entry_that_is_no_mapping(tmp_path: Path) -> None:
    assert _mistakes(tmp_path, "schema: 1\nmodels:\n  a: 3\n  b:\n    - x\n") == [
        "models.a: expected a mapping, got a whole number (line 3)",
        "models.b: expected a mapping, got a list (line 4)",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("", "the file is empty", id="empty"),
        pytest.param("# nothing\n", "the file is empty", id="comment"),
        pytest.param("<html><body>Not found</body></html>", "expected a mapping, got text", id="html"),
        pytest.param(b"\x89PNG\r\n", "not text in UTF-8: byte 0 is 0x89", id="binary"),
        pytest.param("a: [1, 2\nb: 3", "not YAML: ", id="syntax"),
        pytest.param("\x00", "not YAML: ", id="control-character"),
        pytest.param("a: 1\n---\nb: 1", "a second YAML document starts here", id="two-documents"),
        pytest.param("a: &x [*x]", "the alias *x names nothing that ends before it", id="alias-of-itself"),
        pytest.param("a: *x", "the alias *x names nothing", id="alias-of-nothing"),
        pytest.param("[" * 100_000, "nested more than 50 deep", id="deep-brackets"),
        pytest.param("\n".join(" " * i + "a:" for i in range(200)), "nested more than 50 deep", id="deep-blocks"),
        pytest.param("? [a]\n: 1", "a key must be plain text", id="list-as-key"),
        pytest.param("schema: !!int many", "reads schema 1, not many", id="tag-that-does-not-fit"),
        pytest.param("schema: !!python/object/apply:os.getpid []", "expected text, got a list", id="tag-that-runs-code"),
    ],
)
def test_no_manifest_at_all(tmp_path: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(ManifestError) as caught:
        _read(tmp_path, text)
    assert message in str(caught.value)
    assert caught.value.where.path == str(tmp_path / "zoo.yaml")


def test_syntax_error_has_line_and_column(tmp_path: Path) -> None:
    with pytest.raises(ManifestError) as caught:
        _read(tmp_path, "schema: 1\nmodels:\n\t- a")
    assert (caught.value.where.line, caught.value.where.column) == (3, 1)


def test_aliases_of_aliases_do_not_explode(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x]"] + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 40)]
    assert "a39: unknown key (line 40)" in _mistakes(tmp_path, "\n".join(lines))


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="no such file"):
        read_manifest(tmp_path / "zoo.yaml")


def test_folder_instead_of_a_file(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="cannot read"):
        read_manifest(tmp_path)


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet=string.printable, max_size=40), st.integers(0, len(GOOD)), st.integers(0, 30))
def test_any_edit_is_read_or_refused_by_us(tmp_path_factory: pytest.TempPathFactory, text: str, start: int, cut: int) -> None:
    path = tmp_path_factory.mktemp("zoo") / "zoo.yaml"
    path.write_text(GOOD[:start] + text + GOOD[start + cut :], encoding="utf-8")
    with contextlib.suppress(ManifestError):
        read_manifest(path)
