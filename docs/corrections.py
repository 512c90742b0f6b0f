# SPDX-License-Identifier: MIT
"""Which standard deviation does a truncated normal have that was asked for one?

    python docs/corrections.py [--samples 100_000_000] [--json FILE]

Draws the same bounds with fastinit, and with torch and jax where they are installed, and prints a
Markdown table for docs/corrections.md.  What is exact is worked out from the normal distribution
function and nothing of fastinit.  Tests of the same are in tests/schemes/test_corrections.py.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

import fastinit as fi

ASKED = 0.02
SEED = 0
CHUNK = 2**20  # torch redraws a whole tensor until no value is left to redraw: small ones are fast
INFINITY = math.inf
BOUNDS = [(-1.0, 1.0), (-2.0, 2.0), (-3.0, 3.0), (0.0, INFINITY), (3.0, 5.0), (6.0, 8.0)]
EVERYWHERE = (-INFINITY, INFINITY)
DTYPES = {"float32": np.dtype(np.float32), "bfloat16": np.dtype(ml_dtypes.bfloat16)}

Array = npt.NDArray[Any]


# ---- what is drawn ------------------------------------------------------------------------------


def sizes(count: int) -> Iterator[tuple[int, int]]:
    """(start, size) of each chunk of `count` values."""
    for start in range(0, count, CHUNK):
        yield start, min(CHUNK, count - start)


def from_fastinit(scheme: fi.Scheme, dtype: str, count: int) -> Iterator[Array]:
    """Values of a fastinit scheme; each row has a stream of its own."""
    name, out = f"{scheme} {dtype}", np.empty(CHUNK, DTYPES[dtype])
    for start, size in sizes(count):
        region = range(start, start + size)
        yield fi.fill(out[:size], scheme, seed=SEED, name=name, shape=(count,), region=region)


def fastinit_truncated(dtype: str, low: float, high: float, count: int) -> Iterator[Array]:
    """fastinit's truncated normal, corrected."""
    scheme = fi.truncated_normal(ASKED, low=low, high=high, corrected=True)
    return from_fastinit(scheme, dtype, count)


def fastinit_clipped(dtype: str, low: float, high: float, count: int) -> Iterator[Array]:
    """fastinit's clipped normal, corrected."""
    scheme = fi.clipped_normal(ASKED, low=low, high=high, corrected=True)
    return from_fastinit(scheme, dtype, count)


def fastinit_normal(dtype: str, low: float, high: float, count: int) -> Iterator[Array]:
    """fastinit's plain normal."""
    return from_fastinit(fi.normal(ASKED), dtype, count)


def torch_chunks(dtype: str, count: int, draw: Callable[[Any], object]) -> Iterator[Array]:
    """Tensors filled by `draw`, as NumPy arrays; NumPy takes bfloat16 by its bits."""
    import torch

    torch.manual_seed(SEED)
    for _, size in sizes(count):
        tensor = torch.empty(size, dtype=getattr(torch, dtype))
        draw(tensor)
        words = torch.int16 if dtype == "bfloat16" else torch.int32
        yield tensor.view(words).numpy().view(DTYPES[dtype])


def torch_truncated(dtype: str, low: float, high: float, count: int) -> Iterator[Array]:
    """torch.nn.init.trunc_normal_, whose bounds are absolute; 100 sigma stand for infinity."""
    import torch

    a, b = max(low, -100.0) * ASKED, min(high, 100.0) * ASKED
    return torch_chunks(
        dtype, count, lambda tensor: torch.nn.init.trunc_normal_(tensor, std=ASKED, a=a, b=b)
    )


def torch_normal(dtype: str, low: float, high: float, count: int) -> Iterator[Array]:
    """torch.nn.init.normal_."""
    import torch

    return torch_chunks(dtype, count, lambda tensor: torch.nn.init.normal_(tensor, std=ASKED))


