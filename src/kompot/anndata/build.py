"""From a checked request to fitted or injected models of both conditions, and of the null genes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from kompot._typing import Float64, Ints
from kompot.anndata.extract import expression_rows, invalid_expression
from kompot.anndata.model_request import Brought, Injection, condition_predictor, of_model
from kompot.anndata.null_request import has_external_null
from kompot.anndata.progress import Progress
from kompot.anndata.request import DERequest
from kompot.differential.comparison import Comparison, FittedComparison, Landscape
from kompot.differential.expression import DifferentialExpression
from kompot.differential.expression_model import ExpressionModel
from kompot.differential.fit import TwoConditionFit
from kompot.differential.fitter import Track
from kompot.differential.injected import InjectedComparison
from kompot.differential.injected_expression import InjectedExpression
from kompot.gp.features import Features, FeatureTable
from kompot.gp.prepare import prepare_kernel
from kompot.gp.rows import InvalidValuesError
from kompot.gp.selection import Approximation, assess


@dataclass(frozen=True)
class NullGenes:
    """A part of the null distribution."""

    comparison: Comparison | None
    """The null genes; None for distances that the user brought."""
    given: Float64 | None
    """Those distances."""
    names: list[str]
    """Name of each null gene; empty for distances that the user brought."""
    gene_indices: list[int]
    """Column of the data that each null gene comes from; empty for external ones."""
    source: str
    """"internal" or "external"."""

    def distances(self) -> Float64:
        """Mahalanobis distances, n_null."""
        if self.comparison is not None:
            return self.comparison.distances()
        return np.asarray(self.given, dtype=np.float64)


@dataclass(frozen=True)
class Analysis:
    """Models of a run."""

    model: DifferentialExpression
    """Both conditions: fitted here, or brought."""
    comparison: Comparison
    """The genes reported."""
    null: list[NullGenes]
    """Parts of the null distribution."""
    features: Features | None
    """Features of the fit, where there is one on shared features."""
    approximation: Approximation | None
    """How well those represent the kernel on the cells compared."""
    n_cells: tuple[int, int]
    """Number of cells of condition 1 and 2."""
    skipped_samples: list[Any]
    """Biological samples with too few cells."""

    @property
    def landmarks(self) -> Float64 | None:
        """Inducing points, m x n_dims, where there are any."""
        return None if self.features is None else self.features.landmarks


def fitting_work(request: DERequest) -> int:
    """Cells in all passes of fitting the genes and the null genes, for the progress bar."""
    empirical, n_cells = request.settings.gp.use_empirical_variance, len(request.X)
    if request.injection is not None:
        missing = [part for part in request.injection.brought if part.function is None]
        return sum(n_cells * (1 + (empirical and part.obs_variance is None)) for part in missing)
    return (1 + empirical) * (n_cells + sum(null_cells(request) for _, null_cells in _null_parts(request)))


def build_analysis(request: DERequest, track: Progress) -> Analysis:
    """Fit or take over both conditions and the null genes."""
    if request.injection is None:
        return _fitted(request, track)
    shared = request.injection.shared
    return _injected(request, request.injection, track) if shared is None else _own(request, request.injection, shared)


def _sizes(request: DERequest) -> tuple[int, int]:
    return int((request.condition == 0).sum()), int((request.condition == 1).sum())


def _fitted(request: DERequest, track: Progress) -> Analysis:
    settings = request.settings
    model = DifferentialExpression.from_parameters(
        request.parameters,
        eps=settings.gp.eps,
        use_empirical_variance=settings.gp.use_empirical_variance,
        allow_single_condition_variance=settings.output.allow_single_condition_variance,
    )
    model.fit_cells(request.X, _rows(request, request.columns), request.condition, request.samples, track=track)
    landscape = _landscape(request, model.cells)
    points = model.points if settings.output.compute_mahalanobis else None
    at_points = None if points is None else model.cells.features(points)

    def comparison(fit: TwoConditionFit) -> FittedComparison:
        return FittedComparison(fit, landscape, at_points)

    null = [
        NullGenes(None if fit is None else comparison(fit), given, names, indices, source)
        for fit, given, names, indices, source in (
            part(model, request, track.stage("null genes")) for part, _ in _null_parts(request)
        )
    ]
    return Analysis(
        model,
        comparison(model.result),
        null,
        model.cells.features,
        model.approximation,
        _sizes(request),
        model.skipped_samples,
    )


def _rows(request: DERequest, columns: Ints) -> Any:
    return expression_rows(request.matrix, request.condition >= 0, columns, request.all_genes, request.layer)


def _landscape(request: DERequest, cells: FeatureTable) -> Landscape:
    parameters = request.parameters
    return Landscape(
        cells,
        request.cells.evaluated,
        request.settings.gp.eps,
        parameters.n_landmarks,
        parameters.seed,
        parameters.batch_size,
    )


_NullFit = tuple[TwoConditionFit | None, Float64 | None, list[str], list[int], str]


_NullPart = tuple[Callable[[DifferentialExpression, DERequest, Track], _NullFit], Callable[[DERequest], int]]


def _null_parts(request: DERequest) -> list[_NullPart]:
    """What makes each part of the null distribution that was asked for, and how many cells one pass of it reads."""
    if not request.with_fdr:
        return []
    parts: list[_NullPart] = []
    if request.n_null:
        parts.append((_shuffled, _all_cells))
    external = has_external_null(request.settings.fdr)
    if len(request.prebaked) and (not external or request.settings.fdr.combine_with_internal):
        parts.append((_prebaked, _all_cells))
    if external:
        parts.append((_external, _external_cells))
    return parts


def _all_cells(request: DERequest) -> int:
    return len(request.X)


def _external_cells(request: DERequest) -> int:
    return 0 if request.settings.fdr.null_expression is None else sum(_sizes(request))


def _null_names(request: DERequest, genes: Ints) -> list[str]:
    # Predictors with columns in addition to the genes of the data number them in their own way.
    own = request.injection is not None and request.injection.width != len(request.all_genes)
    return [f"NULL_{i}_{gene if own else request.all_genes[gene]}" for i, gene in enumerate(genes)]


def _prebaked(model: DifferentialExpression, request: DERequest, track: Track) -> _NullFit:
    fit = model.fit_more(_rows(request, request.prebaked), track=track)
    return fit, None, _null_names(request, request.prebaked), request.prebaked.tolist(), "internal"


def _shuffled(model: DifferentialExpression, request: DERequest, track: Track) -> _NullFit:
    settings = request.settings.fdr
    asked = settings.null_genes != "auto"
    try:
        fit, draw = model.fit_null(request.matrix, request.n_null, settings.null_seed, asked=asked, track=track)
    except InvalidValuesError as error:
        # Only possible for genes on disk that are not among those analysed, which were checked while being read.
        raise ValueError(invalid_expression(error.what, request.all_genes[error.columns], request.layer)) from error
    return fit, None, _null_names(request, draw.genes), draw.genes.tolist(), "internal"


def _external(model: DifferentialExpression, request: DERequest, track: Track) -> _NullFit:
    settings = request.settings.fdr
    if settings.null_expression is None:
        return None, np.asarray(settings.null_mahalanobis, dtype=np.float64), [], [], "external"
    fit = model.fit_external(*settings.null_expression, track=track)
    return fit, None, [f"NULL_EXT_{i}" for i in range(fit.n_genes)], [], "external"


def _own(request: DERequest, injection: Injection, fit: TwoConditionFit) -> Analysis:
    """Both conditions from our own models on the same features: the fast path."""
    fit = replace(fit, borrow=request.settings.output.allow_single_condition_variance)
    cells = FeatureTable(fit.features, request.X)
    landscape = _landscape(request, cells)
    points = _noisy_points(request, landscape) if fit.has_empirical_variance else None
    at_points = None if points is None else cells.features(points)

    def comparison(columns: Ints) -> FittedComparison:
        return FittedComparison(fit.for_genes(columns), landscape, at_points)

    approximation = assess(
        cells, used=request.condition >= 0, sigma=fit.posteriors[0].sigma, tolerance=request.parameters.tolerance
    )
    first, second = (part.model for part in injection.brought if part.model is not None)  # a shared fit is of two
    compared = comparison(injection.columns)
    model = DifferentialExpression.of_models(
        (first, second), compared.fit, approximation, points, eps=request.settings.gp.eps
    )
    return Analysis(
        model,
        compared,
        _injected_null(request, injection, comparison),
        fit.features,
        approximation,
        _sizes(request),
        [],
    )


def _noisy_points(request: DERequest, landscape: Landscape) -> Float64:
    """Points where distances with empirical variance are taken: landmarks given, else centroids."""
    given = request.parameters.landmark_matrix(request.X.shape[1])
    return landscape.points_of(request.condition >= 0) if given is None else given


def _injected_null(request: DERequest, injection: Injection, comparison: Any) -> list[NullGenes]:
    if not request.with_fdr:
        return []
    parts = []
    fdr, columns = request.settings.fdr, injection.null_columns
    if len(columns) and (fdr.null_mahalanobis is None or fdr.combine_with_internal):
        names = _null_names(request, columns)
        parts.append(NullGenes(comparison(columns), None, names, columns.tolist(), "internal"))
    if fdr.null_mahalanobis is not None:
        parts.append(NullGenes(None, np.asarray(fdr.null_mahalanobis, dtype=np.float64), [], [], "external"))
    return parts


def _injected(request: DERequest, injection: Injection, track: Track) -> Analysis:
    """Predictors of any kind, beside a model fitted here for a condition that has none: the dense path."""
    brought, skipped = _complete(request, injection, track)
    first, second = (condition_predictor(part, code + 1, injection.width) for code, part in enumerate(brought))
    if request.settings.output.allow_single_condition_variance:
        between = first.between or second.between
        first, second = (replace(part, between=part.between or between) for part in (first, second))
    found = [getattr(part.function, "landmarks", None) for part in brought]
    landmarks = [np.asarray(value, dtype=np.float64) for value in found if value is not None]
    # Those of both: at the landmarks of one condition alone the distance would depend on which one it is.
    points = np.unique(np.vstack(landmarks), axis=0) if landmarks else None

    def comparison(columns: Ints) -> InjectedComparison:
        return InjectedComparison(
            (first, second),
            request.X,
            request.cells.evaluated,
            columns,
            request.settings.gp.eps,
            points,
            request.parameters.n_landmarks,
            request.parameters.batch_size,
        )

    compared = comparison(injection.columns)
    return Analysis(
        InjectedExpression(compared, (_shown_model(brought[0]), _shown_model(brought[1])), skipped),
        compared,
        _injected_null(request, injection, comparison),
        None,
        None,
        _sizes(request),
        skipped,
    )


def _shown_model(brought: Brought) -> Any:
    """The model of a condition, or the predictor where there is none."""
    return brought.function if brought.model is None else brought.model


def _complete(request: DERequest, injection: Injection, track: Track) -> tuple[list[Brought], list[Any]]:
    """What was brought, and models fitted here for conditions without a function predictor."""
    brought, skipped = list(injection.brought), []
    missing = [code for code in (0, 1) if brought[code].function is None]
    if not missing:
        return brought, []
    groups = [request.X[request.condition == code] for code in (0, 1)]
    parameters = replace(request.parameters, cov_func=prepare_kernel(request.parameters, groups), nn_distances=None)
    everything = np.arange(injection.width)
    for code in missing:
        given = brought[code]
        model = ExpressionModel.from_parameters(
            parameters,
            use_empirical_variance=request.settings.gp.use_empirical_variance and given.obs_variance is None,
            eps=request.settings.gp.eps,
        )
        samples = None if given.between is not None else request.samples
        if samples is not None and request.settings.output.allow_single_condition_variance:
            samples = _enough(samples, request.condition == code)
        model.fit_cells(request.X, _rows(request, everything), request.condition == code, samples, track=track)
        skipped += model.skipped_samples
        fitted = of_model(model)
        brought[code] = replace(
            fitted,
            obs_variance=given.obs_variance or fitted.obs_variance,
            between=given.between or fitted.between,
        )
    return brought, skipped


def _enough(samples: Any, used: Any) -> Any:
    """The samples, or None where a condition has too few and the other's variance serves for it."""
    _, sizes = np.unique(samples[used].astype(str), return_counts=True)
    return samples if (sizes > 1).sum() > 1 else None
