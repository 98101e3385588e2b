"""The coordinates of the cell states, from `adata.obsm`."""

from __future__ import annotations

from anndata import AnnData

from kompot import _checks as check
from kompot._typing import Float64
from kompot.anndata.lazy import table_in_memory

_DIFFUSION_KEY = "DM_EigenVectors"


def cell_states(adata: AnnData, obsm_key: str) -> Float64:
    """Coordinates of all cells.

    Parameters
    ----------
    adata
        The object.
    obsm_key
        Key in `adata.obsm`.

    Returns
    -------
    Float64
        n_cells x n_dims, finite.
    """
    check.text("obsm_key", obsm_key, "the name of an entry of adata.obsm")
    if obsm_key not in adata.obsm:
        raise ValueError(_missing_embedding(adata, obsm_key))
    value = adata.obsm[obsm_key]
    if hasattr(value, "columns"):
        value = table_in_memory(value).to_numpy()
    if hasattr(value, "compute"):
        value = value.compute()
    if check.is_sparse(value):
        value = value.toarray()
    return check.coordinates(f"adata.obsm[{obsm_key!r}]", value, some=True)


def _missing_embedding(adata: AnnData, obsm_key: str) -> str:
    keys = list(adata.obsm.keys())
    message = (
        f"adata.obsm has no {check.brief(obsm_key)}, the coordinates of the cell states."
        f"{check.nearest(obsm_key, keys)} There is: {check.listed(keys)}."
    )
    if obsm_key == _DIFFUSION_KEY:
        message += (
            " Diffusion components can be computed with palantir.utils.run_diffusion_maps(adata) or scanpy.tl.diffmap "
            "(stored as 'X_diffmap'); or pass another embedding, for example obsm_key='X_pca'."
        )
    return message
