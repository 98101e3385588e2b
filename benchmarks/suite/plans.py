"""Resource plans against what the runs take: predicted over measured, 1 where the plan is right."""

from __future__ import annotations

import sys
from pathlib import Path

import resources
from measure import in_fresh_process

from .data import simulated

FEWEST = 20_000


class Plans:
    """Highest memory of the process and seconds; raises where memory is more than 25 % off."""

    params = ([name for name, (_, cells, _, _) in resources.CONFIGURATIONS.items() if cells <= FEWEST],)
    param_names = ("run",)
    timeout = 600

    def setup_cache(self) -> dict[str, str]:
        paths = {}
        for name in self.params[0]:
            _, n_cells, n_genes, _ = resources.CONFIGURATIONS[name]
            path = Path(f"plans-{n_cells}x{n_genes}.h5ad")
            if not path.exists():
                simulated(n_cells, n_genes, path=str(path))
            paths[name] = str(path.absolute())
        return paths

    def track_memory(self, paths: dict[str, str], name: str) -> float:
        run = self._measured(paths, name)
        ratio = run["predicted_peak_mb"] / run["peak_mb"]
        if not 1 / resources.ALLOWED_MEMORY <= ratio <= resources.ALLOWED_MEMORY:
            raise ValueError(f"The peak memory predicted for {name!r} is {ratio:.2f} times the measured one.")
        return ratio

    def track_seconds(self, paths: dict[str, str], name: str) -> float:
        run = self._measured(paths, name)
        return run["predicted_seconds"] / run["seconds"]

    def _measured(self, paths: dict[str, str], name: str) -> dict[str, float]:
        function, _, _, options = resources.CONFIGURATIONS[name]
        script = Path(resources.__file__)
        return in_fresh_process(sys.executable, script, path=paths[name], function=function, options=options)
