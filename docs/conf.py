"""Sphinx: the pages under docs/, the tutorials executed, and the reference from the docstrings."""

import os
import pathlib
import sys

ROOT = pathlib.Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "docs" / "_ext")]  # experiments lie in the clone alone
os.environ["PYTHONPATH"] = str(ROOT)  # of the tutorials' kernels
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import ib_jax  # noqa: E402

project = "ib_jax"
author = "The ib_jax authors"
copyright = "The ib_jax authors. Apache-2.0"
version = release = ib_jax.__version__

extensions = [
    "record_pages",
    "source_names",
    "claims_page",
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx-mathjax-offline",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinxcontrib.bibtex",
]
exclude_patterns = ["_build"]

myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "force"  # `-D nb_execution_mode=off` builds the pages without running the tutorials
nb_execution_timeout = 900  # seconds for one cell, on a slow machine
nb_execution_raise_on_error = True
nb_merge_streams = True

bibtex_bibfiles = ["references.bib"]
bibtex_default_style = "alpha"
bibtex_reference_style = "author_year"

default_role = "py:obj"  # a name in single backticks links to its entry where there is one ...
suppress_warnings = ["ref.python"]  # ... or to one of several of that name
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autosummary_generate = False  # its tables link to the entries of the same page
add_module_names = False
python_maximum_signature_line_length = 90
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True  # fields of a NamedTuple are listed once
napoleon_attr_annotations = False  # their docstrings say dtype and shape
napoleon_custom_sections = [("Source", "notes_style")]

html_theme = "furo"
html_title = "ib_jax"
html_static_path = ["_static"]
html_css_files = ["custom.css"]
