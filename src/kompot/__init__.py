"""Cluster-free comparison of two conditions in single-cell data."""

from kompot import anndata, datasets
from kompot._version import __version__
from kompot.anndata import da, de, smooth_expression
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
    "SampleVarianceEstimator",
    "SampleVariancePredictor",
    "StorageSettings",
    "__version__",
    "anndata",
    "da",
    "datasets",
    "de",
    "smooth_expression",
]
