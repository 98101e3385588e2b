"""Two recorded runs side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from anndata import AnnData

from kompot.anndata.run_info import RunInfo


def flattened(params: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested parameters by dotted name.

    Examples
    --------
    >>> flattened({"groupby": "condition", "gp": {"sigma": 1.0}})
    {'groupby': 'condition', 'gp.sigma': 1.0}
    """
    flat: dict[str, Any] = {}
    for name, value in params.items():
        if isinstance(value, Mapping) and value and not prefix:
            flat |= flattened(value, f"{name}.")
        else:
            flat[prefix + str(name)] = value
    return flat


class RunComparison:
    """Differences between two runs of the same type.

    Parameters
    ----------
    adata
        Object with the records.
    run_id1, run_id2
        Positions in the history; negative ones count from the end.
    analysis_type
        "de", "da" or "smooth"; None is the type that ran last.

    Attributes
    ----------
    run1, run2
        `RunInfo` of each.
    summary1, summary2
        Their summaries.
    param_comparison
        `same`, `different`, `only_in_run1` and `only_in_run2`, by dotted name.
    field_comparison
        The same of the names of fields, `by_location` and as `totals`.

    Examples
    --------
    >>> import kompot
    >>> adata = kompot.datasets.simulate(n_cells=200, n_genes=20, seed=1)
    >>> for sigma in (1.0, 0.5):
    ...     gp, fdr = kompot.GPSettings(sigma=sigma), kompot.FDRSettings(null_genes=0)
    ...     storage = kompot.StorageSettings(overwrite=True)
    ...     kompot.de(adata, "condition", "Young", "Old", gp=gp, fdr=fdr, storage=storage)
    >>> RunInfo(adata).compare_with(0).param_comparison["different"]
    {'gp.sigma': {'run1': 0.5, 'run2': 1.0}}
    """

    def __init__(self, adata: AnnData, run_id1: int, run_id2: int, analysis_type: str | None = None) -> None:
        self.adata = adata
        self.run1 = RunInfo(adata, run_id1, analysis_type)
        self.analysis_type = self.run1.analysis_type
        self.run2 = RunInfo(adata, run_id2, self.analysis_type)
        self.summary1, self.summary2 = self.run1.get_summary(), self.run2.get_summary()
        self.param_comparison = _compared(flattened(self.run1.params), flattened(self.run2.params))
        self.field_comparison = _compared_fields(self.run1.adata_fields, self.run2.adata_fields)

    @property
    def differences(self) -> list[tuple[str, Any, Any]]:
        """Parameters that are not the same: name, value in run 1, value in run 2 ("-" where it has none)."""
        params = self.param_comparison
        return [
            *((name, pair["run1"], pair["run2"]) for name, pair in params["different"].items()),
            *((name, value, "-") for name, value in params["only_in_run1"].items()),
            *((name, "-", value) for name, value in params["only_in_run2"].items()),
        ]

    def get_summary(self) -> dict[str, Any]:
        """Identity of both runs, and how many parameters and fields are the same or differ."""
        return {
            **{
                name: {"run_id": run.adjusted_run_id, "timestamp": run.timestamp, "result_key": run.result_key}
                for name, run in (("run1", self.run1), ("run2", self.run2))
            },
            "parameters": {f"{kind}_count": len(values) for kind, values in self.param_comparison.items()},
            "fields": dict(self.field_comparison["totals"]),
        }

    def __repr__(self) -> str:
        return (
            f"RunComparison(analysis_type={self.analysis_type!r}, run1={self.run1.adjusted_run_id}, "
            f"run2={self.run2.adjusted_run_id}, same_fields={self.field_comparison['totals']['same']}, "
            f"different_params={len(self.param_comparison['different'])})"
        )

    def __str__(self) -> str:
        from kompot.anndata.run_text import comparison_text

        return comparison_text(self)

    def _repr_html_(self) -> str:
        from kompot.anndata.run_html import comparison_html

        return comparison_html(self)


def _compared(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    both = [name for name in first if name in second]
    return {
        "same": {name: first[name] for name in both if first[name] == second[name]},
        "different": {
            name: {"run1": first[name], "run2": second[name]} for name in both if first[name] != second[name]
        },
        "only_in_run1": {name: value for name, value in first.items() if name not in second},
        "only_in_run2": {name: value for name, value in second.items() if name not in first},
    }


def _compared_fields(first: Mapping[str, list[str]], second: Mapping[str, list[str]]) -> dict[str, Any]:
    by_location: dict[str, dict[str, list[str]]] = {}
    for place in dict.fromkeys([*first, *second]):
        one, two = set(first.get(place, [])), set(second.get(place, []))
        by_location[place] = {
            "same": sorted(one & two),
            "only_in_run1": sorted(one - two),
            "only_in_run2": sorted(two - one),
        }
    kinds = ("same", "only_in_run1", "only_in_run2")
    totals = {kind: sum(len(names[kind]) for names in by_location.values()) for kind in kinds}
    return {"by_location": by_location, "totals": totals}
