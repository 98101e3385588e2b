"""The analyses on plain arrays."""

from kompot.differential.abundance import DifferentialAbundance
from kompot.differential.expression import DifferentialExpression
from kompot.differential.expression_model import ExpressionModel
from kompot.differential.result import AbundanceChange, FoldChange, Smoothed
from kompot.differential.sample_variance_estimator import SampleVarianceEstimator, SampleVariancePredictor

__all__ = [
    "AbundanceChange",
    "DifferentialAbundance",
    "DifferentialExpression",
    "ExpressionModel",
    "FoldChange",
    "SampleVarianceEstimator",
    "SampleVariancePredictor",
    "Smoothed",
]