def jax_chunks(dtype: str, count: int, initializer: Any) -> Iterator[Array]:
    """What a jax initializer returns for one key after another.  Its fan is 1."""
    import jax

    @jax.jit
    def draw(key: Any) -> Any:
        return initializer(key, (1, CHUNK), getattr(jax.numpy, dtype))

    key = jax.random.key(SEED)
    for start, size in sizes(count):
        yield np.asarray(draw(jax.random.fold_in(key, start // CHUNK))).reshape(-1)[:size]


def jax_truncated(dtype: str, low: float, high: float, count: int) -> Iterator[Array]:
    """jax.nn.initializers.truncated_normal."""
    from jax.nn import initializers

    made = initializers.truncated_normal(stddev=ASKED, lower=low, upper=high)
    return jax_chunks(dtype, count, made)


def jax_variance_scaling(dtype: str, low: float, high: float, count: int) -> Iterator[Array]:
    """jax.nn.initializers.variance_scaling, which truncates at 2 sigma and corrects."""
    from jax.nn import initializers

    made = initializers.variance_scaling(ASKED**2, "fan_in", "truncated_normal")
    return jax_chunks(dtype, count, made)


def jax_normal(dtype: str, low: float, high: float, count: int) -> Iterator[Array]:
    """jax.nn.initializers.normal."""
    from jax.nn import initializers

    return jax_chunks(dtype, count, initializers.normal(stddev=ASKED))


@dataclass(frozen=True)
class Sampler:
    """One row's code and the distribution that its documentation promises."""

    label: str
    package: str
    draw: Callable[[str, float, float, int], Iterator[Array]]
    kind: str  # "truncated", "clipped" or "normal"
    corrected: bool = False
    bounds: tuple[tuple[float, float], ...] = tuple(BOUNDS)


SAMPLERS = [
    Sampler("fastinit truncated", "fastinit", fastinit_truncated, "truncated", True),
    # Clipped to [6, 8], one value in 10^9 lies off the bound: no sample tells its std.
    Sampler("fastinit clipped", "fastinit", fastinit_clipped, "clipped", True, tuple(BOUNDS[:-1])),
    Sampler("torch trunc_normal_", "torch", torch_truncated, "truncated"),
    Sampler("jax truncated_normal", "jax", jax_truncated, "truncated"),
    Sampler("jax variance_scaling", "jax", jax_variance_scaling, "truncated", True, ((-2.0, 2.0),)),
    Sampler("fastinit normal", "fastinit", fastinit_normal, "normal", bounds=(EVERYWHERE,)),
    Sampler("torch normal_", "torch", torch_normal, "normal", bounds=(EVERYWHERE,)),
    Sampler("jax normal", "jax", jax_normal, "normal", bounds=(EVERYWHERE,)),
]


# ---- what is right ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Moments:
    """Mean, standard deviation and kurtosis of values with chances."""

    mean: float
    std: float
    kurtosis: float

    @classmethod
    def of(cls, values: Array, chances: Array) -> Moments:
        """The moments of `values`, each of shape (count,); the chances add up to 1."""
        mean = chances @ values
        variance = chances @ (values - mean) ** 2
        fourth = chances @ (values - mean) ** 4
        kurtosis = fourth / variance**2 if variance else math.nan
        return cls(float(mean), math.sqrt(variance), float(kurtosis))

    def std_error(self, count: int) -> float:
        """The standard error of the standard deviation of `count` values."""
        return self.std * math.sqrt((self.kurtosis - 1) / (4 * count))


def finite_numbers(dtype: str) -> Array:
    """All finite numbers of a 16-bit dtype, ascending."""
    with np.errstate(invalid="ignore"):  # signalling NaNs
        numbers = np.arange(2**16).astype(np.uint16).view(DTYPES[dtype]).astype(np.float64)
    return np.unique(numbers[np.isfinite(numbers)] + 0.0)


def exact(kind: str, low: float, high: float, sigma: float, dtype: str) -> Moments:
    """The moments of the distribution, rounded to nearest within its bounds if in bfloat16.

    float32 is so fine that 2^16 even steps over the interval stand for it.
    """
    peak = min(max(0.0, low), high)
    reach = math.sqrt(peak * peak + 100)  # the density there is e^-50 of the peak's
    if dtype == "float32":
        values = np.linspace(max(low, -reach), min(high, reach), 2**16 + 1)
    else:
        values = finite_numbers(dtype) / sigma
        values = values[(values >= low) & (values <= high)]
    edges = np.concatenate([[-INFINITY], (values[1:] + values[:-1]) / 2, [INFINITY]])
    if kind == "truncated":
        edges = np.clip(edges, low, high)
    left, right = edges[:-1], edges[1:]
    above = left > 0  # there, differences of upper tails keep their digits
    chances = ndtr(np.where(above, -left, right)) - ndtr(np.where(above, -right, left))
    return Moments.of(values * sigma, chances / chances.sum())


def spread(kind: str, low: float, high: float) -> float:
    """The standard deviation that truncating or clipping leaves of 1."""
    return exact(kind, low, high, 1.0, "float32").std


# ---- what is measured ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """One sampler's figures for one pair of bounds and one dtype; see `COLUMNS`."""

    dtype: str
    bounds: str
    label: str
    samples: int
    std: float
    exact_std: float
    from_asked: float
    from_exact: float
    mean_error: float
    distinct: int
    at_ends: float
    warned: bool


def counts_of(chunks: Iterator[Array], dtype: str, count: int) -> tuple[Array, Array]:
    """The distinct values drawn, ascending in float64, and how often each was."""
    if dtype == "bfloat16":
        counts = np.zeros(2**16, np.int64)
        for chunk in chunks:
            counts += np.bincount(chunk.view(np.uint16), minlength=2**16)
        drawn = np.flatnonzero(counts)
        values = drawn.astype(np.uint16).view(DTYPES[dtype]).astype(np.float64)
        order = np.argsort(values)
        return values[order], counts[drawn][order]
    everything = np.empty(count, np.float32)
    start = 0
    for chunk in chunks:
        everything[start : start + len(chunk)] = chunk
        start += len(chunk)
    everything.sort()
    first = np.flatnonzero(np.append(True, everything[1:] != everything[:-1]))
    return everything[first].astype(np.float64), np.diff(np.append(first, count))


def measure(sampler: Sampler, dtype: str, low: float, high: float, count: int) -> Row:
    """Draw `count` values and compare them with what they should be."""
    sigma = ASKED / spread(sampler.kind, low, high) if sampler.corrected else ASKED
    right = exact(sampler.kind, low, high, sigma, dtype)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        values, counts = counts_of(sampler.draw(dtype, low, high, count), dtype, count)
    found = Moments.of(values, counts / count)
    ends = counts[0] * math.isfinite(low) + counts[-1] * math.isfinite(high) * (len(counts) > 1)
    error = right.std_error(count)
    return Row(
        dtype=dtype,
        bounds=f"[{low:g}, {high:g}]" if sampler.kind != "normal" else "none",
        label=sampler.label,
        samples=count,
        std=found.std / ASKED,
        exact_std=right.std / ASKED,
        from_asked=(found.std - ASKED) / error,
        from_exact=(found.std - right.std) / error,
        mean_error=(found.mean - right.mean) / ASKED,
        distinct=len(values),
        at_ends=float(ends / count),
        warned=bool(caught),
    )


def installed(package: str) -> bool:
    """Whether a package can be asked."""
    if package == "fastinit":
        return True
    try:
        metadata.version(package)
    except metadata.PackageNotFoundError:
        return False
    return True


def measure_all(count: int) -> Iterator[Row]:
    """Every sampler that is installed, for all its bounds and dtypes, in the table's order."""
    for dtype in DTYPES:
        for low, high in [*BOUNDS, EVERYWHERE]:
            for sampler in SAMPLERS:
                if (low, high) in sampler.bounds and installed(sampler.package):
                    yield measure(sampler, dtype, low, high, count)


# ---- what is printed ----------------------------------------------------------------------------

COLUMNS: dict[str, Callable[[Row], str]] = {
    "bounds": lambda row: row.bounds,
    "drawn by": lambda row: row.label + (" (warns)" if row.warned else ""),
    "std / asked": lambda row: f"{row.std:.5f}",
    "exact": lambda row: f"{row.exact_std:.5f}",
    "from asked, SE": lambda row: f"{row.from_asked:+,.1f}",
    "from exact, SE": lambda row: f"{row.from_exact:+,.1f}",
    "mean error": lambda row: f"{row.mean_error:+.5f}",
    "distinct": lambda row: f"{row.distinct:,}",
    "at the ends": lambda row: f"{row.at_ends:.2e}" if row.bounds != "none" else "",
}


def table(rows: list[Row]) -> str:
    """The rows of one dtype as a Markdown table."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "|---|---|" + "--:|" * (len(COLUMNS) - 2)]
    lines += ["| " + " | ".join(show(row) for show in COLUMNS.values()) + " |" for row in rows]
    return "\n".join(lines)


def versions() -> str:
    """What the figures depend on."""
    packages = [p for p in ("numpy", "torch", "jax", "jaxlib") if installed(p)]
    named = [f"{package} {metadata.version(package)}" for package in packages]
    return ", ".join([f"fastinit {fi.__version__}", *named, f"Python {platform.python_version()}"])


def main() -> None:
    """Measure, then print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--samples", type=int, default=100_000_000, help="values in each row")
    parser.add_argument("--json", metavar="FILE", help="write the figures there, too")
    options = parser.parse_args()
    rows = list(measure_all(options.samples))
    print(f"{options.samples:,} values per row; {versions()}.")
    for dtype in DTYPES:
        print(f"\n### {dtype}\n\n{table([row for row in rows if row.dtype == dtype])}")
    if options.json:
        content = {"versions": versions(), "asked": ASKED, "rows": [asdict(row) for row in rows]}
        Path(options.json).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
