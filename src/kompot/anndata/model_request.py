"""`ModelSettings` of `kompot.de`: fitted models and predictors that the user brings, checked before any work."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from kompot import _checks as check
from kompot._callables import called
from kompot._typing import Float64, Ints
from kompot.differential.expression_model import ExpressionModel
from kompot.differential.fit import ConditionFit, TwoConditionFit
from kompot.differential.injected import ConditionPredictor
from kompot.differential.sample_variance_estimator import SampleVariancePredictor
from kompot.gp.features import Features
from kompot.gp.predictor import Predictor
from kompot.settings import FDRSettings, ModelSettings


@dataclass(frozen=True)
class Brought:
    """What the user brings for one condition."""

    function: Callable[..., Any] | None = None
    """Predictor of expression."""
    obs_variance: Callable[..., Any] | None = None
    """Predictor of the empirical variance."""
    between: Callable[..., Any] | None = None
    """Predictor of the variance between samples."""
    model: ExpressionModel | None = None
    """The model that all of these are parts of."""

    @property
    def anything(self) -> bool:
        """Whether there is any part."""
        return any(part is not None for part in (self.function, self.obs_variance, self.between))


@dataclass(frozen=True)
class Injection:
    """What the user brings for both conditions, and which columns of the predictors are which genes."""

    brought: tuple[Brought, Brought]
    """Condition 1 and 2."""
    width: int
    """Number of columns of the predictors."""
    columns: Ints
    """Columns of the genes to report."""
    null_columns: Ints
    """Columns of null features."""

    @property
    def fits_nothing(self) -> bool:
        """Whether both conditions are there already."""
        return all(part.function is not None for part in self.brought)

    @property
    def shared(self) -> TwoConditionFit | None:
        """Both models as one fit, where they are ours and have the same features; else None."""
        models = [part.model for part in self.brought]
        if models[0] is None or models[1] is None:
            return None
        features = models[0].predictor.features
        if not same_features(features, models[1].predictor.features):
            return None
        first, second = (
            ConditionFit(model.predictor.posterior, (), model.between, model.empirical)
            for model in models
            if model is not None
        )
        return TwoConditionFit(features, (first, second))


def same_features(first: Features, second: Features) -> bool:
    """Whether two feature maps are equal."""
    return first is second or (
        first.kernel == second.kernel
        and np.array_equal(first.landmarks, second.landmarks)
        and np.array_equal(first.factor, second.factor)
    )


def brought_by(settings: ModelSettings, number: int) -> Brought:
    """What was given for condition 1 or 2; a model takes precedence over single predictors."""
    model = getattr(settings, f"model{number}")
    if model is None:
        function = getattr(settings, f"function_predictor{number}")
        parts = Brought(
            function,
            getattr(settings, f"obs_variance_predictor{number}"),
            getattr(settings, f"variance_predictor{number}"),
        )
        if isinstance(function, Predictor) and parts.obs_variance is None and parts.between is None:
            return replace(parts, model=ExpressionModel.from_predictor(function))
        return parts
    if not isinstance(model, ExpressionModel):
        raise TypeError(
            f"ModelSettings(model{number}=...) must be a fitted kompot.ExpressionModel, came {check.show(model)}. "
            f"Pass another kind of predictor as function_predictor{number}."
        )
    return of_model(model)


def of_model(model: ExpressionModel) -> Brought:
    """The parts of a fitted model."""
    features = model.predictor.features
    return Brought(
        model.predictor,
        None if model.empirical is None else model.empirical_variance,
        None if model.between is None else SampleVariancePredictor(features, model.between),
        model,
    )


def check_nulls(fdr: FDRSettings) -> None:
    """Raise for null genes that predictors cannot cover, because they were fitted before."""
    if fdr.null_expression is not None:
        raise ValueError(
            "null_expression cannot be used with fitted models or predictors, which cannot cover columns that are "
            "added later. Include the null features when fitting, and name their columns: "
            "FDRSettings(null_genes=[...])."
        )
    if isinstance(fdr.null_genes, int) and fdr.null_genes > 0:
        raise ValueError(
            f"null_genes={fdr.null_genes} cannot be used with fitted models or predictors, which cannot cover columns "
            f"that are added later. Include null features when fitting, and name their columns: "
            f"FDRSettings(null_genes=[...])."
        )


def width_of(brought: tuple[Brought, Brought], X: Float64) -> int:
    """Number of columns that the predictors return, tried out at two cells; they must agree."""
    widths = {}
    for number, part in enumerate(brought, start=1):
        if part.function is not None:
            owner = f"The function predictor of condition {number}"
            returned = called(owner, "p(X)", part.function, X[:2])
            values = check.numeric_array(f"What {owner[0].lower()}{owner[1:]} returns", returned)
            if values.ndim not in (1, 2) or len(values) != len(X[:2]):
                raise ValueError(
                    f"The function predictor of condition {number} must return cells x genes: needed "
                    f"({len(X[:2])}, n_genes), came {values.shape}."
                )
            if not callable(getattr(part.function, "covariance", None)):
                raise TypeError(
                    f"{owner} must have a method covariance(X, diag=...), came {check.show(part.function)}, which has "
                    f"none."
                )
            widths[number] = values.shape[1] if values.ndim == 2 else 1
    if len(set(widths.values())) > 1:
        raise ValueError(
            f"The predictors of both conditions must cover the same genes, came {widths[1]} and {widths[2]} columns."
        )
    return next(iter(widths.values()), 0)


def injection(brought: tuple[Brought, Brought], width: int, n_genes: int, columns: Ints, prebaked: Ints) -> Injection:
    """Which columns of the predictors are which genes.

    Parameters
    ----------
    brought
        What the user brings for condition 1 and 2.
    width
        Number of columns of the predictors.
    n_genes
        Number of genes in the data.
    columns
        Those to report.
    prebaked
        Columns of null features: of the predictors, which may have them in addition to the genes of the data.

    Returns
    -------
    Injection
        Checked.
    """
    if width == n_genes:
        return Injection(brought, width, np.setdiff1d(columns, prebaked), prebaked)
    real = np.setdiff1d(np.arange(width), prebaked)
    if len(real) == n_genes and all(part.function is not None for part in brought):
        return Injection(brought, width, real[columns], prebaked)
    raise ValueError(
        f"The predictors return {width} columns, but the data have {n_genes} genes"
        + (f" and {len(prebaked)} null features were named" if len(prebaked) else "")
        + ": needed one column per gene of the data, null features included or, with a predictor for each condition, "
        "in addition."
    )


def condition_predictor(brought: Brought, number: int, width: int) -> ConditionPredictor:
    """The predictor of one condition, all parts present."""
    if brought.function is None:
        raise ValueError(f"Condition {number} has no function predictor.")
    return ConditionPredictor(f"condition {number}", brought.function, brought.obs_variance, brought.between, width)
