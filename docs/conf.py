"""How Sphinx builds the documentation: ``python -m sphinx -W docs build/docs``. Nothing that it makes asks for another site."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import localdfa

project = "localdfa"
author = "The localdfa developers"
release = localdfa.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_click", "generated"]

myst_enable_extensions = ["dollarmath", "attrs_inline"]
myst_heading_anchors = 4
# Names in single backticks are links where they are documented, and code elsewhere.
default_role = "py:obj"
autodoc_member_order = "bysource"
autodoc_typehints = "none"
napoleon_google_docstring = False
napoleon_use_ivar = True

html_theme = "furo"
html_title = "localdfa"
html_math_renderer = "mathml"
html_static_path = ["static"]
html_css_files = ["pages.css"]
html_copy_source = False
html_show_copyright = False
