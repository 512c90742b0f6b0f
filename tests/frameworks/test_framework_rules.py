# SPDX-License-Identifier: MIT
"""Rules of depth, width, activation and adaptation: their packages beside docs/frameworks.md.

Each test builds modules of the original and compares their tensors with the schemes in the page's
rows (originals.py says how).  mup is compared to the bit in test_width_schemes.py, too.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from framework_page import rule
from intercepts import torch_draws
from mup_scales import MUP
from originals import SEED, assert_rows, assert_starts_as, built, drawn, named, original

import fastinit as fi

pytestmark = pytest.mark.frameworks

D, FF, HEADS = 128, 256, 4

# --- torchscale ------------------------------------------------------------------------------

N, M = 6, 4
SIZES = {
    **{f"{part}_embed_dim": D for part in ("encoder", "decoder")},
    **{f"{part}_ffn_embed_dim": FF for part in ("encoder", "decoder")},
    **{f"{part}_attention_heads": HEADS for part in ("encoder", "decoder")},
    "vocab_size": -1,
}


def stack(torch, part, both, **given):
    """An encoder or a decoder of torchscale, alone or of a model of both."""
    config = original("torchscale", "torchscale.architecture.config")
    module = original("torchscale", f"torchscale.architecture.{part}")
    title = part.title()
    sizes = SIZES | given | {"encoder_layers": N, "decoder_layers": M}
    args = getattr(config, f"{title}Config")(**sizes)
    args.encoder_layers, args.decoder_layers = N, M
    more = {"is_encoder_decoder": both}
    return built(torch, lambda: getattr(module, title)(args, **more))


def scaled(model, *, cross=False):
    """The weights that DeepNorm and sub-LN speak of, and query and key, in one layer."""
    layer = model.layers[1]
    weights = [name for name, _ in layer.named_parameters() if name.endswith("weight")]
    picked = [name for name in weights if cross or "encoder_attn" not in name]
    ends = ("v_proj.weight", "out_proj.weight", "fc1.weight", "fc2.weight")
    narrow = [layer.get_parameter(name) for name in picked if name.endswith(ends)]
    plain = ("q_proj.weight", "k_proj.weight")
    return narrow, [layer.get_parameter(name) for name in weights if name.endswith(plain)]


def paper(scheme, base):
    """A scheme's factor on `base`."""
    return scheme.distribution((D, D)).std / base.distribution((D, D)).std


BOTH = {"encoder_layers": N, "decoder_layers": M}
DEEPNORM = [
    ("encoder", False, fi.schemes.deepnorm(encoder_layers=N), 1.0),
    ("decoder", False, fi.schemes.deepnorm(decoder_layers=M), 1.0),
    ("encoder", True, fi.schemes.deepnorm(**BOTH, part="encoder"), 1.15 / 0.87),
    ("decoder", True, fi.schemes.deepnorm(**BOTH, part="decoder"), 1.0),
]


@pytest.mark.parametrize(("part", "both", "scheme", "wider"), DEEPNORM)
def test_torchscales_deepnorm_multiplies_torchs_linear_layers(torch, part, both, scheme, wider):
    """By the paper's beta, but before a decoder; the biases as well."""
    model = stack(torch, part, both, deepnorm=True)
    beta = wider * paper(scheme, fi.xavier_normal())
    narrow, plain = scaled(model, cross=True)
    rows = {"v_proj, out_proj, fc1, fc2": narrow, "q_proj, k_proj": plain}
    assert_rows("torchscale DeepNorm", rows, beta=beta)
    bias = model.layers[0].ffn.fc1.bias
    bound = beta * fi.schemes.torch_bias(fan_in=D).distribution((FF,)).high
    assert_starts_as(bias, fi.uniform(-bound, bound))


def test_torchscales_beta_before_a_decoder_is_the_rows(torch):
    """The figure of the row's last column."""
    beta = 1.15 * (N**4 * M) ** (-1 / 16)
    assert beta == pytest.approx(1.15 / 0.87 * paper(DEEPNORM[2][2], fi.xavier_normal()), rel=1e-15)
    assert round(beta, 4) == 0.6738


