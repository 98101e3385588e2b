"""Settings of the analyses, one dataclass per group of parameters.

Each field has its default, its check and its meaning in one place. Checks run at construction and at every later
assignment (`gp.sigma = -1` is refused as `GPSettings(sigma=-1)` is), values are converted to plain Python numbers,
and unknown names are refused, so that a run can be edited and repeated safely.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields
from typing import Any, Self

import numpy as np

from kompot import _checks as check
from kompot import _file_names
from kompot._callables import callable_as
from kompot._paths import path

_MOST_NULL_GENES = 10**9
Check = Callable[[str, Any], Any]


def _setting(default: Any, verify: Check) -> Any:
    return field(default=default, metadata={"check": verify})


def _optional(verify: Check) -> Check:
    return lambda name, value: None if value is None else verify(name, value)


def _anything(name: str, value: Any) -> Any:  # noqa: ARG001  the signature of a check
    return value


def _cells(name: str, value: Any) -> Any:  # noqa: ARG001  the signature of a check
    return check.read_once(value)


def _matrix(name: str, value: Any) -> np.ndarray[Any, Any]:
    array = check.numeric_array(name, value)
    if array.ndim != 2 or 0 in array.shape:
        raise ValueError(f"{name} must be a matrix (points x dimensions), came shape {array.shape}.")
    return array


# The longest name of a field leaves the conditions 20 bytes beside it, room for a letter and a hash of each.
_LONGEST_KEY = 190


def _result_key(name: str, value: Any) -> str | None:
    key = check.text(name, value)
    flaw = _file_names.why_unwritable(key, _LONGEST_KEY) if key else None
    if flaw:
        raise ValueError(f"{name} must not {flaw}; came {check.brief(key)}.")
    return key or None


def _callable(name: str, value: Any) -> Any:
    return callable_as(name, value, "p(X)", 1, "diag")


def _null_genes(name: str, value: Any) -> int | list[int] | str | None:
    if value is None or (isinstance(value, str) and value == "auto"):
        return value
    if isinstance(value, str):
        raise ValueError(  # noqa: TRY004  the type is right, the word is not
            f"{name} must be 'auto', None, a number of genes or a list of columns, came {check.brief(value)}."
        )
    if isinstance(value, Iterable) and getattr(value, "ndim", 1) == 1:
        given = check.items(name, value, "columns")
        columns = [check.non_negative_int(f"{name}[{i}]", column) for i, column in enumerate(given)]
        if len(set(columns)) < len(columns):
            raise ValueError(f"{name} names a column more than once.")
        return columns or None
    number = check.non_negative_int(name, value)
    if number > _MOST_NULL_GENES:
        raise ValueError(f"{name} must be at most {_MOST_NULL_GENES:g}, came {check.brief(number)}.")
    return number


def _two_matrices(name: str, value: Any) -> tuple[Any, Any]:
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise TypeError(f"{name} must be a pair (expression of condition 1, of condition 2), came {check.show(value)}.")
    first, second = value
    shapes = [
        part.shape if check.is_sparse(part) else check.numeric_array(f"{name}[{i}]", part).shape
        for i, part in enumerate(value)
    ]
    if any(len(shape) != 2 for shape in shapes) or shapes[0][1] != shapes[1][1] or not shapes[0][1]:
        raise ValueError(
            f"{name} must hold two matrices (cells x null genes) with the same number of columns, came shapes "
            f"{shapes[0]} and {shapes[1]}."
        )
    return first, second


def _same(first: Any, second: Any) -> bool:
    """Whether two values are equal, arrays and tables element by element."""
    if first is second or type(first) is not type(second):
        return first is second
    if isinstance(first, np.ndarray):
        return np.array_equal(first, second)
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(_same(first[key], second[key]) for key in first)
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(map(_same, first, second))
    if check.is_sparse(first):
        return bool(first.shape == second.shape and (first != second).nnz == 0)
    if hasattr(first, "equals"):  # pandas
        return bool(first.equals(second))
    return bool(first == second)


class _Settings:
    """Checks every assignment; compares arrays by value; not hashable, because it can be edited."""

    def __new__(cls, *_: Any, **given: Any) -> Self:
        for name in given:
            if name not in cls.__dataclass_fields__:  # type: ignore[attr-defined]
                raise TypeError(cls._unknown(name))
        return super().__new__(cls)

    def __setattr__(self, name: str, value: Any) -> None:
        known = {item.name: item for item in fields(self)}  # type: ignore[arg-type]
        if name not in known:
            raise AttributeError(self._unknown(name))
        before = getattr(self, name)
        object.__setattr__(self, name, known[name].metadata["check"](name, value))
        try:
            self._check_together()
        except ValueError:
            object.__setattr__(self, name, before)
            raise

    @classmethod
    def _unknown(cls, name: str) -> str:
        """What to say of a name that is no setting of this class."""
        places = places_of(name)
        if places:
            return f"{cls.__name__} has no setting {name!r}; it belongs to {' or '.join(places.values())}."
        known = cls.__dataclass_fields__  # type: ignore[attr-defined]
        return f"{cls.__name__} has no setting {name!r}.{check.nearest(name, known)} Known: {', '.join(known)}."

    def _check_together(self) -> None:
        """Check settings against each other."""

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        names = [item.name for item in fields(self)]  # type: ignore[arg-type]
        return all(_same(getattr(self, name), getattr(other, name)) for name in names)

    def is_default(self, name: str) -> bool:
        """Whether a setting has its default value."""
        return _same(getattr(self, name), type(self).__dataclass_fields__[name].default)  # type: ignore[attr-defined]


@dataclass(eq=False)
class GPSettings(_Settings):
    """Parameters of the Gaussian process.

    Examples
    --------
    >>> gp = GPSettings(sigma=0.5)
    >>> gp.n_landmarks = 1000
    >>> gp.sigma = -1
    Traceback (most recent call last):
    ValueError: sigma must be positive and finite, came -1.
    """

    sigma: float = _setting(1.0, check.positive_float)
    """Noise standard deviation, in the units of expression."""
    ls: float | None = _setting(None, _optional(check.positive_float))
    """Length scale, in units of the embedding; estimated from nearest-neighbour distances if None."""
    ls_factor: float = _setting(10.0, check.positive_float)
    """Multiplier of the estimated length scale; larger is smoother."""
    n_landmarks: int | None = _setting(5000, _optional(check.non_negative_int))
    """Largest number of landmarks. As many as the tolerance needs are used, mostly far fewer. None or 0: no limit."""
    landmarks: np.ndarray[Any, Any] | None = _setting(None, _optional(_matrix))
    """Landmarks to use as they are, n_landmarks x n_dims."""
    use_empirical_variance: bool = _setting(False, check.boolean)
    """Estimate the noise variance of each gene and cell from the residuals."""
    batch_size: int | None = _setting(100, _optional(check.non_negative_int))
    """Cells per chunk. The default (100), None and 0 let the engine choose; any other number is obeyed."""
    eps: float = _setting(1e-8, check.positive_float)
    """Small variance added before divisions and roots."""
    jit_compile: bool = _setting(False, check.boolean)
    """Accepted for compatibility; nothing is compiled."""
    random_state: int | None = _setting(None, _optional(check.non_negative_int))
    """Seed of the choice of landmarks. None is a fixed seed: results never depend on chance nobody asked for."""


@dataclass(eq=False)
class FDRSettings(_Settings):
    """Parameters of the null distribution and the false discovery rate."""

    null_genes: int | list[int] | str | None = _setting("auto", _null_genes)
    """"auto" (2,000 shuffled genes, drawn with replacement from fewer; none with `sample_col`), a number of shuffled
    genes, a list of columns of the data
    that already are null features (used as they are and stripped from all output), or 0 or None for no FDR."""
    null_seed: int | None = _setting(42, _optional(check.non_negative_int))
    """Seed of the choice and shuffling of null genes; None is a fixed seed."""
    threshold: float = _setting(0.05, check.fraction)
    """Local false discovery rate below which a gene is called differentially expressed."""
    null_mahalanobis: np.ndarray[Any, Any] | None = _setting(None, _optional(check.distances))
    """Null distances to use instead of shuffled genes, n_null."""
    null_expression: tuple[Any, Any] | None = _setting(None, _optional(_two_matrices))
    """Null expression of the cells of condition 1 and of condition 2 (cells x null genes), fitted like the genes."""
    combine_with_internal: bool = _setting(False, check.boolean)
    """Use external null distances beside the shuffled genes rather than instead of them."""

    def _check_together(self) -> None:
        if self.null_mahalanobis is not None and self.null_expression is not None:
            raise ValueError("Give null_mahalanobis or null_expression, not both.")


@dataclass(eq=False)
class DAThresholdSettings(_Settings):
    """Thresholds on differential abundance."""

    lfc_threshold: float = _setting(1.0, check.non_negative_float)
    """Absolute log fold change (natural logarithm) above which a cell's state counts as changed."""
    ptp_threshold: float = _setting(0.05, check.fraction)
    """Posterior tail probability below which a cell's state counts as changed."""


