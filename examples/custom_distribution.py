# SPDX-License-Identifier: MIT
"""A distribution of your own: one short function, and everything in fastinit takes it as a scheme.

    python examples/custom_distribution.py

It needs numba and scipy.  fastinit has no Gumbel distribution; here it is, by its quantile
function.  The test of Kolmogorov and Smirnov compares the values with SciPy's distribution.
"""

from __future__ import annotations

import numpy as np
from scipy import stats

import fastinit as fi
import fastinit.numba as fn


@fn.distribution
def gumbel(u, scale=1.0):
    """From a uniform number between 0 and 1 to a value; minus_log has the same bits everywhere."""
    return fn.minus_log(fn.minus_log(u)) * scale


if __name__ == "__main__":
    scheme = gumbel(scale=0.5)
    exact = stats.gumbel_r(scale=0.5)
    values = fi.array((1000, 1000), scheme, seed=0, name="w")
    print(f"std {values.std():.4f}, {exact.std():.4f} expected; portable: {gumbel.portable}")
    found = stats.kstest(values.ravel(), exact.cdf)
    print(f"Kolmogorov-Smirnov: distance {found.statistic:.5f}, p = {found.pvalue:.3f}")

    rows = np.empty((10, 1000), np.float32)
    fi.fill(rows, scheme, seed=0, name="w", shape=(1000, 1000), region=np.s_[500:510, :])
    print("rows 500 to 509 alone are equal:", bool((rows == values[500:510]).all()))
