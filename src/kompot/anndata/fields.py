"""Every field written into an AnnData object, declared once.

Storing, overwrite checks, run records, cleanup and plots read these declarations. Patterns use K (result key), A and B
(conditions as `condition_names` has them) and S (`_sample_var` when replicates were used, else nothing).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from kompot import _file_names
from kompot.settings import StorageSettings

Place = Literal["obs", "var", "layers", "obsp", "varm", "uns"]


@dataclass(frozen=True)
class Field:
    """One field of a result."""

    key: str
    """Its name in a run's `field_names`."""
    place: Place
    """Where it is stored."""
    kind: str
    """Its type for `cleanup` and `get_field_status`."""
    pattern: str
    """Its name, with K, A, B and S in braces."""
    meaning: str
    """One sentence for people."""
    depends: tuple[str, ...] = ("fit",)
    """What its values of a gene depend on: see `kompot.anndata.dependencies`."""


@dataclass(frozen=True)
class NamedField:
    """A field with its name in one particular run."""

    field: Field
    """The declaration."""
    name: str
    """The name in the AnnData object."""


DE_FIELDS = (
    Field(
        "mahalanobis_key",
        "var",
        "mahalanobis",
        "{K}_{A}_to_{B}_mahalanobis{S}",
        "Mahalanobis distance of the fold change from zero",
        depends=("fit", "variance"),
    ),
    Field(
        "ptp_key",
        "var",
        "ptp",
        "{K}_{A}_to_{B}_neg_log10_ptp{S}",
        "-log10 posterior tail probability of the distance",
        depends=("fit", "variance"),
    ),
    Field(
        "mean_lfc_key",
        "var",
        "mean_log_fold_change",
        "{K}_{A}_to_{B}_mean_lfc",
        "Mean log fold change over cells",
    ),
    Field(
        "mahalanobis_pvalue_key",
        "var",
        "mahalanobis_pvalue",
        "{K}_{A}_to_{B}_mahalanobis_pvalue{S}",
        "Share of null genes at least as far",
        depends=("null",),
    ),
    Field(
        "mahalanobis_local_fdr_key",
        "var",
        "mahalanobis_local_fdr",
        "{K}_{A}_to_{B}_mahalanobis_local_fdr{S}",
        "Local false discovery rate of the distance",
        depends=("null",),
    ),
    Field(
        "mahalanobis_tail_fdr_key",
        "var",
        "mahalanobis_tail_fdr",
        "{K}_{A}_to_{B}_mahalanobis_tail_fdr{S}",
        "Tail false discovery rate of the distance",
        depends=("null",),
    ),
    Field(
        "is_de_key",
        "var",
        "is_de",
        "{K}_{A}_to_{B}_is_de{S}",
        "Whether the local false discovery rate is below the threshold; False also for genes not analysed",
        depends=("null",),
    ),
    Field("smoothed_key_1", "layers", "smoothed", "{K}_{A}_smoothed", "Smoothed expression in condition 1"),
    Field("smoothed_key_2", "layers", "smoothed", "{K}_{B}_smoothed", "Smoothed expression in condition 2"),
    Field("fold_change_key", "layers", "fold_change", "{K}_{A}_to_{B}_fold_change", "Log fold change per cell"),
    Field(
        "fold_change_zscores_key",
        "layers",
        "fold_change_zscores",
        "{K}_{A}_to_{B}_fold_change_zscores{S}",
        "Log fold change in posterior standard deviations",
        depends=("fit", "variance"),
    ),
    Field(
        "std_key_1",
        "obs",
        "std",
        "{K}_{A}_std",
        "Posterior standard deviation of expression in condition 1",
        depends=("fit", "variance"),
    ),
    Field(
        "std_key_2",
        "obs",
        "std",
        "{K}_{B}_std",
        "Posterior standard deviation of expression in condition 2",
        depends=("fit", "variance"),
    ),
    Field(
        "weighted_mean_lfc_key",
        "var",
        "weighted_mean_log_fold_change",
        "{K}_{A}_to_{B}_weighted_mean_lfc",
        "Mean log fold change, cells weighted by exp(|log fold change of their density|)",
        depends=("fit", "weights"),
    ),
    Field(
        "mean_lfc_varm_key",
        "varm",
        "mean_log_fold_change",
        "{K}_{A}_to_{B}_mean_lfc_groups",
        "Mean log fold change over the cells of each group",
        depends=("fit", "groups"),
    ),
    Field(
        "mahalanobis_varm_key",
        "varm",
        "mahalanobis",
        "{K}_{A}_to_{B}_mahalanobis{S}_groups",
        "Mahalanobis distance over the cells of each group",
        depends=("fit", "variance", "groups"),
    ),
    Field(
        "mahalanobis_local_fdr_varm_key",
        "varm",
        "local_fdr",
        "{K}_{A}_to_{B}_mahalanobis_local_fdr{S}_groups",
        "Local false discovery rate in each group",
        depends=("null",),
    ),
    Field(
        "is_de_varm_key",
        "varm",
        "is_de",
        "{K}_{A}_to_{B}_is_de{S}_groups",
        "Whether the local false discovery rate in each group is below the threshold",
        depends=("null",),
    ),
    Field(
        "ptp_varm_key",
        "varm",
        "ptp",
        "{K}_{A}_to_{B}_neg_log10_ptp{S}_groups",
        "-log10 posterior tail probability of the distance in each group",
        depends=("fit", "variance", "groups"),
    ),
    Field(
        "weighted_mean_lfc_varm_key",
        "varm",
        "weighted_mean_log_fold_change",
        "{K}_{A}_to_{B}_weighted_mean_lfc_groups",
        "Weighted mean log fold change over the cells of each group",
        depends=("fit", "weights", "groups"),
    ),
    Field(
        "posterior_covariance_key",
        "obsp",
        "covariance",
        "{K}_{A}_to_{B}_posterior_covariance",
        "Posterior covariance of the fold change between cells",
    ),
)
"""Fields of `kompot.de`."""

