"""One line at the end of every run, with the numbers of its results."""

import logging
import re
import sys

import numpy as np
import pytest

import kompot
from adata_helpers import small_adata
from kompot.anndata import progress

LOUD = kompot.OutputSettings()
FDR = kompot.FDRSettings(null_genes=20)
LOGGER = "kompot.anndata.summary"


def prepared(n_cells=240):
    adata = small_adata(n_cells=n_cells, others=("C",))
    adata.obs["donor"] = [f"{c}{i % 3}" for i, c in enumerate(adata.obs["condition"])]
    adata.obs["type"] = np.where(adata.obsm["DM_EigenVectors"][:, 0] > 0, "right", "left")
    return adata


def sizes(adata):
    return [int((adata.obs["condition"] == label).sum()) for label in "AB"]


@pytest.fixture(autouse=True)
def no_bar(monkeypatch):
    """However slow the machine, only the line is on standard error."""
    monkeypatch.setattr(progress, "_DELAY", 1e9)


@pytest.fixture
def line(capsys, caplog):
    """The one line that was written since the last call, which the logger got too."""
    caplog.set_level(logging.INFO, logger="kompot")

    def read():
        out, err = capsys.readouterr()
        assert out == ""
        assert err.count("\n") == 1
        records = [record for record in caplog.records if record.name == LOGGER]
        assert [record.getMessage() for record in records] == [err.rstrip("\n")]
        assert records[0].levelno == logging.INFO
        caplog.clear()
        return err.rstrip("\n")

    return read


def de(adata, **named):
    return kompot.de(adata, "condition", "A", "B", **named)


def test_de(line):
    adata = prepared()
    de(adata, fdr=kompot.FDRSettings(null_genes=20, threshold=0.2))
    a, b = sizes(adata)
    called = adata.var["kompot_de_A_to_B_is_de"].sum()
    assert called > 0
    assert line() == (
        f"kompot.de: A ({a} cells) to B ({b} cells), 25 genes: {called} differentially expressed (local FDR < 0.2, "
        f"20 null genes)."
    )


def test_de_with_samples_and_groups(line):
    adata = prepared()
    cells = adata.obs["condition"].isin(["A", "B"]).to_numpy() & (adata.obs["type"] == "left").to_numpy()
    filtered = kompot.FilterSettings(cell_filter={"type": ["left", "right"]}, groups={"left": cells, "two": [0, 1]})
    with pytest.warns(UserWarning, match="two"):
        de(adata, fdr=FDR, sample_col="donor", filter=filtered, genes=["g0"])
    a, b = sizes(adata)
    text = line()
    assert text.startswith(f"kompot.de: A ({a} cells, 3 samples) to B ({b} cells, 3 samples), 1 gene: ")
    assert "2 groups" in text
    assert text.count("skipped") == int(adata.varm["kompot_de_A_to_B_mean_lfc_groups"]["two"].isna().any())


@pytest.mark.parametrize(
    ("named", "reason"),
    [
        ({"sample_col": "donor"}, "sample_col turns it off unless null_genes is set"),
        ({"fdr": kompot.FDRSettings(null_genes=0)}, "null_genes is 0"),
        ({"fdr": kompot.FDRSettings(null_genes=None)}, "null_genes is None"),
        ({"output": kompot.OutputSettings(compute_mahalanobis=False)}, "compute_mahalanobis=False leaves the dist"),
    ],
)
def test_de_without_false_discovery_rate(line, named, reason):
    adata = prepared()
    de(adata, **named)
    assert "kompot_de_A_to_B_is_de" not in adata.var
    assert f", 25 genes; no false discovery rate: {reason}" in line()


def test_de_with_models_and_with_null_distances(line):
    adata = prepared()
    fits = []
    for label in "AB":
        cells = (adata.obs["condition"] == label).to_numpy()
        fits.append(kompot.ExpressionModel(ls=2.0).fit(adata.obsm["DM_EigenVectors"][cells], adata.X[cells]))
    model = kompot.ModelSettings(model1=fits[0], model2=fits[1])
    de(adata, model=model)
    assert "no false discovery rate: models or predictors given have null genes only where null_genes names" in line()
    de(prepared(), fdr=kompot.FDRSettings(null_mahalanobis=np.linspace(1, 2, 40)))
    assert "(local FDR < 0.05, 40 null distances)." in line()


