# SPDX-License-Identifier: MIT
"""Propagation: the figure of one result and of several."""

from __future__ import annotations

import sys

import pytest

torch = pytest.importorskip("torch")
nn = torch.nn
pytestmark = pytest.mark.frameworks

from watched_modules import normals  # noqa: E402

from fastinit.torch import plot_propagations, propagation  # noqa: E402


@pytest.fixture
def results():
    pytest.importorskip("matplotlib")
    net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    with torch.no_grad():
        other = nn.Sequential(*(nn.Linear(3, 3) for _ in range(60)))
    return {"he": propagation(net, normals(9, 4)), "deep": propagation(other, normals(9, 3))}


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_a_figure_is_drawn(results, tmp_path, ending):
    results["he"].plot(tmp_path / f"one.{ending}")
    plot_propagations(results, str(tmp_path / f"all.{ending}"))
    start = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[ending]
    for name in ("one", "all"):
        assert (tmp_path / f"{name}.{ending}").read_bytes().startswith(start)


def test_a_figure_says_what_it_shows(results, tmp_path):
    import matplotlib

    with matplotlib.rc_context({"svg.fonttype": "none"}):
        plot_propagations(results, tmp_path / "all.svg")
        results["he"].plot(tmp_path / "one.svg")
    both, one = (tmp_path / "all.svg").read_text(), (tmp_path / "one.svg").read_text()
    assert ">he<" in both
    assert ">deep<" in both
    assert "number of the layer, in order of execution" in both
    assert "layer, in order of execution" in one
    assert "variance of the gradients" in one


def test_a_figure_leaves_no_setting_changed(results, tmp_path):
    import matplotlib

    before = matplotlib.rcParams.copy()
    results["he"].plot(tmp_path / "one.png")
    assert matplotlib.rcParams.copy() == before


def test_mistakes_of_a_figure(results, tmp_path, monkeypatch):
    with pytest.raises(TypeError, match=r"results is .*: need a mapping from what the legend says"):
        plot_propagations(results["he"], tmp_path / "no.png")
    with pytest.raises(ValueError, match="results is empty: pass at least one"):
        plot_propagations({}, tmp_path / "no.png")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match="a figure needs matplotlib: pip install matplotlib"):
        plot_propagations(results, tmp_path / "no.png")
    assert not list(tmp_path.iterdir())