SUB_LN = [
    ("encoder", False, fi.schemes.sub_ln(encoder_layers=N)),
    ("decoder", False, fi.schemes.sub_ln(decoder_layers=M)),
    ("encoder", True, fi.schemes.sub_ln(**BOTH, part="encoder")),
    ("decoder", True, fi.schemes.sub_ln(**BOTH, part="decoder")),
]


@pytest.mark.parametrize(("part", "both", "scheme"), SUB_LN)
def test_torchscales_sub_ln_multiplies_torchs_linear_layers(torch, part, both, scheme):
    """By the paper's gamma; cross-attention is left as it is."""
    model = stack(torch, part, both, subln=True)
    narrow, plain = scaled(model)
    gamma = paper(scheme, fi.xavier_normal())
    rows = {"v_proj, out_proj, fc1, fc2": narrow, "q_proj, k_proj": plain}
    assert_rows("torchscale sub-LN", rows, gamma=gamma)
    if both and part == "decoder":
        plain = {"q_proj, k_proj": named(model.layers[1].encoder_attn, "proj.weight")}
        assert_rows("torchscale sub-LN", plain)


def test_fairseqs_attention_and_embedding_as_torchscale_has_them(torch):
    """fairseq itself does not install beside this PyTorch; torchscale took over these methods."""
    config = original("torchscale", "torchscale.architecture.config")
    module = original("torchscale", "torchscale.component.multihead_attention")
    attention = module.MultiheadAttention(config.EncoderConfig(), D, HEADS, self_attention=True)
    torch.manual_seed(SEED)
    attention.reset_parameters()
    rows = {"q, k, v": named(attention, "q_proj.w", "k_proj.w", "v_proj.w")}
    assert_rows("fairseq", {**rows, "out_proj": [attention.out_proj.weight]})
    embedding = original("torchscale", "torchscale.component.embedding").TextEmbedding
    table = built(torch, lambda: embedding(300, D, padding_idx=1)).weight
    assert not table[1].any()
    scheme = rule("fairseq")["embedding"].scheme(d=D, pad=1)
    ours = fi.array((300, D), scheme, seed=SEED, name="w")
    assert not ours[1].any()
    assert ours[2:].std() == pytest.approx(float(table[2:].detach().std()), rel=0.05)
    assert_starts_as(table[2:], fi.normal(1 / math.sqrt(D)))


# --- width -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mup():
    return original("mup", "mup")


def widened(torch, mup, width, base):
    """A perceptron of mup's, its base shapes set, as every user sets them."""

    def make(width):
        return torch.nn.Sequential(
            torch.nn.Linear(16, width), torch.nn.Linear(width, width), mup.MuReadout(width, 100)
        )

    torch.manual_seed(SEED)
    return mup.set_base_shapes(make(width), make(base), delta=make(2 * base))


def test_mups_initialisers(torch, mup):
    hidden = widened(torch, mup, 256, 64)[1].weight
    std, bound, gain, slope = 0.02, 0.05, 1.25, 0.1
    calls = {
        "normal_": (mup.init.normal_, {"std": std}),
        "uniform_(-bound, bound)": (mup.init.uniform_, {"a": -bound, "b": bound}),
        "trunc_normal_(a=-2, b=2)": (mup.init.trunc_normal_, {"std": std, "a": -2, "b": 2}),
        "xavier_uniform_": (mup.init.xavier_uniform_, {"gain": gain}),
        "xavier_normal_": (mup.init.xavier_normal_, {"gain": gain}),
        "kaiming_uniform_": (mup.init.kaiming_uniform_, {"a": slope}),
        "kaiming_normal_": (mup.init.kaiming_normal_, {"a": slope}),
    }
    for name, (init, given) in calls.items():
        torch.manual_seed(SEED)
        with torch.no_grad():
            init(hidden, **given)
        rows = {f"{name} of hidden weights": [hidden]}
        assert_rows("mup", rows, std=std, bound=bound, gain=gain, a=slope, base_in=64, base_out=64)


