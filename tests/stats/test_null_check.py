"""Null genes that are constant: where they bias the rates, and that this is said."""

import numpy as np
import pytest
from scipy import sparse

import kompot
from adata_helpers import QUIET, assert_unchanged, small_adata, snapshot
from helpers import two_conditions
from kompot.errors import NullDistributionWarning
from kompot.stats.fdr import empirical_pvalues, false_discovery_rates
from kompot.stats.null_check import check_null_distances

OUTPUT = kompot.OutputSettings(**QUIET)


def distances(n, seed, zeros=0):
    return np.concatenate([np.sqrt(np.random.default_rng(seed).chisquare(10, size=n)), np.zeros(zeros)])


def test_constant_genes_on_both_sides_cancel():
    check_null_distances(distances(600, 0, zeros=400), distances(300, 1, zeros=200))
    observed, null = np.append(4.5, distances(3000, 1)), distances(6000, 0)
    plain = false_discovery_rates(observed, null).tail_fdr[0]
    mixed = false_discovery_rates(np.append(observed, np.zeros(2000)), np.append(null, np.zeros(4000))).tail_fdr[0]
    assert mixed == pytest.approx(plain, rel=0.1)


@pytest.mark.parametrize("n_zeros", [300, 5000])
def test_constant_null_genes_alone_make_rates_too_small(n_zeros):
    null, observed = distances(1000, 0, zeros=n_zeros), distances(500, 1)
    factor = (1000 + n_zeros) / 1000
    message = f"{n_zeros} of {1000 + n_zeros} null genes are at distance 0, but 0 of the 500 genes tested.*"
    with pytest.warns(NullDistributionWarning, match=message + f"about {factor:.2g}"):
        check_null_distances(null, observed)
    # The factor is that of the p-values, and so of all rates.
    alone, beside = (empirical_pvalues(observed, part) for part in (null[:1000], null))
    np.testing.assert_allclose(alone, factor * beside)


@pytest.mark.parametrize(
    ("null", "observed"),
    [
        (distances(100, 0), distances(50, 1)),
        (distances(1000, 0, zeros=100), distances(500, 1)),
        (distances(17, 0, zeros=3), distances(90, 1, zeros=10)),
        (distances(50, 0), distances(50, 1, zeros=50)),
        (distances(5, 0), np.full(4, np.nan)),
        (np.zeros(5), np.zeros(4)),
        (np.array([2.0]), distances(50, 1)),
        (np.full(5, 9e3), distances(50, 1)),
    ],
    ids=["none", "few", "by-chance", "observed-only", "nothing-observed", "all-constant", "one", "far"],
)
def test_nothing_to_say(null, observed):
    check_null_distances(null, observed)


def test_missing_distances_do_not_count():
    observed = np.append(distances(50, 1), np.full(1000, np.nan))
    with pytest.warns(NullDistributionWarning, match="but 0 of the 50 genes tested"):
        check_null_distances(distances(50, 0, zeros=50), observed)


def with_constant(adata, values):
    """The object with some genes constant in the cells of A and B, though not in others."""
    Y, compared = adata.X.toarray(), adata.obs["condition"].isin(["A", "B"]).to_numpy()
    for gene, value in values.items():
        Y[compared, gene] = value
    adata.X = sparse.csr_matrix(Y)
    return adata


@pytest.mark.parametrize("value", [0.0, 5.0])
@pytest.mark.parametrize("kind", ["csr", "dense", "csc"])
def test_null_genes_drawn_from_constant_ones(value, kind):
    adata = with_constant(small_adata(150, 60, others=("C",)), dict.fromkeys(range(3, 50), value))
    if kind != "csr":
        adata.X = adata.X.toarray() if kind == "dense" else adata.X.tocsc()
    fdr, genes = kompot.FDRSettings(null_genes=60), [f"g{i}" for i in (0, 1, 2, *range(50, 60))]
    message = r"47 of 60 null genes are constant over the cells compared .*, but 0 of the 13 genes tested.*about 4\.6"
    with pytest.warns(NullDistributionWarning, match=message):
        kompot.de(adata, "condition", "A", "B", genes=genes, fdr=fdr, output=OUTPUT)
    # Among all genes they are as frequent as among the null genes.
    kompot.de(adata, "condition", "A", "B", fdr=fdr, storage=kompot.StorageSettings(result_key="all"), output=OUTPUT)
    if value == 0.0:
        assert (adata.var["all_A_to_B_mahalanobis"][3:50] == 0).all()
        assert not adata.var["all_A_to_B_is_de"][3:50].any()


