"""The layers of an object. From version 0.13 on, AnnData lists X among them, under the key None."""

from __future__ import annotations

from anndata import AnnData


def layer_names(adata: AnnData) -> list[str]:
    """Names of the layers, in order, without X.

    Parameters
    ----------
    adata
        In memory, backed or lazy.

    Returns
    -------
    list[str]
        May be empty.

    Examples
    --------
    >>> import kompot
    >>> layer_names(kompot.datasets.simulate(n_cells=200, n_genes=20, seed=1))
    ['counts']
    """
    return [name for name in adata.layers if name is not None]