@pytest.mark.parametrize(("shapes", "xavier", "fan_in", "fan_out"), MUP)
def test_mup_asks_torch_for_the_numbers_of_our_tables(torch, mup, shapes, xavier, fan_in, fan_out):
    """So the literals there are still the package's, to one rounding."""
    tensor = torch.empty(shapes[0])
    tensor.infshape = mup.infshape.zip_infshape(shapes[1], shapes[0])
    for name, given, numbers in [
        ("xavier", {"gain": 1.5}, xavier),
        ("kaiming", {"a": 0.1}, fan_in),
        ("kaiming", {"a": 0.1, "mode": "fan_out"}, fan_out),
    ]:
        for kind, number in zip(("normal", "uniform"), numbers, strict=True):
            with torch_draws(torch) as draws:
                getattr(mup.init, f"{name}_{kind}_")(tensor, **given)
            ((_, asked),) = draws
            assert asked[0] == kind
            assert asked[2] == pytest.approx(number, rel=2.3e-16, abs=0)


def test_mups_layers_after_set_base_shapes(torch, mup):
    model = widened(torch, mup, 256, 64)
    _, hidden, readout = model
    rows = {
        "hidden Linear that mup does not draw again, weight": [hidden.weight],
        "hidden Linear that mup does not draw again, bias": [hidden.bias],
        "MuReadout": [readout.weight],
    }
    assert_rows("mup", rows, m=4, base_in=64)


def test_mups_shared_readout_multiplies_the_embedding_it_shares(torch, mup):
    def make(width):
        table = torch.nn.Embedding(300, width)
        return torch.nn.Sequential(table, mup.MuSharedReadout(table.weight, bias=False))

    torch.manual_seed(SEED)
    model = mup.set_base_shapes(make(128), make(32), delta=make(64))
    assert_rows("mup", {"MuSharedReadout, the embedding it shares": [model[0].weight]}, std=1, m=4)


def test_modulas_linear_layer_is_orthogonal_and_scaled_in_the_forward_pass(torch):
    atom = original("modula", "modula.atom")
    layer = atom.Linear(64, 96)
    torch.manual_seed(SEED)
    weight = layer.initialize("cpu")
    assert_rows("modula", {"linear layers": [weight[0]]})
    assert layer.scale == math.sqrt(64 / 96)
    out = layer.forward(torch.eye(96), weight).detach().numpy().T
    gain = rule("modula-systems")["linear layers"].scheme(fan_in=96, fan_out=64)
    np.testing.assert_allclose(out @ out.T, 64 / 96 * np.eye(64), atol=1e-5)
    assert gain == fi.orthogonal(math.sqrt(64 / 96))


def test_unit_scalings_weights_have_unit_variance(torch):
    unit = original("unit-scaling", "unit_scaling")
    layers = built(torch, lambda: [unit.Linear(D, FF), unit.Embedding(300, D)])
    assert_rows("u-muP", {"all weights": [layer.weight for layer in layers]})


# --- others ----------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(64, 64), (32, 96), (96, 32), (100, 7), (5, 2)])
def test_zero_init_makes_our_zero_hadamard(torch, shape):
    zero = original("zero-init", "zero_init")
    theirs = zero.ZerO_Init_Linear(torch.empty(shape))
    scheme = rule("ZerO")["linear layers, convolutions"].scheme()
    ours = fi.array(shape, scheme, seed=0, name="w")
    np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-6, atol=1e-7)
    assert len(np.unique(ours)) == 2


def test_a_siren(torch):
    siren = original("siren-pytorch", "siren_pytorch").Siren
    torch.manual_seed(SEED)
    first, other = siren(40, FF, w0=30.0, is_first=True), siren(D, FF, w0=30.0)
    rows = {"first layer": [first.weight], "other layers": [other.weight]}
    assert_rows("SIREN", rows)
    assert_starts_as(other.bias, fi.uniform(-math.sqrt(6 / D) / 30, math.sqrt(6 / D) / 30))


