"""The analyses on AnnData objects."""

from kompot.anndata.run_da import da
from kompot.anndata.run_de import de
from kompot.anndata.run_smooth import smooth_expression

__all__ = ["da", "de", "smooth_expression"]
