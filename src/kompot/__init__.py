"""Cluster-free comparison of two conditions in single-cell data."""

from kompot import anndata, datasets
from kompot._version import __version__
from kompot.anndata import (
    RepresentationReport,
    ResourcePlan,
    RunComparison,
    RunInfo,
    check_underrepresentation,
    cleanup,
    compute_fdr,
    da,
    de,
    extract_null_distribution,
    get_field_status,
    recompute_fdr,
    runs,
    smooth_expression,
    update_direction,
)
from kompot.differential import (
    DifferentialAbundance,
    DifferentialExpression,
    ExpressionModel,
    SampleVarianceEstimator,
    SampleVariancePredictor,
)
from kompot.gp.density_estimator import DensityEstimator, DensityPredictor
from kompot.gp.function_estimator import FunctionEstimator
from kompot.gp.predictor import Predictor
from kompot.settings import (
    DAThresholdSettings,
    FDRSettings,
    FilterSettings,
    GPSettings,
    ModelSettings,
    OutputSettings,
    StorageSettings,
)

__all__ = [
    "DAThresholdSettings",
    "DensityEstimator",
    "DensityPredictor",
    "DifferentialAbundance",
    "DifferentialExpression",
    "ExpressionModel",
    "FDRSettings",
    "FilterSettings",
    "FunctionEstimator",
    "GPSettings",
    "ModelSettings",
    "OutputSettings",
    "Predictor",
    "RepresentationReport",
    "ResourcePlan",
    "RunComparison",
    "RunInfo",
    "SampleVarianceEstimator",
    "SampleVariancePredictor",
    "StorageSettings",
    "__version__",
    "anndata",
    "check_underrepresentation",
    "cleanup",
    "compute_fdr",
    "da",
    "datasets",
    "de",
    "extract_null_distribution",
    "get_field_status",
    "recompute_fdr",
    "runs",
    "smooth_expression",
    "update_direction",
]