def test_lora_of_peft(torch):
    peft = original("peft", "peft")

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.linear, self.embed = torch.nn.Linear(FF, D), torch.nn.Embedding(300, D)

    def adapted(**given):
        config = peft.LoraConfig(r=16, target_modules=["linear", "embed"], **given)
        return built(torch, lambda: peft.get_peft_model(Model(), config))

    model = adapted()
    rows = {
        "A": named(model, "lora_A"),
        "B": named(model, "lora_B"),
        "A of an embedding": named(model, "lora_embedding_A"),
        "B of an embedding": named(model, "lora_embedding_B"),
    }
    assert_rows("LoRA", rows)
    gaussian = named(adapted(init_lora_weights="gaussian"), "lora_A")
    row = 'A with init_lora_weights="gaussian" (peft)'
    assert_rows("LoRA", {row: gaussian}, rank=16)


def test_lora_of_loralib(torch):
    loralib = original("loralib", "loralib")
    torch.manual_seed(SEED)
    linear, table = loralib.Linear(FF, D, r=16), loralib.Embedding(300, D, r=16)
    rows = {
        "A": [linear.lora_A],
        "B": [linear.lora_B],
        "A of an embedding": [table.lora_A],
        "B of an embedding": [table.lora_B],
    }
    assert_rows("LoRA", rows)


def test_ppo_of_stable_baselines(torch):
    policies = original("stable-baselines3", "stable_baselines3.common.policies")
    spaces = pytest.importorskip("gymnasium.spaces")
    observations, actions = spaces.Box(-1, 1, (48,)), spaces.Discrete(6)
    policy = built(
        torch, lambda: policies.ActorCriticPolicy(observations, actions, lambda progress: 1e-3)
    )
    layers = [*policy.mlp_extractor.policy_net, *policy.mlp_extractor.value_net]
    linear = [layer for layer in layers if hasattr(layer, "weight")]
    assert len(linear) == 4
    heads = [policy.action_net, policy.value_net]
    rows = {
        "hidden layers": [layer.weight for layer in linear],
        "policy head": [policy.action_net.weight],
        "value head": [policy.value_net.weight],
        "biases": [layer.bias for layer in [*linear, *heads]],
    }
    assert_rows("PPO", rows)


def test_ppo_in_the_lines_that_single_file_implementations_share(torch):
    """cleanrl is not on the package index in a version that runs: this is its rule in two lines."""

    def layer_init(layer, gain):
        torch.nn.init.orthogonal_(layer.weight, gain)
        torch.nn.init.constant_(layer.bias, 0.0)
        return layer

    torch.manual_seed(SEED)
    for row, gain, sizes in [
        ("hidden layers", np.sqrt(2), (48, 64)),
        ("policy head", 0.01, (64, 6)),
        ("value head", 1.0, (64, 1)),
    ]:
        layer = layer_init(torch.nn.Linear(*sizes), gain)
        assert_rows("PPO", {row: [layer.weight], "biases": [layer.bias]})


def test_pyg(torch):
    nn = original("torch-geometric", "torch_geometric.nn")
    torch.manual_seed(SEED)
    gat, gcn = nn.GATConv(D, 64, heads=HEADS), nn.GCNConv(D, D)
    rows = {
        "linear layers of GCN, GAT": [gat.lin.weight, gcn.lin.weight],
        "att_src, att_dst of GAT, (1, heads, head)": [gat.att_src, gat.att_dst],
    }
    assert gat.att_src.shape == (1, HEADS, 64)
    assert_rows("PyG", rows)


def test_word2vec_of_gensim():
    word2vec = original("gensim", "gensim.models.word2vec")
    words = [[f"w{number}" for number in range(300)]] * 2
    model = word2vec.Word2Vec(vector_size=64, min_count=1, seed=SEED, workers=1)
    model.build_vocab(words)
    rows = {"vectors": [model.wv.vectors], "syn1neg": [model.syn1neg]}
    assert_rows("word2vec", rows, d=64)


def test_dlrms_table_in_the_line_of_its_rule(torch):
    """torchrec needs CUDA libraries; it passes these bounds to `uniform_`."""
    bound = math.sqrt(1 / 300)
    table = drawn(torch, lambda tensor: torch.nn.init.uniform_(tensor, -bound, bound), (300, 64))
    assert_rows("DLRM", {"embedding tables": [table]}, rows=300)
