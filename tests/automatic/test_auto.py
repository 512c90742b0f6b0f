# SPDX-License-Identifier: MIT
"""`auto`: the scheme each role gets, and what a plan keeps of it; roles are in test_roles.py."""

from __future__ import annotations

import copy
import json
import math
import pickle

import numpy as np
import pytest
from click.testing import CliRunner
from model_names import EVERY_NAME, chosen, layout_of

import fastinit as fi
from fastinit import cli
from fastinit.automatic import roles
from fastinit.automatic.choice import ACTIVATIONS


def std(scheme, shape):
    """The standard deviation of the values, truncation and all."""
    return scheme.distribution(shape).std


HE = "relu relu6 leaky_relu prelu elu celu gelu gelu_new gelu_pytorch_tanh quick_gelu silu swish"
HE += " hardswish mish glu reglu geglu swiglu"
XAVIER = "linear identity tanh sigmoid softmax softsign relu2"


@pytest.mark.parametrize(
    ("names", "scheme"),
    [(HE, fi.he_normal()), (XAVIER, fi.glorot_normal()), ("selu", fi.lecun_normal())],
    ids=["he", "xavier", "lecun"],
)
def test_an_activation_has_its_family(names, scheme):
    for name in names.split():
        for tensor, shape in [("up.fc1.weight", (64, 16)), ("conv.weight", (64, 16, 3, 3))]:
            made = chosen(tensor, shape, name)
            assert made == scheme
            assert f"for {name}" in made.reason


def test_every_activation_is_tested_here():
    assert set(ACTIVATIONS) == {*HE.split(), *XAVIER.split(), "selu"}


def test_without_an_activation_it_is_xavier():
    made = chosen("fc1.weight", (64, 16))
    assert made == fi.glorot_normal()
    assert made.reason == "linear, by 'fc1': Xavier, no activation is named"


def test_a_docstring_lists_every_role_and_activation():
    for word in (*roles.AXES, *ACTIVATIONS):
        assert word in fi.auto.__doc__, word


@pytest.mark.parametrize(
    ("role", "scheme"),
    [
        ("embedding", "normal(std=0.02)"),
        ("position", "normal(std=0.02)"),
        ("head", "normal(std=0.02)"),
        ("norm", "ones()"),
        ("running_variance", "ones()"),
        ("bias", "zeros()"),
        ("running_mean", "zeros()"),
        ("recurrent", "orthogonal()"),
        ("recurrent_input", "glorot_normal()"),
        ("attention_input", "glorot_normal()"),
        ("attention_output", "glorot_normal()"),
        ("router", "glorot_normal()"),
        ("linear", "he_normal()"),
        ("residual_output", "he_normal()"),
        ("layer_scale", "constant(value=1e-05)"),
    ],
)
def test_a_role_that_is_given_has_its_scheme_whatever_the_name(role, scheme):
    made = chosen("a.b", (8, 4), "relu", role=role)
    assert str(made) == scheme
    assert made.reason.startswith(f"{role}, as given: ")
    rule = fi.auto("relu", role=role)
    assert rule.for_tensor("lm_head.weight", (8, 4)) == made
    if role != "recurrent":
        assert rule.distribution((8, 4)) == made.distribution((8, 4))


@pytest.mark.parametrize("activation", ["relu", "tanh", "selu"])
@pytest.mark.parametrize("name", ["attn.o_proj.weight", "mlp.down_proj.weight"])
def test_what_adds_to_the_residual_stream_is_divided_as_in_gpt2(name, activation):
    shape = (64, 256)
    whole = chosen(name, shape, activation)
    divided = chosen(name, shape, activation, layers=50)
    assert math.isclose(std(divided, shape), std(whole, shape) / 10, rel_tol=1e-15)
    assert type(divided.distribution(shape)) is type(whole.distribution(shape))
    assert whole.reason.endswith("undivided as layers is not given")
    assert divided.reason.endswith("over sqrt(2 * 50) as in GPT-2")


