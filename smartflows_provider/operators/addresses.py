"""Addresses in template fields, kept from Airflow's look for template files.

Airflow goes by how a text ends, so ``s3://bucket/input.xml`` would be a template file. Invariant: an address
renders to itself, with its own templates filled in.
"""

from __future__ import annotations

from typing import Any

from smartflows_provider.payload.options import is_address


def no_template_file(content: Any) -> Any:
    """
    Return an address so that Airflow takes it for no template file, and everything else as it is.

    :param content: of a template field.
    """
    # A comment of Jinja's renders to nothing.
    return f"{content}{{# #}}" if is_address(content) else content
