"""Groups with too few cells of a condition."""

import copy
import pickle

import numpy as np
import pandas as pd
import pytest

import kompot
from adata_helpers import small_adata
from kompot.anndata.cell_filter import filtered_cells
from kompot.anndata.history import get_run_history
from kompot.anndata.representation import look
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


# Reports on other orders and parts of the cells


def left_out(adata, report):
    """Names of the cells that a report leaves out."""
    return set(adata.obs_names[~filtered_cells(adata, report)])


CHANGES = {
    "the same": lambda a: a,
    "another order": lambda a: a[np.random.default_rng(0).permutation(a.n_obs)].copy(),
    "some cells": lambda a: a[::-3].copy(),
    "a view of some cells": lambda a: a[::3],
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("form", ["column", "masks", "one filter"])
def test_a_report_follows_the_names_of_the_cells(change, form):
    adata = uneven()
    report = check(adata, FORMS[form][0](adata))
    expected = set(adata.obs_names[adata.obs["kind"].isin(["rare", "only"])])
    adata.obs["kind"] = "no labels needed"
    changed = CHANGES[change](adata)
    assert left_out(changed, report) == expected & set(changed.obs_names)


def renamed(adata):
    """The cells in another order with other names."""
    other = adata[::-1].copy()
    other.obs_names = [f"other-{name}" for name in other.obs_names]
    return other


def test_a_report_of_a_column_follows_its_labels_where_names_differ():
    adata = uneven()
    report, other = check(adata, "kind"), renamed(adata)
    kept = filtered_cells(other, report)
    np.testing.assert_array_equal(kept, other.obs["kind"] == "good")
    assert kept.sum() < len(kept)


@pytest.mark.parametrize("names", ["others", "repeated", "one more"])
def test_a_report_that_cannot_find_its_cells_is_refused(names):
    adata = uneven()
    report, other = check(adata, masks_of(adata)), renamed(adata)
    if names == "repeated":
        other.obs_names = ["cell0"] * other.n_obs
    if names == "one more":
        other.obs_names = [*adata.obs_names[1:], "more"]
    with pytest.raises(ValueError, match="does not say which cells its group 'rare' has in this object, neither by na"):
        filtered_cells(other, report)


def test_a_report_with_repeated_names_fits_the_object_that_was_checked():
    adata = uneven()
    adata.obs_names = ["cell"] * adata.n_obs
    np.testing.assert_array_equal(filtered_cells(adata, check(adata, masks_of(adata))), adata.obs["kind"] == "good")


def test_a_report_of_a_column_whose_labels_are_others_is_refused():
    adata = uneven()
    report, other = check(adata, "kind"), renamed(adata)
    other.obs["kind"] = other.obs["kind"].cat.rename_categories({"rare": "seldom"})
    with pytest.raises(ValueError, match="does not say which cells its group 'rare' has"):
        filtered_cells(other, report)


@pytest.mark.parametrize(
    "duplicate",
    [lambda r: r.copy(), copy.copy, copy.deepcopy, lambda r: pickle.loads(pickle.dumps(r))],  # noqa: S301
)
def test_copies_of_a_report_know_their_cells(duplicate):
    adata = uneven()
    report = check(adata, masks_of(adata))
    copied = duplicate(report)
    assert isinstance(copied, kompot.RepresentationReport)
    assert copied is not report
    assert copied == report
    assert left_out(adata[::-1], copied) == left_out(adata, report) != set()
    pd.testing.assert_frame_equal(copied.table(), report.table())


# Groups that overlap


def slowly_left_out(groups, conditions, min_cells, min_percentage):
    """The rule in plain words, on sets of cells: drop a poor group and its cells, begin again."""
    gone, found = set(), set()
    while True:
        left = {name: cells - gone for name, cells in groups.items() if name not in found}
        poor = {
            name
            for name, cells in left.items()
            if groups[name]
            and (
                not cells
                or any(
                    len(cells & of_condition) < min_cells
                    or 100 * len(cells & of_condition) < (min_percentage or 0) * len(cells)
                    for of_condition in conditions.values()
                )
            )
        }
        if not poor:
            return gone, found
        found |= poor
        gone |= set().union(*(groups[name] for name in poor))


@pytest.mark.parametrize("seed", range(30))
def test_groups_are_left_out_until_all_that_stay_have_enough(seed):
    rng = np.random.default_rng(seed)
    n_cells, min_cells, min_percentage = 60, int(rng.integers(0, 4)), [None, 25.0][seed % 2]
    label = rng.integers(0, 3, n_cells)
    groups = {f"g{i}": rng.random(n_cells) < rng.uniform(0.02, 0.3) for i in range(8)} | {"none": np.zeros(60, bool)}
    masks = {name: label == code for code, name in enumerate("AB")}
    seen = look(groups, masks, min_cells=min_cells, min_percentage=min_percentage, remove=True)
    sets = [{name: set(np.flatnonzero(mask)) for name, mask in part.items()} for part in (groups, masks)]
    gone, found = slowly_left_out(*sets, min_cells, min_percentage)
    assert set(np.flatnonzero(seen.left_out)) == gone
    assert set(seen.found) == found
    assert set(seen.groups) == set(groups) - found
    for name, mask in seen.groups.items():
        np.testing.assert_array_equal(mask, groups[name] & ~seen.left_out)


def test_a_group_that_loses_all_its_cells_is_reported_and_counts_none():
    label = np.array(list("AAAABAB" + "AB" * 6))
    # Of "large" 1 cell in 5 is B; "inside" has as many of both, but all of its cells are in "large".
    groups = {"inside": np.isin(range(19), [3, 4]), "large": np.arange(19) < 5, "fine": np.arange(19) > 4}
    masks = {name: label == name for name in "AB"}
    seen = look(groups, masks, min_cells=1, min_percentage=30.0, remove=True)
    assert seen.found == {"large": ["B"], "inside": ["A", "B"]}
    assert seen.steps == ("large (B: 1 cell)", "inside (A: 0 cells, B: 0 cells)")
    assert list(seen.groups) == ["fine"]


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
    assert lines[0] == "Cells of each condition in 3 groups; too few: fewer than 5 cells"
    assert lines[1].split() == ["group", "condition", "cells", "%", "of", "group"]
    rows = [line.split() for line in lines]
    assert ["rare", "B", "3", f"{100 * 3 / (adata.obs['kind'] == 'rare').sum():.1f}", "too", "few"] in rows
    assert lines[-1].startswith("To leave out groups with too few cells")


def test_the_printed_rule_and_its_grammar(capsys):
    adata = uneven()
    everyone = {"all": np.ones(adata.n_obs, dtype=bool)}
    check(adata, everyone, min_cells=1, min_percentage=60, print_summary=True)
    title = "Cells of each condition in 1 group; too few: fewer than 1 cell or less than 60 % of the group"
    assert capsys.readouterr().out.splitlines()[0] == title
    with pytest.warns(RepresentationWarning, match=r"Too few cells \(fewer than 2 cells\) in one \(A: 1 cell\)"):
        check(
            adata, {"one": np.flatnonzero(adata.obs["condition"] == "A")[:1]}, conditions=["A"], warn=True, min_cells=2
        )


def test_numbers_as_conditions_are_printed(capsys):
    adata = uneven()
    adata.obs["dose"] = (adata.obs["condition"] == "B").astype(int) * 10
    kompot.check_underrepresentation(adata, "dose", "kind", min_cells=0, print_summary=True)
    assert "Every condition has enough cells" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"conditions": ["a", "C"]}, ValueError, r"at least one label that occurs .*'a', 'C'\. Did you mean 'A'\?"),
        ({"conditions": []}, ValueError, r"at least one label .* came \(none\)\. There is: 'A', 'B'"),
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
    report = check(adata, "kind", conditions=["A", "C"])
    assert report[KEY] == {"good": ["C"], "rare": ["C"], "only": ["C"]}
    assert report.counts["rare"] == {
        "A": int((adata[adata.obs["kind"] == "rare"].obs["condition"] == "A").sum()),
        "C": 0,
    }
    adata.obs["condition"] = adata.obs["condition"].cat.add_categories("C")
    assert check(adata, "kind", conditions=["C"])[KEY] == {"good": ["C"], "rare": ["C"], "only": ["C"]}


def test_missing_labels_of_nullable_text_are_no_condition():
    adata = uneven()
    adata.obs["nullable"] = adata.obs["condition"].astype("string").where(np.arange(adata.n_obs) % 7 > 0)
    counts = kompot.check_underrepresentation(adata, "nullable", "kind", warn=False).counts
    expected = pd.crosstab(adata.obs["kind"], adata.obs["nullable"])
    assert counts == {group: {c: expected.loc[group, c] for c in counts[group]} for group in ("good", "rare", "only")}
    assert set(counts["good"]) == {"A", "B"}
