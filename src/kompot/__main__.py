"""`python -m kompot`: the demonstration, and its help."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from kompot._version import __version__
from kompot.demo import main


def run(arguments: Sequence[str] | None = None) -> None:
    """Run the demonstration; with `--help` or `--version`, or for unknown arguments, say so and exit."""
    parser = argparse.ArgumentParser(
        prog="python -m kompot",
        description="Without arguments: simulate a data set, compare its two conditions with kompot.de, and print the "
        "top genes with distance, fold change, false discovery rate, time and memory.",
        epilog="In Python: import kompot; help(kompot.de), help(kompot.da), help(kompot.smooth_expression).",
    )
    parser.add_argument("--version", action="version", version=f"kompot {__version__}")
    parser.parse_args(arguments)
    main()


if __name__ == "__main__":
    run()
