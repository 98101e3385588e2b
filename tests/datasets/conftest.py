from __future__ import annotations

import anndata as ad
import pytest

from kompot.datasets import SimulationSettings, simulate

MANY_DE_GENES = SimulationSettings(n_de_global=60, n_de_branch=60)


@pytest.fixture(scope="session")
def changed() -> ad.AnnData:
    return simulate(6000, 400, seed=1, settings=MANY_DE_GENES)


@pytest.fixture(scope="session")
def typical() -> ad.AnnData:
    return simulate(6000, 600, seed=2)


@pytest.fixture(scope="session")
def unchanged() -> ad.AnnData:
    return simulate(6000, 400, seed=1, null=True, settings=MANY_DE_GENES)
