# SPDX-License-Identifier: MIT
"""Makes texts.json and recipes.json from the reference alone: texts of schemes, plans as JSON.

    python tests/data/make_texts.py

A float64 number is a text as C's %a writes it, or "inf" or "-inf"; a whole number is a number; a
scheme is an object with its written text.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

from make_edges import file_text  # noqa: E402
from reference_calls import Made, call, written  # noqa: E402
from reference_json import canonical, digest, plan_form  # noqa: E402
from reference_texts import Invalid  # noqa: E402

TEXTS = [
    "he_normal",
    "he_normal()",
    " he_normal ( ) \n",
    "\r\n\tnormal(\n  0.02\r\n)\n",
    "normal(0.02)",
    "normal(std=.5)",
    "normal(std = 5.,)",
    "normal(1e-2, mean=-1E+2)",
    "normal(00.5)",
    "normal(05.e-01)",
    "normal(2**-3)",
    "normal(0.02/sqrt(2*12))",
    "normal(0.02 / sqrt((2*12)))",
    "normal(0.02/sqrt(24,))",
    "normal(mean=-2**2)",
    "normal(mean=(-2)**2)",
    "normal(mean=2**3**2)",
    "normal(mean=2**-2)",
    "normal(mean=-3//2)",
    "normal(mean=-3%2)",
    "normal(mean=3%-2)",
    "normal(mean=7-2-1)",
    "normal(mean=8/4/2)",
    "normal(mean=2*3%4)",
    "normal(mean=--+1)",
    "normal(mean=1/3)",
    "normal(mean=9007199254740993/3)",
    "normal(mean=9007199254740993)",
    "normal(mean=9007199254740993+0.)",
    "normal(mean=170141183460469231731687303715884105728/3)",
    "normal(mean=340282366920938463463374607431768211455)",
    "normal(mean=0.1+0.2)",
    "normal(mean=1.1**3)",
    "normal(mean=1.1**-3)",
    "normal(mean=0.0**0)",
    "normal(mean=-0.0)",
    "normal(mean=0**0-1)",
    "normal(mean=5e-324)",
    "normal(mean=1e22)",
    "normal(mean=1e23)",
    "normal(mean=9007199254740991.0)",
    "normal(mean=9007199254740992.0)",
    "normal(mean=0.0001)",
    "normal(mean=0.00001)",
    "normal(mean=123456789012345680.0)",
    "normal(mean=2.0**-44)",
    "normal(mean=623203260495222.75)",
    "normal(mean=1.7976931348623157e308)",
    "truncated_normal(low=-inf, high=inf)",
    "truncated_normal(low=- inf, high=(inf))",
    "truncated_normal(low=(-(inf)), high=0)",
    "truncated_normal(corrected=True)",
    "truncated_normal(corrected=(False))",
    "variance_scaling(2.0, \"fan_out\", 'uniform')",
    "variance_scaling(2, mode=('fan_avg'))",
    "variance_scaling(distribution='normal', scale=0.5)",
    "he_normal(in_axis=2, out_axis=(1,), batch_axis=(0,))",
    "he_normal(in_axis=[-1], out_axis=(0, 1), batch_axis=[])",
    "he_normal(in_axis=None, out_axis=None)",
    "he_normal(in_axis=(), out_axis=0)",
    "he_normal(packed=(4096, 1024, 1024,))",
    "he_normal(packed=6//2)",
    "he_normal(groups=2, transposed=True, layout='torch')",
    "mup_xavier_normal(base_shape=[128, 64])",
    "mup_kaiming_uniform(0.5, 'fan_out', 'relu', base_shape=(128, 64))",
    "torch_embedding(padding=-1)",
    "deepnorm(encoder_layers=12, decoder_layers=12, part='decoder')",
    "constant(5/3)",
    "sparse(0.9, 0.1)",
    "orthogonal(column_axis=None)",
    "mapped(uniform(0, 1), 'log(16 * x)')",
    'mapped( init = uniform ( 0 , 1 ) , expression = " x  ** 2 " , )',
    "mapped((he_normal(packed=(1, 2))), 'x')",
    "mapped(mapped(normal(), '-x + .5'), 'maximum(x, 1.,)')",
    "mapped(normal(), 'minimum(1e3, +pi*x)')",
    "parts(zeros(), ' 0:768 , :', xavier_uniform(), '768:1536:1', xavier_uniform(gain=2))",
    "parts(normal(0.02), '-1', zeros(), ':, 7::2', parts(ones(), '', zeros()))",
    "parts(zeros(), '1:', ones(),)",
    "same_as('layers.0.self_attn (q)', he_normal())",
    "norms_of('v', (64, 32, 3), 0, torch_linear())",
    "slice_of('experts.w13', (8, 64, 16), ' 3 , 0:32 , : ', xavier_uniform())",
    "slice_of(region='1::1, -2::3', of='v', init=parts(ones(), '0', zeros()), shape=[64, 32])",
    "slice_of('b', 12, '', zeros())",
    "norms_of('v', [64, 32], [], normal())",
    "log_uniform(1/1000, 1e-1)",
    "inverse_softplus_log_uniform(0.001, 0.1, 1e-4)",
    "linspace(0, 1, axis=0)",
    "log_arange()",
    "sinusoid('halves', endpoint=True, padding=None)",
    "literal(2.6592)",
    "literal(((1, 0.5), [2**-3, -1]))",
    "literal(())",
    "table('-5 + 8 * (i0 / (n0 - 1)) ** 0.7')",
]

INVALID = [
    "",
    "()",
    "1",
    "he normal",
    "he_normal(",
    "he_normal)",
    "he_normal(,)",
    "he_normal() 1",
    "he_normal\n()",
    "HE_normal()",
    "he_normal(gain=1)",
    "normal(std=0.02",
    "normal(std=0.02,,)",
    "normal(std=0.02 mean=1)",
    "normal(0.02, 0.1)",
    "normal(0.02, std=0.02)",
    "normal(std=0.02, std=0.02)",
    "normal(mean=0.1, 0.02)",
    "normal(std='0.02')",
    "normal(std=True)",
    "normal(std=None)",
    "normal(std=(1,))",
    "normal(std=01)",
    "normal(std=1e)",
    "normal(std=1 2)",
    "normal(std=1.2.3)",
    "normal(std=1=2)",
    "normal(std=+inf+1)",
    "normal(std=+inf)",
    "normal(mean=--inf)",
    "normal(mean=-inf+1)",
    "normal(std=sqrt)",
    "normal(std=sqrt())",
    "normal(std=sqrt(1, 2))",
    "normal(std=sqrt(-1))",
    "normal(std=width)",
    "normal(std=1/0)",
    "normal(std=0.0**-1)",
    "normal(std=1//0)",
    "normal(std=2**0.5)",
    "normal(std=1**1025)",
    "normal(std=2**128)",
    "normal(std=2**-128)",
    "normal(std=2**127*2)",
    "normal(std=1e308*10)",
    "normal(std=1e999)",
    "normal(std=10.0**999)",
    "normal(std=1 < 2)",
    "normal(std=~1)",
    "normal(std=1j)",
    "normal(std=0.02;)",
    "normal(std=é)",
    "normal(std=0.02)\x00",
    "normal(std=0.02)\x0c",
    "normal(std=" + "0" * 1000 + ")",
    "uniform(0)",
    "uniform(low=0)",
    "uniform(0, 1, 2)",
    "truncated_normal(corrected=1)",
    "he_normal(layout=torch)",
    "he_normal(layout='torch)",
    "he_normal(layout='tor\nch')",
    "he_normal(groups=2.0)",
    "he_normal(groups=4/2)",
    "he_normal(groups=True)",
    "he_normal(groups=None)",
    "he_normal(transposed=0)",
    "he_normal(packed=(1, 2.0))",
    "he_normal(packed=((1, 2),))",
    "he_normal(in_axis=(1 2), out_axis=0)",
    "he_normal(in_axis=(,), out_axis=0)",
    "he_normal(in_axis='1', out_axis=0)",
    "he_normal(*, packed=1)",
    "he_normal(**packed)",
    "gpt2_residual()",
    "gpt2_residual(layers=12.0)",
    "normal()()",
    "normal(normal())",
    "normal(std=1)+1",
    "laplace(1)",
    "normal(normal(), mean=0)",
    "mapped(normal, 'x')",
    "mapped('normal()', 'x')",
    "mapped(normal() + 1, 'x')",
    "mapped(-normal(), 'x')",
    "mapped(normal()(1), 'x')",
    "mapped(auto(), 'x')",
    "mapped(laplace(), 'x')",
    "mapped(normal(), x)",
    "mapped(normal(), '')",
    "mapped(normal(), 'y')",
    "mapped(normal(), 'x x')",
    "mapped(normal(), 'x // 2')",
    "mapped(normal(), 'x if x else x')",
    "mapped(normal(), 'exp(x, x)')",
    "mapped(normal(), 'minimum(x)')",
    "mapped(normal(), 'tan(x)')",
    "mapped(normal(), 'i0')",
    "mapped(normal(), '1e999 * x')",
    "mapped(normal(), '2 ** (x')",
    "parts(zeros())",
    "parts(zeros(), '0:1')",
    "parts(zeros(), ones())",
    "parts(zeros(), '0', 'ones()')",
    "parts(zeros(), '0:1:2:3', ones())",
    "parts(zeros(), '::-1', ones())",
    "parts(zeros(), '::0', ones())",
    "parts(zeros(), '0,,1', ones())",
    "parts(zeros(), '...', ones())",
    "parts(zeros(), '1.5', ones())",
    "parts(zeros(), '007', ones())",
    "parts(zeros(), pairs=('0', ones()))",
    "parts(init=zeros(), '0', ones())",
    "same_as(v, normal())",
    "same_as('', normal())",
    "norms_of('v', 3.0, 0, normal())",
    "slice_of('v', (3, 4), 0, normal())",
    "slice_of('v', (3, 4), '0:', 'normal()')",
    "slice_of('v', (3, 4), '::-1', normal())",
    "slice_of('v', (3, 4), '0 1', normal())",
    "slice_of('v', (3, 4), normal())",
    "log_uniform(low=0.1)",
    "literal((1, 'a'))",
    "literal((1, None))",
    "table('x')",
    "table('i01')",
    "table('i0 / 2 % 1')",
    "table('m0')",
]

PLANS: list[dict[str, Any]] = [
    plan_form([]),
    plan_form([("b", (), "zeros()", None)], name="one"),
    plan_form(
        [
            ("wte.weight", (50257, 768), "normal(std=0.02)", None),
            ("ln.weight", (768,), "ones()", "float32"),
            ("größe/重み/🎲", (0, 3), "he_normal(packed=(1, 2))", "float8_e4m3fn"),
            ('"\\ /~', (1,), "variance_scaling(scale=0.1, mode='fan_avg')", None),
        ],
        name='a "name" with \\, é, \U0001f3b2',
        dtype="bfloat16",
        config={
            "layer_norm_epsilon": 1e-05,
            "z": None,
            "Z": True,
            "a": [1, 1.0, -0.0, 0.0, -7, 2**64, [], {}],
            "é": {"b": 0.1, "B": False},
            "\uff5e": 1,
            "\U0001f3b2": 2,
            "": "",
            "controls": "".join(map(chr, range(32))) + '"\\/\x7f\x80\uffff',
            "floats": [1e16, 9999999999999998.0, 1e-4, 9.999e-5, 1.5e300, 5e-324, 2.0**-44],
            "more": [123456789.125, 1e22, 1e23, 2.0**53, 1 / 3, 623203260495222.75, 100.0],
        },
    ),
    plan_form([("w", (2, 2), "constant(value=1e+22)", None)], config={}),
]


def value_json(value: Any) -> Any:
    if isinstance(value, float):
        return str(value) if math.isinf(value) else value.hex()
    if isinstance(value, Made):
        return {"scheme": written(*value)}
    return [value_json(item) for item in value] if isinstance(value, tuple) else value


def text_row(text: str) -> dict[str, Any]:
    name, arguments = call(text)
    return {
        "text": text,
        "scheme": name,
        "arguments": {key: value_json(value) for key, value in arguments.items()},
        "written": written(name, arguments),
    }


def invalid_row(text: str) -> dict[str, str]:
    try:
        call(text)
    except Invalid:
        return {"text": text}
    raise AssertionError(f"{text!r} is valid")


def plan_row(form: dict[str, Any]) -> dict[str, Any]:
    return {"plan": form, "json": canonical(form), "digest": digest(form)}


def files() -> dict[str, str]:
    """The text of each file, by its name."""
    texts = {
        "texts": [text_row(text) for text in TEXTS],
        "invalid": [invalid_row(text) for text in INVALID],
    }
    return {
        "texts.json": file_text(texts),
        "recipes.json": file_text({"plans": [plan_row(form) for form in PLANS]}),
    }


if __name__ == "__main__":
    for name, text in files().items():
        (HERE / name).write_text(text, encoding="ascii")
