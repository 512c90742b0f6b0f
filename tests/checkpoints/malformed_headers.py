# SPDX-License-Identifier: MIT
"""Files with good and bad headers, and what safetensors and we say of each.  Holds no test."""

from __future__ import annotations

import json

from checkpoint_plans import safetensors_file

F32 = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
BOTH, STRICTER = (False, False), (False, True)  # (we accept, safetensors accepts)
MALFORMED = {
    "a good file": (safetensors_file({"a": F32}, b"1234"), (True, True), ""),
    "nothing in it": (safetensors_file({}), (True, True), ""),
    "padded": (safetensors_file({"a": F32}, b"1234", pad=b"   "), (True, True), ""),
    "empty tensor": (
        safetensors_file({"a": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}}),
        (True, True),
        "",
    ),
    "odd offset": (
        safetensors_file(
            {
                "b": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]},
                "a": {**F32, "data_offsets": [1, 5]},
            },
            b"12345",
        ),
        (True, True),
        "",
    ),
    "JSON order is not data order": (
        safetensors_file({"b": {**F32, "data_offsets": [4, 8]}, "a": F32}, b"12345678"),
        (True, True),
        "",
    ),
    "path as a name": (safetensors_file({"../../etc/x": F32}, b"1234"), (True, True), ""),
    "empty name": (safetensors_file({"": F32}, b"1234"), STRICTER, "has the name ''"),
    "NUL in a name": (safetensors_file({"a\0b": F32}, b"1234"), STRICTER, "has the name"),
    "leading space": (
        safetensors_file(b" " + json.dumps({"a": F32}).encode(), b"1234"),
        STRICTER,
        "does not start with",
    ),
    "newline last": (
        safetensors_file({"a": F32}, b"1234", pad=b"\n"),
        STRICTER,
        "does not end with",
    ),
    "extra field": (
        safetensors_file({"a": {**F32, "x": 1}}, b"1234"),
        STRICTER,
        "exactly dtype, shape and data_offsets",
    ),
    "identical duplicate": (
        safetensors_file(
            b'{"a":%s,"a":%s}' % (json.dumps(F32).encode(), json.dumps(F32).encode()), b"1234"
        ),
        STRICTER,
        "key 'a' appears twice",
    ),
    "four-bit floats": (
        safetensors_file({"a": {"dtype": "F4", "shape": [2], "data_offsets": [0, 1]}}, b"1"),
        (True, True),
        "",
    ),
    "half a byte of four-bit floats": (
        safetensors_file({"a": {"dtype": "F4", "shape": [3], "data_offsets": [0, 1]}}, b"1"),
        BOTH,
        "has 12 bits, which do not fill whole bytes",
    ),
    "four six-bit floats": (
        safetensors_file({"a": {"dtype": "F6_E2M3", "shape": [4], "data_offsets": [0, 3]}}, b"123"),
        (True, True),
        "",
    ),
    "six-bit floats as bytes": (
        safetensors_file(
            {"a": {"dtype": "F6_E3M2", "shape": [4], "data_offsets": [0, 4]}}, b"1234"
        ),
        BOTH,
        "takes 3 bytes, its data_offsets are",
    ),
    "65 axes": (safetensors_file({"a": {**F32, "shape": [1] * 65}}, b"1234"), (True, True), ""),
    "metadata alone": (safetensors_file({"__metadata__": {"a": "b"}}), (True, True), ""),
    "metadata between tensors": (
        safetensors_file(
            {"a": F32, "__metadata__": {"x": ""}, "b": {**F32, "data_offsets": [4, 8]}}, b"12345678"
        ),
        (True, True),
        "",
    ),
    "fields in another order, on lines": (
        safetensors_file(
            json.dumps({"a": dict(reversed(F32.items()))}, indent=2).encode(), b"1234"
        ),
        (True, True),
        "",
    ),
    "escapes in names": (
        safetensors_file(b'{"\\u0061\\"\\\\":%s}' % json.dumps(F32).encode(), b"1234"),
        (True, True),
        "",
    ),
    "escapes in fields": (
        safetensors_file(b'{"a":{"\\u0064type":"F32","shape":[1],"data_offsets":[0,4]}}', b"1234"),
        STRICTER,
        "without escapes, signs and",
    ),
    "no comma behind an entry": (
        safetensors_file(b'{"a":%s "b":1}' % json.dumps(F32).encode(), b"1234"),
        BOTH,
        "'\"b\":1}' stands at byte 68, where a comma or a brace is needed",
    ),
    "no brace at the end": (
        safetensors_file(b'{"a":%s' % json.dumps(F32).encode(), b"1234"),
        BOTH,
        "the end of the header stands at byte 67, where a comma or a brace is needed",
    ),
    "a long entry of wide characters": (
        safetensors_file(b'{"a":{"dtype":"%s"}}' % ("\u20ac" * 30_000).encode(), b"1234"),
        BOTH,
        "the entry of tensor 'a' has more than 65,536 bytes",
    ),
    "a comma behind the last": (
        safetensors_file(b'{"a":%s,}' % json.dumps(F32).encode(), b"1234"),
        BOTH,
        "where a tensor's name and entry",
    ),
    "a comma behind the last field": (
        safetensors_file(b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],}}', b"1234"),
        BOTH,
        "is not JSON",
    ),
    "a leading zero": (
        safetensors_file(b'{"a":{"dtype":"F32","shape":[01],"data_offsets":[0,4]}}', b"1234"),
        BOTH,
        "is not JSON",
    ),
    "a dimension beyond 64 bits": (
        safetensors_file({"a": {**F32, "shape": [10**20]}}, b"1234"),
        BOTH,
        "without escapes, signs and",
    ),
    "shapes with spaces": (
        safetensors_file(
            b'{"a":{"dtype":"F32","shape":[ 1 ,\n1 ],"data_offsets":[ 0 , 4 ]},'
            b'"b":{"dtype":"F32","shape":[ ],"data_offsets":[4,8]}}',
            b"12345678",
        ),
        (True, True),
        "",
    ),
    "a comma too many in a shape": (
        safetensors_file(b'{"a":{"dtype":"F32","shape":[1,],"data_offsets":[0,4]}}', b"1234"),
        BOTH,
        "is not JSON",
    ),
    "a leading zero in an offset": (
        safetensors_file(b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,04]}}', b"1234"),
        BOTH,
        "is not JSON",
    ),
    "a field twice": (
        safetensors_file(b'{"a":{"dtype":"F32","dtype":"F32","data_offsets":[0,4]}}', b"1234"),
        BOTH,
        "exactly dtype, shape and data_offsets, each once",
    ),
    "two fields twice": (
        safetensors_file(
            b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"shape":[1]}}', b"1234"
        ),
        BOTH,
        "without escapes, signs and",
    ),
    "a bad escape": (safetensors_file(b'{"\\x":1}'), BOTH, "an escape that JSON does not know"),
    "a bad escape in metadata": (
        safetensors_file(b'{"__metadata__":{"a":"\\x"}}'),
        BOTH,
        "an escape that JSON does not know",
    ),
    "a control character in metadata": (
        safetensors_file(b'{"__metadata__":{"a":"\n"}}'),
        BOTH,
        "is not a pair of texts",
    ),
    "metadata key twice": (
        safetensors_file(b'{"__metadata__":{"a":"1","a":"2"}}'),
        STRICTER,
        "key 'a' appears twice",
    ),
    "metadata without an end": (
        safetensors_file(b'{"__metadata__":{"a":"1"} x}'),
        BOTH,
        "does not end with",
    ),
    "a tensor of the metadata's name": (
        safetensors_file({"__metadata__": F32}, b"1234"),
        BOTH,
        "has the name '__metadata__'",
    ),
    "no end": (safetensors_file(b'{"a":'), BOTH, "entry of tensor 'a' is not JSON"),
    "a brace too many": (
        safetensors_file(b'{"a":%s}}' % json.dumps(F32).encode(), b"1234"),
        BOTH,
        "does not end with",
    ),
    "overflow behind a zero": (
        safetensors_file(
            {"a": {"dtype": "U8", "shape": [0, 2**40, 2**40], "data_offsets": [0, 0]}}
        ),
        STRICTER,
        r"takes more than 2\*\*63 - 1 bytes",
    ),
    "null metadata": (
        safetensors_file({"__metadata__": None, "a": F32}, b"1234"),
        STRICTER,
        "not a map from text",
    ),
    "trailing byte": (safetensors_file({"a": F32}, b"12345"), BOTH, "the file at"),
    "short data": (safetensors_file({"a": F32}, b"123"), BOTH, "the file at"),
    "hole": (safetensors_file({"a": {**F32, "data_offsets": [1, 5]}}, b"12345"), BOTH, "expected"),
    "overlap": (
        safetensors_file({"a": F32, "b": {**F32, "data_offsets": [2, 6]}}, b"123456"),
        BOTH,
        "was expected",
    ),
    "two names, one range": (safetensors_file({"a": F32, "b": F32}, b"1234"), BOTH, "expected"),
    "duplicate with other offsets": (
        safetensors_file(
            b'{"a":%s,"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}'
            % json.dumps(F32).encode(),
            b"12345678",
        ),
        BOTH,
        "appears twice",
    ),
    "duplicate metadata": (
        safetensors_file(b'{"__metadata__":{},"__metadata__":{}}'),
        BOTH,
        "appears twice",
    ),
    "NUL padding": (safetensors_file({"a": F32}, b"1234", pad=b"\0"), BOTH, "does not end with"),
    "unknown dtype": (safetensors_file({"a": {**F32, "dtype": "F31"}}, b"1234"), BOTH, "'F31'"),
    "dtype is a list": (safetensors_file({"a": {**F32, "dtype": []}}, b"1234"), BOTH, "dtype"),
    "metadata is a number": (
        safetensors_file({"__metadata__": {"a": 1}}),
        BOTH,
        "not a map from text to text",
    ),
    "negative": (
        safetensors_file({"a": {**F32, "shape": [-1]}}, b"1234"),
        BOTH,
        r"has shape \[-1\]: a list",
    ),
    "minus zero": (
        safetensors_file(b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[-0,4]}}', b"1234"),
        BOTH,
        "without escapes, signs and",
    ),
    "float": (
        safetensors_file({"a": {**F32, "shape": [1.0]}}, b"1234"),
        BOTH,
        r"shape \[1.0\]: a list",
    ),
    "bool": (safetensors_file({"a": {**F32, "shape": [True]}}, b"1234"), BOTH, "True.: a list of"),
    "shape is text": (
        safetensors_file({"a": {**F32, "shape": "1"}}, b"1234"),
        BOTH,
        "shape '1': a list",
    ),
    "three offsets": (
        safetensors_file({"a": {**F32, "data_offsets": [0, 4, 8]}}, b"1234"),
        BOTH,
        "two whole numbers",
    ),
    "float offset": (
        safetensors_file({"a": {**F32, "data_offsets": [0, 4.0]}}, b"1234"),
        BOTH,
        "two whole numbers",
    ),
    "missing field": (
        safetensors_file({"a": {"dtype": "F32", "shape": [1]}}, b"1234"),
        BOTH,
        "exactly dtype",
    ),
    "size is not that of the shape": (
        safetensors_file({"a": {**F32, "shape": [2]}}, b"1234"),
        BOTH,
        "takes 8 bytes",
    ),
    "overflow": (
        safetensors_file({"a": {**F32, "shape": [2**32, 2**32]}}, b"1234"),
        BOTH,
        r"2\*\*63",
    ),
    "overflow before a zero": (
        safetensors_file(
            {"a": {"dtype": "U8", "shape": [2**40, 2**40, 0], "data_offsets": [0, 0]}}
        ),
        BOTH,
        r"2\*\*63",
    ),
    "empty at a wrong place": (
        safetensors_file(
            {"a": F32, "b": {"dtype": "F32", "shape": [0], "data_offsets": [2, 2]}}, b"1234"
        ),
        BOTH,
        "expected",
    ),
    "not an object": (safetensors_file(b"[]"), BOTH, "does not start with"),
    "not JSON": (safetensors_file(b"{a}"), BOTH, "where a tensor's name and entry"),
    "NaN": (safetensors_file(b'{"a":NaN}'), BOTH, "is described by nan"),
    "huge number": (safetensors_file(b'{"a":' + b"9" * 5000 + b"}"), BOTH, "more than 4300 digits"),
    "header longer than the file": (
        safetensors_file({}, length=3),
        BOTH,
        "header of 3 bytes was cut short at 2",
    ),
    "header beyond 100 MB": (safetensors_file({}, length=10**8 + 1), BOTH, "must be below"),
    "header of 2**64 - 1": (safetensors_file({}, length=2**64 - 1), BOTH, "claims a header"),
    "seven bytes": (b"1234567", BOTH, "it has 7 bytes, and the first 8"),
    "no bytes": (b"", BOTH, "is empty"),
    "bad UTF-8": (safetensors_file(b'{"\xff":1}'), BOTH, "is not UTF-8"),
    "UTF-16": (safetensors_file('{"a":1}'.encode("utf-16-le")), BOTH, "where a tensor's name and"),
    "lone surrogate": (
        safetensors_file(b'{"\\ud800":%s}' % json.dumps(F32).encode(), b"1234"),
        BOTH,
        "is not UTF-8",
    ),
    "lone surrogate in metadata": (
        safetensors_file(b'{"__metadata__":{"a":"\\ud800"}}'),
        BOTH,
        "text to text: .* is not UTF-8",
    ),
    "deep nesting": (
        safetensors_file(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
        BOTH,
        "nested too deeply",
    ),
}
