"""Whether null distances can tell what chance gives.

The distance of a gene that is constant over the cells compared, because it is expressed in none of them for example, is
0 (or as good as 0, where it is constant at another value): in itself no error, among the genes observed as little as
among the null genes, which are drawn from all genes. Where constant genes are as frequent in both, they cancel in
`f0 / f`. With a share `s0` of constant null genes and a smaller share `s` of those observed, the null density at the
other distances is too small by `(1 - s0) / (1 - s)`, and so are the rates; with `s0 = 1` every gene is called.
"""

from __future__ import annotations

import numpy as np

from kompot._typing import Bools, Float64
from kompot.errors import NullDistributionWarning, warn

# Rates that are too small by less than a fifth are within what kernel estimates of densities leave open.
_NOTABLE = 1.25
_DEVIATIONS = 3.0


def check_null_distances(
    null: Float64, observed: Float64, constant: Bools | None = None, observed_constant: Bools | None = None
) -> None:
    """Raise if all null genes are constant; warn if too many are, or if all distances are the same.

    Parameters
    ----------
    null
        Distances of the null genes, n_null.
    observed
        Distances of the genes, n_genes; NaN where there is none.
    constant
        Which null genes are constant over the cells compared, n_null; None for those at distance 0.
    observed_constant
        The same of the genes, n_genes.
    """
    known = ~np.isnan(observed)
    zero = null == 0 if constant is None else constant
    among = (observed == 0 if observed_constant is None else observed_constant)[known]
    if not known.any() or among.all():
        return
    what = "at distance 0" if constant is None else "constant over the cells compared (expressed in none, for example)"
    if zero.all():
        raise ValueError(
            f"All {len(null)} null genes are {what}, so every gene that varies would be called differential. {_ADVICE}"
        )
    _warn_of_one_distance(null, observed[known])
    factor = (1.0 - among.mean()) / (1.0 - zero.mean())
    excess = zero.sum() - len(zero) * among.mean()
    chance = np.sqrt(len(zero) * max(among.mean() * (1.0 - among.mean()), 1.0 / len(zero)))
    if factor > _NOTABLE and excess > _DEVIATIONS * chance:
        warn(
            f"{zero.sum()} of {len(zero)} null genes are {what}, but {among.sum()} of the {len(among)} genes tested. "
            f"False discovery rates are too small by a factor of about {factor:.2g}, and too many genes are called. "
            f"{_ADVICE}",
            NullDistributionWarning,
        )


_ADVICE = (
    "Remove constant genes from the object, from all genes of which null genes are drawn, or give null genes that vary "
    "as those tested do."
)


def _warn_of_one_distance(null: Float64, observed: Float64) -> None:
    beyond = int((observed > null.max()).sum())
    if len(null) > 1 and null.min() == null.max() and beyond:
        warn(
            f"All {len(null)} null distances are {null[0]:g}, which is no distribution: the {beyond} of "
            f"{len(observed)} genes beyond it are called differential for that. Give distances of more null genes.",
            NullDistributionWarning,
        )