CONSTANT = {
    "declared columns": {"null_genes": list(range(3, 20))},
    "expression of zeros": {"null_expression": "zeros"},
    "expression of constants": {"null_expression": "constants"},
    "sparse expression of zeros": {"null_expression": "sparse"},
}


@pytest.mark.parametrize("given", CONSTANT.values(), ids=CONSTANT)
@pytest.mark.parametrize(
    "options", [{}, {"sample_col": "donor"}, {"gp": kompot.GPSettings(use_empirical_variance=True)}]
)
def test_null_genes_that_are_all_constant(given, options):
    adata = with_constant(small_adata(), dict.fromkeys(range(3, 20), 2.0))
    adata.obs["donor"] = [f"d{i % 3}" for i in range(adata.n_obs)]
    sizes = [int((adata.obs["condition"] == label).sum()) for label in "AB"]
    forms = {
        "zeros": [np.zeros((size, 30)) for size in sizes],
        "constants": [np.tile(np.arange(30.0), (size, 1)) for size in sizes],
        "sparse": [sparse.csr_matrix((size, 30)) for size in sizes],
    }
    if "null_expression" in given:
        given = {"null_expression": tuple(forms[given["null_expression"]])}
    before = snapshot(adata)
    with pytest.raises(ValueError, match=r"All \d+ null genes .*constant over the cells compared.* every gene that"):
        kompot.de(adata, "condition", "A", "B", fdr=kompot.FDRSettings(**given), output=OUTPUT, **options)
    assert_unchanged(adata, before)


def test_constant_null_expression_is_found_before_the_fit(monkeypatch):
    adata = small_adata()
    sizes = [int((adata.obs["condition"] == label).sum()) for label in "AB"]
    monkeypatch.setattr("kompot.anndata.run_de.compute", lambda *_args, **_kwargs: pytest.fail("computed"))
    for kind in (np.asarray, sparse.csr_matrix, sparse.coo_array):
        null = tuple(kind(np.tile([0.0, 3.0], (size, 1))) for size in sizes)
        with pytest.raises(ValueError, match="All 2 null genes of null_expression are constant"):
            kompot.de(adata, "condition", "A", "B", fdr=kompot.FDRSettings(null_expression=null), output=OUTPUT)


def test_all_shuffled_genes_are_constant():
    adata = with_constant(small_adata(120, 400), dict.fromkeys(range(1, 400), 0.0))
    with pytest.raises(ValueError, match="All 5 null genes are constant"):
        kompot.de(adata, "condition", "A", "B", fdr=kompot.FDRSettings(null_genes=5, null_seed=0), output=OUTPUT)


def test_data_without_any_expression_have_nothing_to_call():
    adata = with_constant(small_adata(), dict.fromkeys(range(25), 0.0))
    kompot.de(adata, "condition", "A", "B", fdr=kompot.FDRSettings(null_genes=25), output=OUTPUT)
    assert not adata.var["kompot_de_A_to_B_is_de"].any()


def test_constant_genes_of_a_fit():
    toy = two_conditions(n_genes=6)
    Y1, Y2 = toy.Y1.copy(), toy.Y2.copy()
    Y1[:, 1] = Y2[:, 1] = 0.0
    Y1[:, 2] = Y2[:, 2] = 7.3
    Y1[:, 3], Y2[:, 3] = 0.0, 7.3
    Y1[:, 4] = Y2[:, 4] = 7.3
    Y2[5, 4] = 8.0
    for dtype in (np.float64, np.float32):
        fit = kompot.DifferentialExpression(ls=1.0).fit(toy.X1, Y1.astype(dtype), toy.X2, Y2.astype(dtype)).result
        assert fit.constant_genes().tolist() == [False, True, True, False, False, False]
