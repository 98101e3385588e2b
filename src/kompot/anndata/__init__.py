"""The analyses on AnnData objects."""

from kompot.anndata.run_de import de

__all__ = ["de"]