def test_layers_change_no_other_role():
    for name, shape, role in EVERY_NAME:
        if role not in ("attention_output", "residual_output", "layer_scale"):
            told = layout_of(name, shape)
            deep = chosen(name, shape, "relu", layers=7, layout=told)
            assert deep == chosen(name, shape, "relu", layout=told), name


@pytest.mark.parametrize(
    ("layers", "value"),
    [(None, 1e-5), (1, 0.1), (18, 0.1), (19, 1e-5), (24, 1e-5), (25, 1e-6), (48, 1e-6)],
)
def test_a_layer_scale_goes_by_the_depth_as_in_cait(layers, value):
    made = chosen("blocks.0.ls2.gamma", (768,), layers=layers)
    assert made == fi.constant(value)
    assert made.reason.endswith("as in CaiT")


@pytest.mark.parametrize("name", ["attn.c_attn", "attn.qkv", "self_attn.qkv_proj", "Wqkv"])
def test_a_fused_weight_has_the_scale_of_its_parts(name):
    fused = chosen(f"{name}.weight", (3 * 64, 64))
    assert fused == fi.glorot_normal(packed=3)
    assert std(fused, (192, 64)) == std(chosen("attn.q_proj.weight", (64, 64)), (64, 64))
    assert fused.reason.endswith("Xavier, 3 side by side")
    keras = chosen(f"{name}.weight", (64, 3 * 64), layout="keras")
    assert std(keras, (64, 192)) == std(fused, (192, 64))


def test_a_fused_weight_of_unequal_parts_is_taken_whole_and_says_so():
    made = chosen("attn.query_key_value.weight", (4672, 4544))
    assert made == fi.glorot_normal()
    assert made.reason.endswith("fused of unequal parts: fans of the whole")
    assert chosen("attn.kv.weight", (128, 64)) == fi.glorot_normal(packed=2)
    assert chosen("attn.kv.weight", (32, 64)) == fi.glorot_normal(packed=2)


def test_a_gate_and_up_weight_is_two_matrices_where_the_outputs_count():
    assert chosen("mlp.gate_up_proj.weight", (512, 64)) == fi.glorot_normal(packed=2)
    assert chosen("mlp.gate_up_proj.weight", (511, 64)) == fi.glorot_normal()
    assert chosen("mlp.gate_up_proj.weight", (512, 64), "silu") == fi.he_normal()


@pytest.mark.parametrize("layout", ["torch", "keras", "jax"])
@pytest.mark.parametrize("activation", ["silu", "tanh"])
@pytest.mark.parametrize("part", ["gate_up_proj", "down_proj"])
def test_a_stack_of_experts_has_the_scale_of_one(part, activation, layout):
    shape = (64, 256) if layout == "torch" else (256, 64)
    one = chosen(f"mlp.experts.3.{part}.weight", shape, activation, layers=4, layout=layout)
    stack = chosen(f"mlp.experts.{part}", (8, *shape), activation, layers=4, layout=layout)
    assert std(stack, (8, *shape)) == std(one, shape)
    assert ", 8 stacked" in stack.reason


def test_a_tensor_called_kernel_lies_as_in_keras_and_flax_unless_told():
    assert chosen("Dense_0/kernel", (16, 64), "relu") == fi.he_normal(layout="keras")
    assert chosen("Dense_0/kernel", (16, 64), "relu", layout="torch") == fi.he_normal()
    assert chosen("fc1.weight", (16, 64), "relu", layout="jax") == fi.he_normal(layout="jax")
    assert chosen("lstm_cell/recurrent_kernel", (6, 24)) == fi.orthogonal(layout="keras")


