"""Posterior tail probabilities in log space, where the ordinary ones would be zero."""

import numpy as np
from scipy import special

from kompot._typing import Float64

# Below, the upper incomplete gamma function is still well inside the range of double precision.
_SMALLEST = 1e-250


def chi2_log_survival(squared: Float64, df: float) -> Float64:
    """Natural logarithm of the upper tail of the chi-squared distribution, exact far into the tail.

    `log Q(a, x)` with `a = df/2` and `x = squared/2`. Where Q underflows, from Tricomi's function U:
    `Q(a, x) Gamma(a) = x^a e^-x U(1, 1 + a, x)` (NIST *Digital Library of Mathematical Functions*, equation 8.5.3).

    Parameters
    ----------
    squared
        Squared distances, any shape, non-negative.
    df
        Degrees of freedom.

    Returns
    -------
    Float64
        Of the same shape, at most 0.

    Examples
    --------
    >>> import numpy as np
    >>> chi2_log_survival(np.array([2.0, 4000.0]), df=2).round(6).tolist()  # exactly -squared / 2
    [-1.0, -2000.0]
    """
    a, x = 0.5 * df, 0.5 * np.asarray(squared, dtype=np.float64)
    tail = special.gammaincc(a, x)
    deep = tail < _SMALLEST
    log_tail = np.log(np.where(deep, 1.0, tail))
    far = np.where(deep, x, 1.0)
    log_deep = a * np.log(far) - far + np.log(special.hyperu(1.0, 1.0 + a, far)) - special.gammaln(a)
    log_survival: Float64 = np.where(deep, log_deep, log_tail)
    return log_survival


def neg_log10_tail_probability(distances: Float64, n_dims: int) -> Float64:
    """`-log10` of the probability that a fold change as far from zero arises by chance.

    Parameters
    ----------
    distances
        Mahalanobis distances, n_genes; NaN stays NaN.
    n_dims
        Dimensions of the cell states, the degrees of freedom of the chi-squared distribution of `distances²`.

    Returns
    -------
    Float64
        n_genes, non-negative.

    Examples
    --------
    >>> import numpy as np
    >>> neg_log10_tail_probability(np.array([0.0]), n_dims=10)
    array([0.])
    """
    log10_tail: Float64 = chi2_log_survival(distances**2, n_dims) / np.log(10.0)
    return 0.0 - log10_tail