@pytest.mark.filterwarnings("ignore::kompot.errors.OffsetWarning")
@pytest.mark.parametrize("samples", [None, "donor"])
def test_da(line, samples):
    adata = prepared(400)
    # Cells of B at one end only.
    adata.obs.loc[(adata.obsm["DM_EigenVectors"][:, 0] > 0.2) & (adata.obs["condition"] == "B"), "condition"] = "C"
    threshold = kompot.DAThresholdSettings(lfc_threshold=0.05, ptp_threshold=0.4)
    kompot.da(adata, "condition", "A", "B", sample_col=samples, threshold=threshold)
    counts = adata.obs[f"kompot_da_A_to_B_lfc_direction{'_sample_var' if samples else ''}"].value_counts()
    assert min(counts) > 0
    a, b = sizes(adata)
    n = ", 3 samples" if samples else ""
    assert line() == (
        f"kompot.da: A ({a} cells{n}) to B ({b} cells{n}): {counts['up']} of 400 cells up, {counts['down']} down "
        f"(|log fold change| > 0.05, tail probability < 0.4)."
    )


def test_smooth(line):
    adata = prepared()
    kompot.smooth_expression(adata, "condition", "A", genes=["g1", "g2"])
    a, _ = sizes(adata)
    assert line() == f"kompot.smooth_expression: 2 genes smoothed at 240 cells, from A ({a} cells)."
    kompot.smooth_expression(adata, sample_col="donor")
    assert line() == "kompot.smooth_expression: 25 genes smoothed at 240 cells, from all (240 cells, 9 samples)."
    states = adata.obsm["DM_EigenVectors"]
    model = kompot.ModelSettings(model1=kompot.ExpressionModel(ls=2.0).fit(states, adata.X))
    kompot.smooth_expression(adata, model=model, storage=kompot.StorageSettings(result_key="given"))
    assert line() == "kompot.smooth_expression: 25 genes smoothed at 240 cells, from the model given."


@pytest.mark.parametrize(
    "output",
    [kompot.OutputSettings(inplace=False), kompot.OutputSettings(copy=True)],
    ids=["nothing-written", "copy"],
)
def test_the_same_line_wherever_results_go(line, output):
    adata = prepared()
    de(adata, fdr=FDR)
    expected = line()
    de(prepared(), fdr=FDR, output=output)
    assert line() == expected


RUNS = {
    "de": lambda adata, **named: de(adata, **({"fdr": FDR} | named)),
    "da": lambda adata, **named: kompot.da(adata, "condition", "A", "B", **named),
    "smooth": lambda adata, **named: kompot.smooth_expression(adata, "condition", "A", **named),
}
every_run = pytest.mark.parametrize("run", RUNS.values(), ids=RUNS)


@every_run
def test_without_progress_only_the_logger_gets_it(run, capsys, caplog):
    caplog.set_level(logging.INFO, logger="kompot")
    run(prepared(), output=kompot.OutputSettings(progress=False))
    assert capsys.readouterr() == ("", "")
    assert len([record for record in caplog.records if record.name == LOGGER]) == 1


@every_run
@pytest.mark.parametrize("stream", ["stderr", "stdout"])
def test_a_logger_that_shows_it_is_enough(run, stream, capsys):
    handler = logging.StreamHandler(getattr(sys, stream))
    logger = logging.getLogger("kompot")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        run(prepared())
    finally:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)
    assert "".join(capsys.readouterr()).count("kompot.") == 1


@every_run
def test_a_logger_for_warnings_is_not_enough(run, capsys):
    handler = logging.StreamHandler(sys.stderr)
    handler.setLevel(logging.WARNING)
    logging.getLogger("kompot").addHandler(handler)
    try:
        run(prepared())
    finally:
        logging.getLogger("kompot").removeHandler(handler)
    assert capsys.readouterr().err.count("\n") == 1


