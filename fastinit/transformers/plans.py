# SPDX-License-Identifier: MIT
"""`plan`: the checkpoint that a new model of a configuration would be saved as."""

from __future__ import annotations

from typing import Any, Literal, get_args

from fastinit.errors import ModuleError
from fastinit.plans import Plan
from fastinit.plans.rules import Rows, Rules
from fastinit.texts import problem_lines, quoted
from fastinit.transformers.configs import as_json
from fastinit.transformers.dummy import dummy_plan
from fastinit.transformers.files import Problems, in_file, in_module
from fastinit.transformers.recording import recorded

Names = Literal["hub", "module"]

_INSTEAD = "Give them a scheme by rules, on the command line --rules, or change the lines above."


def plan(
    config: Any,
    *,
    architecture: Any = None,
    names: Names = "hub",
    dtype: Any = None,
    dummy: bool = False,
    rules: Rules | Rows | None = None,
    trust_remote_code: bool = False,
) -> Plan:
    """The plan of the checkpoint that ``from_config(config).save_pretrained(folder)`` would write.

    Names, shapes, dtypes, ties and distributions are those of transformers; nothing is allocated,
    whatever the size.  The values of the tensors are those of `from_config` with the same seed.
    Each scheme's ``reason`` says which lines of the model's code it comes from.

    A quantisation that the configuration asks for is left out: the weights are plain numbers.
    Buffers of integers, such as ``num_batches_tracked``, are not in it: plans have none.

    With `dummy`, the plan is of a checkpoint for load tests, which an inference engine loads in
    place of a download: right names, shapes and dtypes, and values that keep a forward pass finite.
    A tensor whose initialisation cannot be made, which is an error otherwise, is drawn from a
    normal distribution of std 0.02.  In float8, the linear layers that transformers quantises have
    weights of float8_e4m3fn, and beside each ``weight_scale_inv``, one float32 scale a block.
    Weights are drawn with the model's std times a power of two, so that they use the range of the
    dtype, and the scales are its inverse.

    Args:
        config, architecture, trust_remote_code: as for `from_config`.
        names: "hub" for the names that ``save_pretrained`` writes, in which for some models each
            expert is a tensor of its own; "module" for those of ``model.state_dict()``.
        dtype: of the weights, as for `from_config`.  Of a dummy: "float8_e4m3fn", or a dtype for
            all weights; by default float8 if the configuration's ``quantization_config`` is of the
            method "fp8", else bfloat16.
        dummy: whether the values serve load tests alone; names are those of the hub then.
        rules: patterns of names of the plan with schemes, which decide before the model's code.

    Raises:
        Those of `from_config`.  Also PlanError for a dummy whose quantisation has scales or weights
            of types that fastinit does not draw, or whose model transformers does not quantise.

    >>> import transformers
    >>> import fastinit.transformers as fh
    >>> found = fh.plan(transformers.LlamaConfig(num_hidden_layers=2), architecture="causal-lm")
    >>> found.parameters, found["model.norm.weight"].scheme
    (666914816, ones())
    >>> config = transformers.LlamaConfig(num_hidden_layers=2)
    >>> found = fh.plan(config, architecture="causal-lm", dummy=True, dtype="float8_e4m3fn")
    >>> name = "model.layers.0.mlp.up_proj.weight"
    >>> found[name].dtype, found[name + "_scale_inv"].shape
    ('float8_e4m3fn', (86, 32))
    """
    if names not in get_args(Names):
        raise ValueError(f"names is {quoted(names)}: choose 'hub' or 'module'")
    if dummy:
        if names != "hub":
            raise ValueError("a dummy has the names of the hub: leave out names='module'")
        return _ruled(dummy_plan(config, architecture, dtype, trust_remote_code), {}, rules)
    model = recorded(
        config, architecture=architecture, dtype=dtype, trust_remote_code=trust_remote_code
    )
    if names == "hub":
        rows, problems = in_file(model)
        tensors = [tensor for tensor, _ in rows]
    else:
        tensors, problems = in_module(model)
    found = Plan(tensors, type(model).__name__, config=as_json(model))
    return _ruled(found, problems, rules)


def _ruled(plan: Plan, substitutes: Problems, rules: Rules | Rows | None) -> Plan:
    """The plan with rules on top, which must decide all substitutes."""
    ruled = plan if rules is None else plan.with_rules(rules, keep_unmatched=True)
    left = {
        new.name: substitutes[new.name]
        for new, old in zip(ruled, plan, strict=True)
        if new is old and new.name in substitutes
    }
    if left:
        raise ModuleError("\n".join(["a plan cannot hold", *problem_lines(left), _INSTEAD]), left)
    return ruled
