"""How Sphinx builds the site from this folder; `make docs` runs it, and its warnings are errors.

Invariants: nothing is fetched, neither while the site is built nor while it is read; the pages are plain
Markdown that can be read without the site; what can be read from the package is not written a second time.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent
sys.path[:0] = [str(DOCS / "_ext"), str(DOCS.parent)]

# Airflow is imported for the reference: one of its own, with nothing of the caller's.
for name in [name for name in os.environ if name.startswith("AIRFLOW")]:
    del os.environ[name]
os.environ["AIRFLOW_HOME"] = str(DOCS / "_build" / "airflow")
os.environ["AIRFLOW__USAGE_DATA_COLLECTION__ENABLED"] = "False"

from smartflows_provider import __version__  # noqa: E402 - reads the settings above

project = "Smart Flows provider for Apache Airflow"
author = "the authors of airflow-provider-smartflows"
project_copyright = f"2026, {author}; Apache-2.0"
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx_copybutton", "smartflows_docs"]
exclude_patterns = ["_build", "_ext"]
nitpicky = True
# Without a network nothing is known of other packages; names of our own must lead somewhere.
nitpick_ignore_regex = [(r"py:.*", r"(?!smartflows_provider\.).*")]

myst_heading_anchors = 4
myst_links_external_new_tab = False

autodoc_typehints = "none"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 88
python_use_unqualified_type_names = True
add_module_names = False
toc_object_entries_show_parents = "hide"

copybutton_prompt_text = re.escape("$ ")
copybutton_prompt_is_regexp = True
copybutton_line_continuation_character = "\\"

html_theme = "furo"
html_title = f"Smart Flows provider {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