def test_an_attention_kernel_with_its_heads_apart_has_the_scale_of_one_matrix():
    query, flat = (64, 4, 32), (64, 128)
    name = "multi_head_attention/query/kernel"
    assert std(chosen(name, query), query) == std(chosen(name, flat), flat)
    name = "multi_head_attention/attention_output/kernel"
    output, flat = (4, 32, 64), (128, 64)
    divided = [std(chosen(name, shape, layers=8), shape) for shape in (output, flat)]
    assert divided[0] == divided[1]


@pytest.mark.parametrize(
    "name", ["up.conv_transpose.weight", "deconv1.weight", "conv2d_transpose/kernel"]
)
def test_a_transposed_convolution_has_its_fans_swapped(name):
    layout = "keras" if "kernel" in name else "torch"
    expected = fi.he_normal(layout=layout, transposed=True)
    assert chosen(name, (8, 4, 3, 3), "relu") == expected


def test_flaxs_transposed_convolution_has_its_fans_in_place():
    name, shape = "params/ConvTranspose_0/kernel", (3, 3, 8, 4)
    assert chosen(name, shape, "relu") == fi.he_normal(layout="jax")
    assert chosen(name, shape, "relu", layout="keras").distribution(shape) == (
        fi.he_normal(layout="keras", transposed=True).distribution(shape)
    )


def test_a_chosen_scheme_keeps_its_reason_and_shows_it_nowhere():
    made = chosen("wte.weight", (1000, 64))
    assert made.reason == "embedding, by 'wte': normal, std 0.02 as in GPT-2"
    assert str(made) == repr(made) == "normal(std=0.02)"
    assert made == fi.normal(0.02)
    assert hash(made) == hash(fi.normal(0.02))
    assert fi.normal(0.02).reason == ""
    for again in (pickle.loads(pickle.dumps(made)), copy.deepcopy(made), copy.copy(made)):
        assert again == made
        assert again.reason == made.reason


def test_a_scheme_of_its_own_is_for_every_tensor():
    made = fi.he_normal()
    assert made.for_tensor("bias", (3,)) is made


def test_the_text_form_is_as_good():
    assert fi.scheme("auto") == fi.auto()
    assert fi.scheme("auto('silu', layers=2 * 16)") == fi.auto("silu", layers=32)
    text = "auto(activation='silu', role='linear', layers=32, layout='keras')"
    assert str(fi.scheme(text)) == text
    assert fi.auto() != fi.auto("relu")


@pytest.mark.parametrize("name", ["mlp.up_proj.weight", "mlp.up_proj.bias", "norm.weight"])
def test_an_array_is_drawn_from_what_is_chosen(name):
    shape = (64, 32) if "up_proj.w" in name else (64,)
    expected = fi.array(shape, chosen(name, shape, "silu"), seed=3, name=name)
    for recipe in (fi.auto("silu"), "auto('silu')"):
        assert (fi.array(shape, recipe, seed=3, name=name) == expected).all()
    out = np.empty((8, *shape[1:]), np.float32)
    fi.fill(out, fi.auto("silu"), seed=3, name=name, shape=shape, region=np.s_[8:16])
    assert (out == expected[8:16]).all()


# --- plans -----------------------------------------------------------------------------------


def test_a_plan_holds_what_is_chosen_and_nothing_of_auto(tmp_path):
    tensor = fi.Tensor("up_proj.weight", (64, 32), fi.auto("silu"))
    assert str(tensor.scheme) == "he_normal()"
    assert tensor.scheme.reason
    assert tensor == fi.Tensor("up_proj.weight", [64, 32], "auto('silu')")
    plain = fi.Plan([fi.Tensor("up_proj.weight", (64, 32), fi.he_normal())])
    plan = fi.Plan([tensor])
    assert plan == plain
    assert plan.digest == plain.digest
    assert "auto" not in json.dumps(plan.to_json())
    row = {"name": "up_proj.weight", "shape": [64, 32], "init": "auto('silu')"}
    assert fi.Plan.from_json({"tensors": [row]}) == plan
    fi.write(plan, tmp_path / "weights", seed=1)
    assert fi.verify(tmp_path / "weights").digest == plain.digest
    assert pickle.loads(pickle.dumps(plan)).tensors[0].scheme.reason == tensor.scheme.reason


