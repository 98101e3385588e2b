"""What the text and the HTML of runs and comparisons say, and that it can be read."""

import re
import textwrap
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import kompot
from adata_helpers import small_adata
from kompot.anndata.run_facts import filter_text, run_facts, shortened
from kompot.anndata.run_info import RunInfo
from kompot.anndata.run_text import column_limits, wrapped_lines
from kompot.errors import RepresentationWarning, SkippedSampleWarning
from record_helpers import (
    FDR,
    analysed,
    published_entry,
    run_da,
    run_de,
    run_smooth,
    with_donors,
    with_published_record,
)

NULL = np.random.default_rng(0).chisquare(4, size=300)
WIDTH = 120
ANALYSES = {"de": run_de, "da": run_da, "smooth": run_smooth}


def facts(adata, run_id=-1, kind=None):
    return dict(run_facts(RunInfo(adata, run_id, kind)))


def with_rare_group(n_rare=10):
    """An object whose group "rare" has cells of condition B only."""
    adata = small_adata()
    rare = adata.obs_names[adata.obs["condition"] == "B"][:n_rare]
    adata.obs["cell_type"] = pd.Categorical(np.where(adata.obs_names.isin(rare), "rare", "T"))
    return adata


class Page(HTMLParser):
    """Tags, and the text without the style."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.parts, self.style = [], [], ""
        self.feed(page)
        self.close()
        self.text = "".join(self.parts)

    def handle_starttag(self, tag, attrs):  # noqa: ARG002  the parser's signature
        self.tags.append(tag)

    def handle_data(self, data):
        if self.tags[-1] == "style" and not self.style:
            self.style = data
        else:
            self.parts.append(data)


# Filters, groups left out, samples, seed


FILTERS = {
    "none": (None, ""),
    "column": ("good", "obs['good']"),
    "values": ({"cell_type": ["T", "B"], "batch": 1}, "cell_type: T, B; batch: 1"),
    "many values": ({"cell_type": list("abcdefgh")}, "cell_type: a, b, c, d, e and 3 more"),
    "values noted": ({"donor": "<list of 3000>"}, "donor: list of 3000"),
    "any of": (["good", {"batch": [1]}], "obs['good'] or batch: 1"),
    "indices": ([4, 7, 9], "3 cells"),
    "mask": ([True, False, True], "2 cells"),
    "mask noted": ("<array shape=(120,)>", "array shape=(120,)"),
    "report": ({"__underrepresentation_data": {"T": ["A"]}, "cell_type": ["T", "B"]}, "all but T"),
    "label like a note": ("<B cell>", "obs['<B cell>']"),
    "number": (3, "3"),
}


@pytest.mark.parametrize(("recorded", "text"), FILTERS.values(), ids=FILTERS)
def test_filters_in_words(recorded, text):
    assert filter_text(recorded) == text


RECORDED = {
    "column": (lambda _: "good", "obs['good']"),
    "values": (lambda _: {"cell_type": {"T", "B"}}, "cell_type: B, T"),
    "mask": (lambda adata: np.arange(adata.n_obs) < 110, "array shape=(120,)"),
    "report": (
        lambda adata: kompot.check_underrepresentation(adata, "condition", "cell_type", min_cells=27, warn=False),
        "all but B",
    ),
}


@pytest.mark.parametrize(("make", "text"), RECORDED.values(), ids=RECORDED)
def test_the_filter_of_a_run(make, text):
    adata = with_donors(small_adata())
    adata.obs["good"] = np.arange(adata.n_obs) % 8 > 0
    cell_filter = make(adata)
    run_de(adata, filter=kompot.FilterSettings(cell_filter=cell_filter))
    shown = facts(adata)["Cell filter"]
    assert shown.startswith(text)
    assert f"  Cell filter   {shown}" in str(RunInfo(adata))
    assert shown in Page(RunInfo(adata)._repr_html_()).text


def test_long_filters_are_shortened():
    adata = small_adata()
    adata.obs["batch"] = pd.Categorical(np.where(np.arange(adata.n_obs) < 110, "x" * 300, "y"))
    run_de(adata, filter=kompot.FilterSettings(cell_filter={"batch": "x" * 300}))
    shown = facts(adata)["Cell filter"]
    assert len(shown) == 100
    assert shown.startswith("batch: xx")
    assert "…" in shown


def test_runs_that_use_all_cells_have_no_filter():
    adata = analysed()
    for kind in ANALYSES:
        assert not {"Cell filter", "Left out", "Skipped samples", "Updated"} & set(facts(adata, kind=kind))


def test_groups_that_were_left_out():
    adata = with_rare_group()
    groups = {"groups": "cell_type", "min_cells": 3}
    with pytest.warns(RepresentationWarning, match="too few cells"):
        run_de(adata, filter=kompot.FilterSettings(**groups, check_representation=True))
    shown = facts(adata)
    assert shown["Left out"] == "rare (too few A)"
    assert shown["Groups"] == "T"
    with pytest.warns(RepresentationWarning, match="too few cells"):
        run_de(adata, filter=kompot.FilterSettings(**groups))
    assert "Left out" not in facts(adata)


@pytest.mark.parametrize("kind", ANALYSES)
def test_samples_that_were_skipped(kind):
    adata = with_donors(small_adata())
    lonely = np.flatnonzero(adata.obs["condition"] == "A")[0]
    adata.obs["donor"] = adata.obs["donor"].astype(object)
    adata.obs.iloc[lonely, adata.obs.columns.get_loc("donor")] = "lonely"
    with pytest.warns(SkippedSampleWarning, match="lonely"):
        ANALYSES[kind](adata, sample_col="donor")
    assert facts(adata)["Skipped samples"] == "lonely"
    assert facts(adata)["Replicates"] == "obs['donor']"


@pytest.mark.parametrize("kind", ANALYSES)
def test_seeds(kind):
    adata = small_adata()
    ANALYSES[kind](adata, gp=kompot.GPSettings(random_state=7))
    assert facts(adata)["Seed"] == "7"


def test_the_seed_nobody_chose_is_shown_too():
    adata = analysed()
    assert [facts(adata, kind=kind)["Seed"] for kind in ("de", "da")] == ["0", "0"]


# Updates and null distributions


def test_rates_computed_again():
    adata = with_donors(small_adata())
    run_de(adata, filter=kompot.FilterSettings(groups="cell_type"))
    assert facts(adata)["Genes"] == "25, 10 null genes"
    kompot.recompute_fdr(adata, NULL)
    shown, when = facts(adata), RunInfo(adata).run_info["updates"][0]["timestamp"]
    text = f"recompute_fdr, {when[:10]} {when[11:19]}; FDR against 300 null distances given, rates per group as before"
    assert shown["Updated"] == text
    assert shown["Genes"] == "25"
    assert shown["Hits"].endswith("of 25 genes (local FDR < 0.05 against 300 null distances given)")
    assert text in Page(RunInfo(adata)._repr_html_()).text


def test_rates_computed_twice_without_groups():
    adata = small_adata()
    run_de(adata)
    kompot.recompute_fdr(adata, NULL)
    kompot.recompute_fdr(adata, NULL[:7], threshold=0.2)
    assert facts(adata)["Updated"].endswith(", and 1 earlier; FDR against 7 null distances given")
    assert facts(adata)["Genes"] == "25"
    assert "local FDR < 0.2 against 7 null distances given" in facts(adata)["Hits"]


def test_directions_computed_again():
    adata = small_adata()
    run_da(adata)
    kompot.update_direction(adata, 0.5)
    assert re.fullmatch(r"update_direction, \d{4}-\d\d-\d\d \d\d:\d\d:\d\d", facts(adata)["Updated"])


NULLS = {
    "instead": (kompot.FDRSettings(null_mahalanobis=NULL), "25", " against 300 null distances given"),
    "beside": (
        kompot.FDRSettings(null_genes=10, null_mahalanobis=NULL, combine_with_internal=True),
        "25, 10 null genes",
        " against 300 null distances given",
    ),
    "shuffled": (FDR, "25, 10 null genes", ""),
}


@pytest.mark.parametrize(("fdr", "genes", "null"), NULLS.values(), ids=NULLS)
def test_null_distances_given_are_no_null_genes(fdr, genes, null):
    adata = small_adata()
    run_de(adata, fdr=fdr)
    assert facts(adata)["Genes"] == genes
    assert facts(adata)["Hits"].endswith(f"(local FDR < 0.05{null})")


# States of fields


def test_each_field_is_counted_once():
    adata = small_adata()
    run_de(adata)
    run_de(adata, fdr=kompot.FDRSettings(null_genes=0))
    del adata.var["kompot_de_A_to_B_mean_lfc"], adata.var["kompot_de_A_to_B_is_de"]
    run = RunInfo(adata, 0, "de")
    # is_de and mean_lfc are gone, of which mean_lfc was also overwritten; the second run wrote no local rate.
    assert facts(adata, 0)["Fields"] == "9 written: 1 present, 6 overwritten by later runs, 2 missing"
    page = Page(run._repr_html_()).text
    assert "fields missing: 2" in page
    assert "fields overwritten: 6" in page
    statuses = [line.split("  ")[-1].strip() for line in str(run).split("Written:\n")[1].split("\n")]
    assert sorted(map(statuses.count, set(statuses))) == [1, 2, 6]
    assert statuses.count("missing") == page.split("Fields written")[1].count("missing") == 2
    assert facts(adata, 1)["Fields"] == "7 written: 6 present, 1 missing"


def test_the_plain_states():
    adata = small_adata()
    run_de(adata)
    assert facts(adata)["Fields"] == "9 written, all present"
    kompot.cleanup(adata, keep_var_fields=False, keep_obs_fields=False)
    assert facts(adata)["Fields"] == "9 written: 0 present, 9 missing"
    run_smooth(adata, storage=kompot.StorageSettings(store_layers=False))
    assert facts(adata)["Fields"] == "none written"


def test_a_field_taken_over_by_another_analysis():
    adata = small_adata()
    same = kompot.StorageSettings(result_key="same")
    run_de(adata, storage=same)
    run_smooth(adata, storage=same)
    run = RunInfo(adata, 0, "de")
    assert re.search(r"same_A_smoothed +overwritten by run 0 of smooth", str(run))
    assert "overwritten by run 0 of smooth" in Page(run._repr_html_()).text


# Width of text


def test_comparisons_fit_the_page():
    adata = small_adata(conditions=("A" * 200, "many words " * 20))
    adata.obs["batch"] = pd.Categorical(np.where(np.arange(adata.n_obs) < 110, "x" * 90, "y"))
    first, second = "A" * 200, "many words " * 20
    run_de(adata, first, second)
    run_de(
        adata,
        second,
        first,
        genes=[f"g{i}" for i in range(12)],
        filter=kompot.FilterSettings(cell_filter={"batch": ["x" * 90, "y"]}),
        fdr=kompot.FDRSettings(null_mahalanobis=NULL),
    )
    text = str(RunInfo(adata, 0).compare_with(1))
    assert max(map(len, text.split("\n"))) <= WIDTH
    assert "filter.cell_filter" in text
    assert re.search(r"\n    genes +None +g0, g1, g2", text)
    assert "…" in text
    title, *lines = str(RunInfo(adata, 0)).split("Written:")[0].split("\n")
    assert max(map(len, lines)) <= WIDTH
    assert title.count("…") == 2


def test_facts_stay_in_order_side_by_side():
    adata = with_donors(small_adata())
    run_de(adata)
    run_de(adata, filter=kompot.FilterSettings(cell_filter={"cell_type": "T"}))
    text = str(RunInfo(adata, 0).compare_with(1))
    row = next(line for line in text.split("\n") if line.startswith("  Cell filter"))
    assert row.split() == ["Cell", "filter", "-", "cell_type:", "T"]
    assert text.index("Cell filter") < text.index("Cells ") < text.index("Hits")
    assert "Left out" not in text


CELLS = st.lists(
    st.tuples(*3 * [st.text("ab -", max_size=200)]),
    min_size=1,
    max_size=4,
)


@given(CELLS, st.integers(30, 130))
def test_wrapped_lines_have_the_width_and_the_words(rows, width):
    lines = wrapped_lines(rows, width=width)
    assert max(map(len, lines)) <= width
    if not any("…" in line for line in lines):
        assert sorted("".join(lines).replace(" ", "")) == sorted("".join(map("".join, rows)).replace(" ", ""))


def test_short_rows_are_not_touched():
    rows = [("a", "5.2e-07"), ("longer", "x")]
    assert wrapped_lines(rows) == ["  a       5.2e-07", "  longer  x"]
    assert wrapped_lines([]) == []
    assert wrapped_lines([("a", "b" * 30)], width=15) == ["  a  bbbbbbbbbb", "     bbbbbbbbbb", "     bbbbbbbbbb"]
    assert wrapped_lines([("a", "b" * 31)], width=15)[-1] == "     bbbbbb…bbb"


@given(st.lists(st.integers(0, 400), min_size=1, max_size=5), st.integers(20, 200))
def test_columns_share_the_width(widths, available):
    limits = column_limits(widths, available)
    assert sum(limits) <= available
    if sum(widths) <= available:
        assert limits == widths
    else:
        fair = available // len(widths)
        assert all(limit >= min(width, fair) for limit, width in zip(limits, widths, strict=True))


@given(st.text(max_size=80), st.integers(3, 60))
def test_shortened_text_keeps_both_ends(text, width):
    cut = shortened(text, width)
    assert len(cut) <= width
    if len(text) <= width:
        assert cut == text
    else:
        start, end = cut.split("…")[0], cut.split("…")[-1]
        assert text.startswith(start)
        assert text.strip().endswith(end)


# HTML


def luminance(color):
    """Relative luminance (WCAG 2.1) of a colour such as #1a8450."""
    levels = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(levels <= 0.03928, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


def contrast(first, second):
    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


def test_the_measure_of_contrast():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


def test_colours_are_readable_on_light_and_dark_pages():
    style = Page(RunInfo(analysed())._repr_html_()).style
    colors = dict(re.findall(r"--(good|warn|bad):(#[0-9a-f]{6})", style))
    assert set(colors) == {"good", "warn", "bad"}
    for color in colors.values():
        assert contrast(color, "#ffffff") >= 4.5
        assert min(contrast(color, dark) for dark in ("#111111", "#1e1e1e")) >= 3.5
    assert "prefers-color-scheme" not in style
    # Text has the colour of the page, or is white on one of the three.
    assert set(re.findall(r"[;{\n]color:([^;}]+)", style)) == {
        "inherit",
        "#fff",
        "var(--good)",
        "var(--warn)",
        "var(--bad)",
    }
    assert set(re.findall(r"background:([^;}]+)", style)) == {"none", "var(--good)", "var(--warn)", "var(--bad)"}


def test_long_words_may_break():
    adata = small_adata(conditions=("A" * 200, "B"))
    run_de(adata, "A" * 200, "B")
    page = RunInfo(adata)._repr_html_()
    assert "overflow-wrap:anywhere" in Page(page).style
    assert f"kompot_<wbr>de_<wbr>{'A' * 200}_<wbr>to_<wbr>B_<wbr>mean_<wbr>lfc" in page
    title = page.split("<h3>")[1].split("</h3>")[0]
    assert len(title) < 120
    assert f"<td>{'A' * 200}</td>" in page


def test_who_ran_it_and_where_is_not_shown():
    environment = {"hostname": "machine", "username": "someone", "pid": 4711, "platform": "Linux"}
    entry = published_entry(environment={**environment, "package_versions": '{"jax": "0.4.1"}'})
    run = RunInfo(with_published_record(entry))
    text = Page(run._repr_html_()).text
    for hidden in ("hostname", "machine", "username", "someone", "pid", "4711"):
        assert hidden not in text, hidden
        assert hidden not in str(run)
    for shown in ("platform", "Linux", "jax", "0.4.1"):
        assert shown in text
    assert run.environment["hostname"] == "machine"


def test_names_in_every_place_are_escaped():
    evil = "<img src=x onerror=alert(1)>&\"'"
    adata = small_adata(conditions=(evil, "B"))
    adata.obs[evil] = adata.obs["condition"]
    adata.obs["donor"] = adata.obs["condition"].astype(str) + np.where(np.arange(adata.n_obs) % 2, evil, "y")
    adata.layers[evil] = adata.X.copy()
    adata.obsm[evil] = adata.obsm["DM_EigenVectors"]
    arguments = {
        "layer": evil,
        "obsm_key": evil,
        "sample_col": "donor",
        "filter": kompot.FilterSettings(
            cell_filter={"donor": [*adata.obs["donor"].unique()]},
            groups={evil: {"donor": f"B{evil}"}},
            check_representation=False,
        ),
    }
    run_de(adata, evil, "B", **arguments)
    run_de(adata, "B", evil)
    entry = published_entry(environment={evil: evil, "package_versions": {evil: evil}})
    entry["field_mapping"] = {evil: {"location": "var", "type": evil, "description": evil}}
    entry["params"]["filter"]["cell_filter"] = {evil: [evil]}
    entry |= {"auto_filtered": True, "underrepresentation": {evil: [evil]}, "skipped_samples": [evil]}
    entry["updates"] = [{"function": evil, "timestamp": evil}]
    runs = [RunInfo(adata, 0), RunInfo(adata, 0).compare_with(1), RunInfo(with_published_record(entry))]
    allowed = {"div", "style", "h3", "details", "summary", "table", "tr", "th", "td", "span", "p", "wbr"}
    for run in runs:
        page = Page(run._repr_html_())
        assert set(page.tags) <= allowed
        assert page.text.count(evil) >= 8


def test_views_of_records_with_next_to_nothing():
    adata = with_published_record({"field_mapping": {}, "updates": None, "params": {"filter": None, "fdr": 3}})
    run = RunInfo(adata)
    assert facts(adata)["Fields"] == "none written"
    assert "unknown to unknown" in str(run)
    assert "unknown to unknown" in Page(run._repr_html_()).text
    assert textwrap.dedent(str(run.compare_with(0))).startswith("Runs 0 and 0 (DE)")
