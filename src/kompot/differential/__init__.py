"""The analyses on plain arrays."""

from kompot.differential.expression import DifferentialExpression
from kompot.differential.expression_model import ExpressionModel
from kompot.differential.result import FoldChange, Smoothed

__all__ = ["DifferentialExpression", "ExpressionModel", "FoldChange", "Smoothed"]
