"""Run records under the path that users were promised: `kompot.anndata.utils.RunInfo`."""

from kompot.anndata.history import get_run_history
from kompot.anndata.layers import layer_names
from kompot.anndata.run_comparison import RunComparison
from kompot.anndata.run_info import RunInfo

__all__ = ["RunComparison", "RunInfo", "get_run_history", "layer_names"]