PLAN = """
[sizes]
layers = 3
[[tensor]]
name = "wte.weight"
shape = "(100, 8)"
init = "auto()"
[[tensor]]
name = "h.{i}.mlp.down_proj.weight"
repeat = "layers"
shape = "(8, 32)"
init = "auto('silu', layers=layers)"
[[tensor]]
name = "dt_bias"
shape = "(8,)"
init = "uniform(0.001, 0.1)"
"""


@pytest.fixture
def toml(tmp_path):
    path = tmp_path / "plan.toml"
    path.write_text(PLAN)
    return str(path)


def test_the_command_plan_says_why(toml):
    found = CliRunner().invoke(cli.cli, ["plan", toml])
    assert found.exit_code == 0
    header, embedding, down, own, _ = found.stdout.splitlines()
    assert header.split() == ["tensor", "shape", "dtype", "init", "tensors", "bytes", "why"]
    assert embedding.endswith("  embedding, by 'wte': normal, std 0.02 as in GPT-2")
    assert down.startswith("h.*.mlp.down_proj.weight")
    assert " 3  " in down
    assert down.endswith(
        "residual_output, by 'down proj': He, for silu, over sqrt(2 * 3) as in GPT-2"
    )
    assert own.endswith("B")


def test_the_command_plan_gathers_only_rows_of_one_reason(tmp_path):
    path = tmp_path / "plan.toml"
    entry = '[[tensor]]\nname = "h.{}.fc1.weight"\nshape = [8, 8]\ninit = "{}"\n'
    path.write_text(entry.format(0, "auto('relu')") + entry.format(1, "he_normal()"))
    lines = CliRunner().invoke(cli.cli, ["plan", str(path)]).stdout.splitlines()
    assert len(lines) == 4


def test_the_command_plan_gives_reasons_in_json(toml):
    form = json.loads(CliRunner().invoke(cli.cli, ["plan", toml, "--json"]).stdout)
    assert fi.Plan.from_json(form["plan"]) == fi.plan(toml)
    assert list(form["reasons"]) == ["wte.weight", *(f"h.{i}.mlp.down_proj.weight" for i in "012")]
    assert form["reasons"]["wte.weight"] == fi.plan(toml)["wte.weight"].scheme.reason


# --- mistakes --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"activation": "rleu"}, ValueError, "activation 'rleu' is unknown: choose from relu, .*"),
        ({"activation": "rleu"}, ValueError, "did you mean 'relu'"),
        ({"activation": ""}, ValueError, "activation '' is unknown"),
        ({"activation": ["relu"]}, ValueError, r"activation \['relu'\] is unknown"),
        ({"role": "liner"}, ValueError, "role 'liner' is unknown: choose from linear, .*'linear'"),
        ({"role": 1}, ValueError, "role 1 is unknown"),
        ({"layers": 0}, ValueError, "layers is 0: need a whole number of 1 or more"),
        ({"layers": 1.5}, TypeError, "layers is 1.5: need a whole number"),
        ({"layout": "flax"}, ValueError, "layout 'flax' is unknown: choose from torch, keras, jax"),
        ({"groups": 2}, TypeError, r"auto\(activation=None.*unexpected keyword"),
    ],
)
def test_a_wrong_argument_is_refused(arguments, error, words):
    with pytest.raises(error, match=words):
        fi.auto(**arguments)


def test_without_a_name_or_a_role_it_says_what_to_do():
    words = r"only the shape \(3, 4\) of this one is known: give role=, one of linear, .*for_tensor"
    with pytest.raises(ValueError, match=words):
        fi.auto().distribution((3, 4))


def test_a_given_role_that_does_not_fit_a_bare_shape_is_refused():
    with pytest.raises(ValueError, match=r"^shape \(2,\) has 1 axis: the role linear needs 2"):
        fi.auto(role="linear").distribution((2,))