DA_FIELDS = (
    Field("lfc_key", "obs", "log_fold_change", "{K}_{A}_to_{B}_lfc", "Log fold change of the density of cells"),
    Field(
        "zscore_key",
        "obs",
        "log_fold_change_zscore",
        "{K}_{A}_to_{B}_lfc_zscore{S}",
        "Log fold change in posterior standard deviations",
    ),
    Field(
        "ptp_key",
        "obs",
        "ptp",
        "{K}_{A}_to_{B}_neg_log10_lfc_ptp{S}",
        "-log10 posterior tail probability of the log fold change",
    ),
    Field(
        "direction_key",
        "obs",
        "direction",
        "{K}_{A}_to_{B}_lfc_direction{S}",
        "Whether cells at this state became more (up) or less (down) frequent",
    ),
    Field("density_key_1", "obs", "density", "{K}_{A}_log_density", "Normalised log density of condition 1"),
    Field("density_key_2", "obs", "density", "{K}_{B}_log_density", "Normalised log density of condition 2"),
    Field(
        "colors_key", "uns", "colors", "{K}_{A}_to_{B}_lfc_direction{S}_colors", "Colours of the directions, in order"
    ),
)
"""Fields of `kompot.da`."""

COLORS = "_colors"
"""What the name of a column's colours in uns ends in."""

DIRECTION_COLORS = ("#d73027", "#d3d3d3", "#4575b4")
"""Of up, neutral and down."""

SMOOTH_FIELDS = (
    Field("smoothed_key", "layers", "smoothed", "{K}_{A}_smoothed", "Smoothed expression"),
    Field(
        "std_key",
        "layers",
        "std",
        "{K}_{A}_std",
        "Posterior standard deviation of the smoothed expression",
        depends=("fit", "variance"),
    ),
    Field(
        "obs_variance_key",
        "layers",
        "obs_variance",
        "{K}_{A}_obs_variance",
        "Empirical noise variance",
        depends=("fit", "variance"),
    ),
    Field(
        "sample_variance_key",
        "layers",
        "sample_variance",
        "{K}_{A}_sample_variance",
        "Variance between samples",
        depends=("fit", "variance"),
    ),
)
"""Fields of `kompot.smooth_expression`; A is the condition or "all"."""

FDR_KEYS = ("mahalanobis_pvalue_key", "mahalanobis_local_fdr_key", "mahalanobis_tail_fdr_key", "is_de_key")
"""Those that need a null distribution."""

GROUP_FDR_KEYS = ("mahalanobis_local_fdr_varm_key", "is_de_varm_key")
"""Those that need null genes, which are evaluated in each group."""

SAMPLE_KEYS = (*(item.key for item in DE_FIELDS if "{S}" in item.pattern), "std_key_1", "std_key_2")
"""Those that the variance between samples changes."""

