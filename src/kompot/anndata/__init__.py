"""The analyses on AnnData objects."""

from kompot.anndata.de import de

__all__ = ["de"]
