"""The analyses on AnnData objects, and what can be done with their records."""

from kompot.anndata import utils
from kompot.anndata.planning.resource_plan import ResourcePlan
from kompot.anndata.representation_report import RepresentationReport, check_underrepresentation
from kompot.anndata.run_cleanup import cleanup, get_field_status
from kompot.anndata.run_comparison import RunComparison
from kompot.anndata.run_da import da
from kompot.anndata.run_de import de
from kompot.anndata.run_info import RunInfo
from kompot.anndata.run_list import runs
from kompot.anndata.run_smooth import smooth_expression
from kompot.anndata.stored_direction import update_direction
from kompot.anndata.stored_fdr import compute_fdr, extract_null_distribution, recompute_fdr

__all__ = [
    "RepresentationReport",
    "ResourcePlan",
    "RunComparison",
    "RunInfo",
    "check_underrepresentation",
    "cleanup",
    "compute_fdr",
    "da",
    "de",
    "extract_null_distribution",
    "get_field_status",
    "recompute_fdr",
    "runs",
    "smooth_expression",
    "update_direction",
    "utils",
]