EXTRA_KEYS = (
    "ptp_key",
    "mahalanobis_pvalue_key",
    "mahalanobis_tail_fdr_key",
    "fold_change_zscores_key",
    "ptp_varm_key",
)
"""Those stored with `store_additional_stats` only."""


def named_fields(
    declared: Iterable[Field],
    result_key: str,
    condition1: str,
    condition2: str,
    *,
    samples: bool = False,
) -> dict[str, NamedField]:
    """Names of fields in one run.

    Parameters
    ----------
    declared
        For example `DE_FIELDS`.
    result_key
        K.
    condition1, condition2
        A and B. In a name that would be too long for a file, they are shortened.
    samples
        Whether replicates were used.

    Returns
    -------
    dict[str, NamedField]
        By key, in the order declared.

    Examples
    --------
    >>> named_fields(DE_FIELDS, "kompot_de", "Young", "Old")["mean_lfc_key"].name
    'kompot_de_Young_to_Old_mean_lfc'
    """
    S = "_sample_var" if samples else ""
    return {item.key: NamedField(item, _name(item, result_key, condition1, condition2, S)) for item in declared}


def _name(declared: Field, K: str, A: str, B: str, S: str) -> str:
    """Name of a field, with conditions that leave room for the rest."""
    # The colours of a column of directions must find room under its name, because plots look for them there.
    longest = _file_names.LONGEST - (len(COLORS) if declared.kind == "direction" else 0)
    room = longest - _file_names.n_bytes(declared.pattern.format(K=K, A="", B="", S=S))
    conditions = {part: text for part, text in (("A", A), ("B", B)) if f"{{{part}}}" in declared.pattern}
    fitting = dict(zip(conditions, _file_names.fitted(list(conditions.values()), room), strict=True))
    return declared.pattern.format(K=K, S=S, **fitting)


def de_fields(
    result_key: str,
    conditions: tuple[str, ...],
    storage: StorageSettings,
    *,
    distances: bool,
    fdr: bool,
    group_fdr: bool,
    samples: bool,
    gene_variance: bool,
    groups: bool,
    weighted: bool,
) -> dict[str, NamedField]:
    """Names of the fields that a run of `kompot.de` writes.

    Parameters
    ----------
    result_key, conditions
        K, A and B.
    storage
        What to store.
    distances, fdr, group_fdr
        Whether there are distances, a null distribution, and null genes.
    samples, gene_variance
        Whether there are biological samples; whether standard deviations differ between genes, so that they are layers.
    groups, weighted
        Whether there are groups, and weights from an earlier `kompot.da`.

    Returns
    -------
    dict[str, NamedField]
        By key, in the order declared.
    """
    named = named_fields(DE_FIELDS, result_key, *conditions, samples=samples)
    if gene_variance:
        kind = "std_with_sample_var" if samples else "std"
        for key in ("std_key_1", "std_key_2"):
            named[key] = replace(named[key], field=replace(named[key].field, place="layers", kind=kind))
    wanted = {
        "posterior_covariance_key": storage.store_posterior_covariance and not samples,
        "weighted_mean_lfc_key": weighted,
        "weighted_mean_lfc_varm_key": weighted,
    }
    left_out = {key for key, is_wanted in wanted.items() if not is_wanted}
    for keys, is_wanted in (
        (EXTRA_KEYS, storage.store_additional_stats),
        (FDR_KEYS, fdr),
        (GROUP_FDR_KEYS, group_fdr),
        (("mahalanobis_key", "ptp_key", "mahalanobis_varm_key", "ptp_varm_key"), distances),
        ([key for key, item in named.items() if item.field.place == "layers"], storage.store_layers),
        ([key for key, item in named.items() if item.field.place == "varm"], groups),
    ):
        left_out |= set() if is_wanted else set(keys)
    return {key: item for key, item in named.items() if key not in left_out}


def field_mapping(items: Iterable[NamedField]) -> dict[str, dict[str, str]]:
    """Place, type and meaning of each field by its name, as run records keep them."""
    return {
        item.name: {"location": item.field.place, "type": item.field.kind, "description": item.field.meaning}
        for item in items
    }


def by_place(items: Iterable[NamedField]) -> dict[str, list[str]]:
    """Names grouped by place, in order."""
    places: dict[str, list[str]] = {}
    for item in items:
        places.setdefault(item.field.place, []).append(item.name)
    return places
