"""Printing, for the functions that users ask to print something."""

import sys


def show(text: str) -> None:
    """Print to standard output; what its encoding has no form for (labels can hold anything) as escapes."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding))  # noqa: T201  the one place that prints
