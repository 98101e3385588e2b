"""Groups with too few cells of a condition."""

import numpy as np
import pandas as pd
import pytest

import kompot
from adata_helpers import small_adata
from kompot.anndata.history import get_run_history
from kompot.anndata.run_info import RunInfo
from kompot.errors import RepresentationWarning
from record_helpers import FDR, OUTPUT

KEY = "__underrepresentation_data"


def uneven(n_cells=120):
    """Group "rare" has 3 cells of B, "good" has many of both, "only" has none of B."""
    adata = small_adata(n_cells=n_cells)
    is_b = (adata.obs["condition"] == "B").to_numpy()
    kind = np.where(np.arange(n_cells) < n_cells // 2, "good", "rare").astype(object)
    in_rare = np.flatnonzero(is_b & (kind == "rare"))
    kind[in_rare[3:]] = "good"
    kind[np.flatnonzero(~is_b)[-5:]] = "only"
    adata.obs["kind"] = pd.Categorical(kind, categories=["good", "rare", "only", "unused"])
    return adata


def check(adata, groups, **kwargs):
    return kompot.check_underrepresentation(adata, "condition", groups, **{"min_cells": 5, "warn": False, **kwargs})


def test_counts_are_those_of_pandas():
    adata = uneven()
    report = check(adata, "kind")
    assert report[KEY] == {"rare": ["B"], "only": ["B"]}
    assert report["kind"] == ["good", "rare", "only"]
    table = report.table().set_index(["group", "condition"])
    counts = pd.crosstab(adata.obs["kind"], adata.obs["condition"])
    for (group, condition), row in table.iterrows():
        assert row["cells"] == counts.loc[group, condition]
        assert row["percentage"] == pytest.approx(100 * counts.loc[group, condition] / counts.loc[group].sum())
        assert row["is_enough"] == (condition not in report[KEY].get(group, []))


def masks_of(adata):
    return {name: (adata.obs["kind"] == name).to_numpy() for name in ("good", "rare", "only")}


BAD = {"rare": ["B"], "only": ["B"]}
FORMS = {
    "column": (lambda _: "kind", BAD, "kind"),
    "masks": (masks_of, BAD, "good"),
    "indices": (lambda a: {name: np.flatnonzero(mask) for name, mask in masks_of(a).items()}, BAD, "good"),
    "filters": (lambda _: {"x": {"kind": "rare"}, "y": {"kind": ["only", "good"]}}, {"x": ["B"]}, "x"),
    "one filter": (lambda _: {"kind": ["rare", "only"]}, {"kind=rare+only": ["B"]}, "kind"),
    "list of filters": (lambda _: [{"kind": "rare"}, {"kind": "good"}], {"kind=rare": ["B"]}, None),
    "list of masks": (lambda a: list(masks_of(a).values()), {"subset2": ["B"], "subset3": ["B"]}, None),
    "series": (lambda a: a.obs["kind"].iloc[::-1], BAD, "selection"),
    "mask": (lambda a: masks_of(a)["rare"], {"True": ["B"]}, "selection"),
    "labels": (lambda a: a.obs["kind"].to_numpy().astype(str), BAD, "selection"),
    "matrix": (lambda a: np.stack(list(masks_of(a).values())), {"subset2": ["B"], "subset3": ["B"]}, "selection"),
}


@pytest.mark.parametrize(("groups", "expected", "key"), FORMS.values(), ids=FORMS)
def test_every_form_of_groups_and_its_use_as_a_filter(groups, expected, key):
    adata = uneven()
    report = check(adata, groups(adata))
    assert report[KEY] == expected
    assert set(report) == {KEY, key} - {None}
    if key is not None:
        assert report[key] == list(report.masks)
    left_out = np.any([report.masks[name] for name in expected], axis=0)
    kompot.de(
        adata,
        "condition",
        "A",
        "B",
        fdr=FDR,
        filter=kompot.FilterSettings(cell_filter=report),
        output=OUTPUT,
    )
    assert adata.obs["kompot_de_A_std"].isna().to_numpy().tolist() == left_out.tolist()
    lost = RunInfo(adata).unrecoverable
    assert lost == ([] if isinstance(groups(adata), str) else ["filter.cell_filter"])


def test_a_recorded_report_on_a_column_filters_again():
    adata = uneven()
    settings = kompot.FilterSettings(cell_filter=check(adata, "kind"))
    kompot.de(adata, "condition", "A", "B", fdr=FDR, filter=settings, output=OUTPUT)
    before = adata.var["kompot_de_A_to_B_mahalanobis"].copy()
    arguments = RunInfo(adata).call_args()
    arguments["storage"].overwrite = True
    kompot.de(adata, **arguments)
    pd.testing.assert_series_equal(adata.var["kompot_de_A_to_B_mahalanobis"], before)
    assert len(get_run_history(adata, "de")) == 2


def test_a_plain_copy_that_cannot_say_its_cells_is_refused():
    adata = uneven()
    plain = dict(check(adata, {"kind": ["rare", "only"]}))
    with pytest.raises(ValueError, match="does not say which cells its group 'kind=rare\\+only' has"):
        kompot.de(adata, "condition", "A", "B", filter=kompot.FilterSettings(cell_filter=plain), output=OUTPUT)


def test_percentages():
    adata = uneven()
    assert check(adata, "kind", min_cells=0, min_percentage=1.0)[KEY] == {"only": ["B"]}
    assert check(adata, "kind", min_cells=0)[KEY] == {}
    assert set(check(adata, "kind", min_cells=0, min_percentage=100.0)[KEY]) == {"good", "rare", "only"}


def test_the_default_asks_for_thirty_cells():
    adata = uneven()
    report = kompot.check_underrepresentation(adata, "condition", "kind", warn=False)
    counts = pd.crosstab(adata.obs["kind"], adata.obs["condition"])
    assert report[KEY] == {
        group: [c for c in ("A", "B") if counts.loc[group, c] < 30]
        for group in ("good", "rare", "only")
        if (counts.loc[group] < 30).any()
    }


def test_warning_and_printed_table(capsys):
    adata = uneven()
    with pytest.warns(RepresentationWarning, match=r"fewer than 5 cells.*rare \(B: 3 cells\); only \(B: 0 cells\)"):
        kompot.check_underrepresentation(adata, "condition", "kind", min_cells=5)
    assert capsys.readouterr().out == ""
    check(adata, "kind", print_summary=True)
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["group", "condition", "cells", "%", "of", "group"]
    rows = [line.split() for line in lines]
    assert ["rare", "B", "3", f"{100 * 3 / (adata.obs['kind'] == 'rare').sum():.1f}", "too", "few"] in rows
    assert lines[-1].startswith("To leave these groups out")


def test_numbers_as_conditions_are_printed(capsys):
    adata = uneven()
    adata.obs["dose"] = (adata.obs["condition"] == "B").astype(int) * 10
    kompot.check_underrepresentation(adata, "dose", "kind", min_cells=0, print_summary=True)
    assert "Every condition has enough cells" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"conditions": ["A", "C"]}, ValueError, "'C' does not occur in adata.obs"),
        ({"conditions": "A"}, TypeError, "must be a list"),
        ({"groupby": "conditions"}, (KeyError, ValueError), "condition"),
        ({"groups": "kinds"}, (KeyError, ValueError), "kind"),
        ({"min_cells": -1}, ValueError, "min_cells"),
        ({"min_percentage": 0}, ValueError, "min_percentage"),
    ],
)
def test_errors(kwargs, error, message):
    with pytest.raises(error, match=message):
        kompot.check_underrepresentation(**{"adata": uneven(), "groupby": "condition", "groups": "kind", **kwargs})


def test_chosen_conditions():
    adata = uneven()
    assert check(adata, "kind", conditions=["A"])[KEY] == {}
    adata.obs["condition"] = adata.obs["condition"].cat.add_categories("C")
    assert check(adata, "kind", conditions=["C"])[KEY] == {"good": ["C"], "rare": ["C"], "only": ["C"]}