def test_a_fused_weight_that_lies_the_other_way_round_is_refused():
    words = r"\(768, 2304\): 3 matrices lie along its inputs in layout 'torch'; give layout='keras'"
    with pytest.raises(ValueError, match=words):
        chosen("h.0.attn.qkv.weight", (768, 2304))
    with pytest.raises(ValueError, match="in layout 'jax'; give layout='torch'"):
        chosen("h.0.attn.qkv.weight", (2304, 768), layout="jax")


CONV1D = [  # transformers' GPT-2, whose weights are (in, out)
    ("h.0.attn.c_attn.weight", (768, 2304), "outputs"),
    ("h.0.crossattention.c_attn.weight", (768, 1536), "outputs"),
    ("h.0.mlp.c_fc.weight", (768, 3072), "outputs"),
    ("h.0.mlp.c_proj.weight", (3072, 768), "inputs"),
    ("mlp.gate.weight", (4096, 8), "inputs"),
]


@pytest.mark.parametrize(("name", "shape", "longer"), CONV1D)
def test_a_weight_whose_sides_are_swapped_is_refused_and_told_the_other_layout(name, shape, longer):
    words = f"in layout 'torch', where the {longer} should be no fewer; give layout='keras'"
    with pytest.raises(ValueError, match=words):
        chosen(name, shape, "gelu")
    made = chosen(name, shape, "gelu", layout="keras")
    swapped = chosen(name, shape[::-1], "gelu")
    assert std(made, shape) == std(swapped, shape[::-1])
    with pytest.raises(ValueError, match="should be no fewer; give layout='torch'"):
        chosen(name, shape[::-1], "gelu", layout="keras")
    chosen(name, (64, 64), "gelu")


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("mlp.experts.gate_up_proj", (128, 2880, 5760)),  # GPT-OSS: (experts, in, out)
        ("mlp.experts.down_proj", (128, 2880, 2880)),
        ("feed_forward.experts.gate_up_proj", (16, 5120, 16384)),  # Llama 4: the same
        ("mlp.experts.gate_up_proj", (8, 28672, 4096)),  # Mixtral: (experts, out, in)
        ("mlp.experts.linear.weight", (8, 28672, 4096)),
    ],
)
def test_a_stack_of_experts_needs_a_layout_as_its_name_cannot_tell(name, shape):
    words = "as \\(experts, out, in\\) in Mixtral .* give layout='torch' for the first or layout='k"
    for role in (None, roles.read(name, shape).role):
        with pytest.raises(ValueError, match=words):
            chosen(name, shape, "silu", role=role)
    inputs = {"torch": shape[2], "keras": shape[1]}
    for layout, fan_in in inputs.items():
        made = chosen(name, shape, "silu", layout=layout)
        assert math.isclose(std(made, shape), math.sqrt(2 / fan_in), rel_tol=1e-12)


def test_a_stack_called_kernel_has_kerass_layout():
    made = chosen("experts/up_proj/kernel", (8, 64, 256), "silu")
    assert math.isclose(std(made, (8, 64, 256)), math.sqrt(2 / 64), rel_tol=1e-12)


def test_heads_apart_in_torchs_layout_are_refused():
    words = r"attention weight of 3 axes is known only from Keras and Flax; give layout='keras'"
    with pytest.raises(ValueError, match=words):
        chosen("attn.q_proj.weight", (64, 4, 32))


def test_a_tensor_of_a_plan_that_cannot_be_told_is_named():
    with pytest.raises(ValueError, match=r"tensor 'model\.foo\.weight' of shape \(3, 4\): read"):
        fi.Tensor("model.foo.weight", (3, 4), "auto()")
    with pytest.raises(ValueError, match="shape has an axis of -1"):
        fi.auto().for_tensor("wte.weight", (3, -1))
