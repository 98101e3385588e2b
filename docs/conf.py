"""Sphinx configuration."""

from kompot import __version__

project = "kompot"
author = "the kompot founders"
copyright = "2026, the kompot founders"
release = version = __version__
extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "myst_parser",
]
html_theme = "furo"
exclude_patterns = ["_build"]
autodoc_typehints = "none"
autodoc_member_order = "bysource"
autosummary_generate = True
napoleon_google_docstring = False
myst_enable_extensions = ["dollarmath", "amsmath"]
default_role = "literal"
