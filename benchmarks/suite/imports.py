"""Cost of `import kompot`, beside that of `import anndata`, in fresh interpreters."""

from pathlib import Path

import kompot

# The fresh interpreters must find the kompot that is measured, installed or not.
FIND = f"import sys; sys.path.insert(0, {str(Path(kompot.__file__).parents[1])!r})"


class Import:
    """Whole import, in a process that has imported nothing."""

    repeat = (5, 15, 30.0)
    number = 1

    def setup(self) -> None:
        if "de" not in kompot.__all__:
            raise ValueError("this is not the kompot to measure")

    def timeraw_kompot(self) -> tuple[str, str]:
        return "import kompot", FIND

    def timeraw_anndata(self) -> tuple[str, str]:
        return "import anndata", FIND
