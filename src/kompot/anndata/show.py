"""Printing, for the functions that users ask to print something."""


def show(text: str) -> None:
    """Print to standard output."""
    print(text)  # noqa: T201  the one place that prints
