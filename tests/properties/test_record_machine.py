"""Any sequence of analyses, cleaning up, files and subsets leaves records and fields consistent.

The machine keeps its own books: which run wrote which field, and which fields are still there. After every step the
object must say the same.
"""

import tempfile
import warnings
from pathlib import Path

import anndata as ad
import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import kompot
from adata_helpers import small_adata
from kompot.anndata.history import ANALYSES
from kompot.anndata.run_info import RunInfo
from kompot.errors import KompotWarning, RunRecordWarning
from record_helpers import OUTPUT, with_donors

PLACES = ("obs", "var", "layers", "varm", "uns")
KEYS = st.sampled_from([None, "kompot_other"])
LABELS = st.sampled_from([("A", "B"), ("B", "A")])
KEEP = st.sampled_from([None, True, False])
FUNCTIONS = {"de": kompot.de, "da": kompot.da, "smooth": kompot.smooth_expression}


def names_in(adata):
    """Fields of runs in the object; in `uns` only colours, which are fields."""
    return {
        (place, str(name))
        for place in PLACES
        for name in getattr(adata, place)
        if str(name).startswith("kompot") and (place != "uns" or str(name).endswith("_colors"))
    }


class Records(RuleBasedStateMachine):
    """Analyses, and what may happen to their results."""

    @initialize(seed=st.integers(0, 3))
    def start(self, seed):
        self.adata = with_donors(small_adata(n_cells=60, n_genes=12, seed=seed))
        self.wrote = {kind: [] for kind in ANALYSES}
        self.owner = {}
        self.present = set()
        self.folder = tempfile.TemporaryDirectory()

    def teardown(self):
        if hasattr(self, "folder"):
            self.folder.cleanup()

    def run(self, kind, *labels, **kwargs):
        before = names_in(self.adata)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", KompotWarning)
            FUNCTIONS[kind](self.adata, "condition", *labels, output=OUTPUT, **kwargs)
        self.note(kind, before)

    def note(self, kind, before):
        """A run has just been made: it wrote what is new, and what it says it replaced."""
        fields = {(p, name) for p, names in RunInfo(self.adata, -1, kind).adata_fields.items() for name in names}
        assert names_in(self.adata) == before | fields
        self.wrote[kind].append(fields)
        self.owner |= dict.fromkeys(fields, (kind, len(self.wrote[kind]) - 1))
        self.present |= fields

    @rule(
        labels=LABELS,
        key=KEYS,
        extra=st.booleans(),
        groups=st.booleans(),
        donors=st.booleans(),
        some=st.booleans(),
        landmarks=st.booleans(),
    )
    def de(self, labels, key, extra, groups, donors, some, landmarks):
        self.run(
            "de",
            *labels,
            sample_col="donor" if donors else None,
            genes=list(self.adata.var_names[:3]) if some else None,
            fdr=kompot.FDRSettings(null_genes=0 if extra else 5),
            filter=kompot.FilterSettings(groups="cell_type" if groups else None),
            storage=kompot.StorageSettings(result_key=key, store_additional_stats=extra, store_landmarks=landmarks),
        )

    @rule(labels=LABELS, key=KEYS)
    def da(self, labels, key):
        self.run("da", *labels, storage=kompot.StorageSettings(result_key=key))

    @rule(condition=st.sampled_from(["A", "B"]), empirical=st.booleans(), key=KEYS)
    def smooth(self, condition, empirical, key):
        # Under a key that runs of de have too, smoothed layers have the same names.
        storage = kompot.StorageSettings(result_key=key)
        self.run("smooth", condition, gp=kompot.GPSettings(use_empirical_variance=empirical), storage=storage)

    def any_run(self, choice):
        runs = [(kind, i) for kind in ANALYSES for i in range(len(self.wrote[kind]))]
        return runs[choice % len(runs)]

    @precondition(lambda self: any(self.wrote.values()))
    @rule(choice=st.integers(0, 1000))
    def again(self, choice):
        """The run made again by its arguments, on a copy, gives the fields that are still its own."""
        kind, i = self.any_run(choice)
        run = RunInfo(self.adata, i, kind)
        if run.unrecoverable or getattr(self, "changed", {}).get((kind, i)):
            return
        copy = self.adata.copy()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", KompotWarning)
            FUNCTIONS[kind](copy, **run.call_args())
        for place, name in self.wrote[kind][i]:
            mine = self.owner[place, name] == (kind, i) and (place, name) in self.present
            # Weighted means depend on the latest run of da.
            if mine and place != "uns" and "weighted" not in name:
                one, two = (np.asarray(getattr(part, place)[name]) for part in (self.adata, copy))
                if one.dtype.kind == "f":
                    np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-7, err_msg=name)
                else:
                    assert (one == two).all(), name

    @precondition(lambda self: any(self.wrote.values()))
    @rule(choice=st.integers(0, 1000), everything=st.booleans(), keep=st.tuples(KEEP, KEEP, KEEP, KEEP))
    def cleanup(self, choice, everything, keep):
        kind, i = self.any_run(choice)
        runs = range(len(self.wrote[kind])) if everything else [i]
        kept = dict(zip(("layers", "var", "obs", "varm"), keep, strict=True))
        smoothed_only = kind == "smooth" and kept["layers"] is None
        gone, spared = set(), set()
        for run in runs:
            for place, name in self.wrote[kind][run] & self.present:
                if place == "uns" or kept[place] or (smoothed_only and name.endswith("_smoothed")):
                    continue
                owner_kind, owner = self.owner[place, name]
                (gone if owner_kind == kind and owner in runs else spared).add((place, name))
        gone |= {("uns", f"{name}_colors") for place, name in gone if place == "obs"} & self.present
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            kompot.cleanup(
                self.adata,
                None if everything else i,
                kind,
                keep_layers=kept["layers"],
                keep_var_fields=kept["var"],
                keep_obs_fields=kept["obs"],
                keep_varm_fields=kept["varm"],
            )
        assert any(item.category is RunRecordWarning for item in caught) == bool(spared)
        self.present -= gone

    @precondition(lambda self: bool(self.present))
    @rule(choice=st.integers(0, 1000))
    def delete(self, choice):
        place, name = sorted(self.present)[choice % len(self.present)]
        del getattr(self.adata, place)[name]
        self.present.discard((place, name))

    @rule(suffix=st.sampled_from(["h5ad", "zarr"]))
    def write_and_read(self, suffix):
        path = Path(self.folder.name) / f"{len(list(Path(self.folder.name).iterdir()))}.{suffix}"
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Writing zarr v2")
            getattr(self.adata, f"write_{suffix}")(path)
        self.adata = getattr(ad, f"read_{suffix}")(path)

    @precondition(lambda self: self.adata.n_obs > 45)
    @rule(copy=st.booleans())
    def fewer_cells(self, copy):
        self.adata = self.adata[1:] if not copy else self.adata[:-1].copy()
        self.forget()

    @precondition(lambda self: self.adata.n_vars > 8)
    @rule()
    def fewer_genes(self):
        self.adata = self.adata[:, :-1]
        self.forget()

    def forget(self):
        """Runs so far were made on other cells or genes, so making them again gives something else."""
        self.changed = {(kind, i): True for kind in ANALYSES for i in range(len(self.wrote[kind]))}

    @invariant()
    def the_object_holds_what_is_present(self):
        if hasattr(self, "present"):
            assert names_in(self.adata) == self.present

    @invariant()
    def records_say_what_happened(self):
        if not hasattr(self, "wrote"):
            return
        for kind, runs in self.wrote.items():
            for i, fields in enumerate(runs):
                run = RunInfo(self.adata, i, kind)
                assert {(p, name) for p, names in run.adata_fields.items() for name in names} == fields
                assert {(item["location"], item["field"]) for item in run.missing_fields} == fields - self.present
                assert {(item["location"], item["field"]) for item in run.overwritten_fields} == {
                    field for field in fields if self.owner[field] != (kind, i)
                }
                status = kompot.get_field_status(self.adata, i, kind)
                states = {
                    (p, n): s for p, kinds in status.items() for names in kinds.values() for n, s in names.items()
                }
                assert states == {field: field in self.present for field in fields}
        table = kompot.runs(self.adata)
        assert len(table) == sum(map(len, self.wrote.values()))
        assert table["missing"].sum() == sum(len(f - self.present) for runs in self.wrote.values() for f in runs)


Records.TestCase.settings = settings(
    max_examples=15,
    stateful_step_count=15,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.filterwarnings("ignore::anndata.ImplicitModificationWarning", "ignore:Transforming to str index")
class TestRecords(Records.TestCase):
    """Runs the machine."""