@dataclass(eq=False)
class FilterSettings(_Settings):
    """Which cells are used, and in which groups results are reported as well."""

    cell_filter: Any = _setting(None, _cells)
    """Cells to include: name of a boolean column, dictionary of column to values, mask or indices; None for all."""
    groups: Any = _setting(None, _cells)
    """Groups of cells for which results are reported as well."""
    min_cells: int = _setting(2, check.non_negative_int)
    """Fewest cells of each condition in a group."""
    min_percentage: float | None = _setting(None, _optional(check.percentage))
    """Smallest percentage of each condition in a group."""
    check_representation: bool | None = _setting(None, _optional(check.boolean))
    """None warns of groups with too few cells and skips those without any of a condition, True leaves them out with all
    their cells, False does not look."""


@dataclass(eq=False)
class StorageSettings(_Settings):
    """Where and how results are stored in the AnnData object."""

    result_key: str | None = _setting(None, _optional(_result_key))
    """Prefix of all names written, of at most 190 bytes that h5ad and zarr files can hold in a name (no slash, for
    example); None is "kompot_de", "kompot_da" or "kompot_smooth"."""
    overwrite: bool | None = _setting(None, _optional(check.boolean))
    """When fields exist: None warns and replaces them, True replaces them, False is an error."""
    store_landmarks: bool = _setting(False, check.boolean)
    """Keep the landmarks in `adata.uns`."""
    store_posterior_covariance: bool = _setting(False, check.boolean)
    """Keep the n_cells x n_cells posterior covariance of the fold change in `adata.obsp`."""
    store_additional_stats: bool = _setting(False, check.boolean)
    """Also store p-values, tail FDR, tail probabilities and z-scores."""
    store_arrays_on_disk: bool | None = _setting(None, _optional(check.boolean))
    """Write layers to disk and attach them lazily; None decides by the memory available."""
    disk_storage_dir: str | None = _setting(None, _optional(path))
    """Directory for arrays on disk."""
    max_memory_ratio: float = _setting(0.8, check.fraction)
    """Share of the available memory above which layers go to disk."""
    store_layers: bool = _setting(True, check.boolean)
    """Store the n_cells x n_genes layers (smoothed expression, fold changes). Without them the second pass over the
    cells is not made, and per-gene results are complete all the same."""