@every_run
def test_no_line_without_results(run, capsys, monkeypatch):
    adata = prepared()
    run(adata, dry_run=True)
    assert capsys.readouterr().err == ""

    def full(*_):
        raise OSError("No space left on device")

    for module in ("run_de", "run_da", "run_smooth"):
        monkeypatch.setattr(f"kompot.anndata.{module}.deliver", full)
    with pytest.raises(OSError, match="No space"):
        run(adata)
    assert capsys.readouterr().err == ""


@every_run
def test_one_line_whatever_the_labels(run, capsys):
    adata = prepared()
    label = "A\nB\x1b[31m\ud800" + 200 * "x"
    adata.obs["condition"] = [label if value == "A" else value for value in adata.obs["condition"].astype(str)]
    if run is RUNS["smooth"]:
        kompot.smooth_expression(adata, "condition", label)
    elif run is RUNS["da"]:
        kompot.da(adata, "condition", label, "B")
    else:
        kompot.de(adata, "condition", label, "B", fdr=FDR)
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "A?B?[31m?" in err
    assert "x" * 41 not in err


@pytest.mark.filterwarnings("ignore::kompot.errors.RepresentationWarning")
def test_one_line_whatever_the_groups(capsys):
    adata = prepared()
    name = "T\ncell" + 200 * "x"
    only = (adata.obs["condition"] == "A").to_numpy()
    de(adata, fdr=FDR, filter=kompot.FilterSettings(groups={name: only, "all": np.ones(240, dtype=bool)}))
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert re.search(r"; 2 groups \(1 skipped: T\?cellx+…x+\)\.$", err)
    assert "x" * 41 not in err


def test_no_standard_error(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    progress.tell(logging.getLogger(LOGGER), "anything", shown=True)


@pytest.mark.parametrize(
    ("info", "embedding", "why"),
    [
        ({}, "DM_EigenVectors", "they do not say which embedding they are points of, as those stored by kompot 0.8.0"),
        ({"obsm_key": "X_pca"}, "DM_EigenVectors", r"points of adata.obsm\['X_pca'\], not of adata.obsm\['DM_Eig"),
        ({"obsm_key": "DM_EigenVectors"}, "DM_EigenVectors", "they are no finite points in the dimensions of"),
    ],
)
@pytest.mark.parametrize("run", [RUNS["de"], RUNS["da"]], ids=["de", "da"])
def test_stored_landmarks_that_are_not_used_again(run, info, embedding, why, caplog):
    caplog.set_level(logging.INFO, logger="kompot")
    adata = prepared()
    width = 2 if info.get("obsm_key") == embedding else 3
    adata.uns["kompot_de"] = {"landmarks": np.zeros((4, width)), "landmarks_info": info}
    run(adata, output=kompot.OutputSettings(progress=False))
    (text,) = [r.getMessage() for r in caplog.records if r.name == "kompot.anndata.landmark_store"]
    assert text.startswith("Landmarks stored in adata.uns['kompot_de'] are not used again: ")
    assert re.search(why, text)


@pytest.mark.parametrize("run", [RUNS["de"], RUNS["da"]], ids=["de", "da"])
def test_stored_landmarks_that_do_not_represent_the_cells(run, caplog):
    caplog.set_level(logging.INFO, logger="kompot")
    adata = prepared()
    info = {"obsm_key": "DM_EigenVectors"}
    adata.uns["kompot_de"] = {"landmarks": np.zeros((1, 3)), "landmarks_info": info}
    run(adata, output=kompot.OutputSettings(progress=False))
    (text,) = [r.getMessage() for r in caplog.records if r.name == "kompot.anndata.landmark_store"]
    assert text.startswith("Landmarks stored by an earlier run were not used again: they do not represent")


@pytest.mark.parametrize("run", [RUNS["de"], RUNS["da"]], ids=["de", "da"])
def test_landmarks_that_are_used_again_need_no_line(run, caplog):
    adata = prepared()
    run(adata, storage=kompot.StorageSettings(store_landmarks=True))
    caplog.set_level(logging.INFO, logger="kompot")
    run(adata, output=kompot.OutputSettings(progress=False), storage=kompot.StorageSettings(overwrite=True))
    assert [r.name for r in caplog.records] == [LOGGER]