@dataclass(eq=False)
class OutputSettings(_Settings):
    """What a call returns and how it behaves."""

    copy: bool = _setting(False, check.boolean)
    """Return a copy of the AnnData object with the results, and leave the object given as it is."""
    inplace: bool = _setting(True, check.boolean)
    """Write results into the AnnData object."""
    return_full_results: bool = _setting(False, check.boolean)
    """Return the dictionary of results, with the null genes' expression and fold changes."""
    return_null_data: bool = _setting(False, check.boolean)
    """Return the dictionary of results, with the null genes' names and distances only."""
    compute_mahalanobis: bool = _setting(True, check.boolean)
    """Compute Mahalanobis distances and what follows from them."""
    allow_single_condition_variance: bool = _setting(False, check.boolean)
    """With `sample_col`: let one condition's between-sample variance serve for both where the other has one sample."""
    progress: bool = _setting(True, check.boolean)
    """Show a progress bar and, when all is done, one line on the results, on standard error. The line goes to the
    logger (INFO) as well, and to the logger alone where a handler shows it there."""


@dataclass(eq=False)
class ModelSettings(_Settings):
    """Fitted models or predictors to use instead of fitting."""

    model1: Any = _setting(None, _anything)
    """`ExpressionModel` of condition 1; takes precedence over single predictors."""
    model2: Any = _setting(None, _anything)
    """`ExpressionModel` of condition 2."""
    function_predictor1: Any = _setting(None, _optional(_callable))
    """Predictor of expression in condition 1."""
    function_predictor2: Any = _setting(None, _optional(_callable))
    """Predictor of expression in condition 2."""
    obs_variance_predictor1: Any = _setting(None, _optional(_callable))
    """Predictor of the empirical variance in condition 1."""
    obs_variance_predictor2: Any = _setting(None, _optional(_callable))
    """Predictor of the empirical variance in condition 2."""
    variance_predictor1: Any = _setting(None, _optional(_callable))
    """Predictor of the between-sample variance in condition 1, called as `(X, diag=...)`."""
    variance_predictor2: Any = _setting(None, _optional(_callable))
    """Predictor of the between-sample variance in condition 2."""
    density_predictor1: Any = _setting(None, _optional(_callable))
    """Predictor of the log density of condition 1."""
    density_predictor2: Any = _setting(None, _optional(_callable))
    """Predictor of the log density of condition 2."""


ARGUMENTS: dict[str, type[Any]] = {
    "gp": GPSettings,
    "fdr": FDRSettings,
    "filter": FilterSettings,
    "threshold": DAThresholdSettings,
    "storage": StorageSettings,
    "output": OutputSettings,
    "model": ModelSettings,
}
"""Settings classes by the argument that takes them."""

_RENAMED = {
    "fdr_threshold": ("fdr", "threshold"),
    "log_fold_change_threshold": ("threshold", "lfc_threshold"),
}


def places_of(name: str) -> dict[str, str]:
    """Where a setting is given, by argument; the names it had as an argument of its own count too.

    Examples
    --------
    >>> places_of("null_genes")
    {'fdr': 'fdr=kompot.FDRSettings(null_genes=...)'}
    """
    found = {argument: name for argument, kind in ARGUMENTS.items() if name in kind.__dataclass_fields__}
    found |= dict([_RENAMED[name]]) if name in _RENAMED else {}
    return {key: f"{key}=kompot.{ARGUMENTS[key].__name__}({setting}=...)" for key, setting in found.items()}


def all_settings() -> list[str]:
    """Names of the settings of all classes, and the names some had as arguments of their own."""
    return [*_RENAMED, *(name for kind in ARGUMENTS.values() for name in kind.__dataclass_fields__)]
