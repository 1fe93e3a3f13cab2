"""What an extra of this package brings, and what of it is missing here.

Why this module exists: commands and fixtures that need an extra name it, instead of failing at an import.

Invariant: what an extra consists of is read from the package's metadata, so it stands in `pyproject.toml`
alone.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, requires, version

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

DISTRIBUTION = "airflow-provider-smartflows"


def missing(extra: str) -> list[str]:
    """
    Return what of an extra is not installed, or installed in a release that it does not allow.

    :param extra: its name; the extras that it includes count too.
    :returns: requirements in alphabetical order; none where the package itself runs without being installed,
        since nothing is known then.
    """
    try:
        declared = [Requirement(line) for line in requires(DISTRIBUTION) or ()]
    except PackageNotFoundError:
        return []
    lacking: set[str] = set()
    for one in declared:
        if (
            one.marker is None
            or one.marker.evaluate({"extra": ""})
            or not one.marker.evaluate({"extra": extra})
        ):
            continue
        if canonicalize_name(one.name) == DISTRIBUTION:
            lacking.update(*map(missing, one.extras))
        elif not _is_installed(one):
            lacking.add(f"{one.name}{one.specifier}")
    return sorted(lacking)


def how_to_install(extra: str) -> str:
    """
    Return the sentence that tells how an extra is installed.

    :param extra: its name.
    """
    return f"Install it with: pip install '{DISTRIBUTION}[{extra}]'"


def _is_installed(requirement: Requirement) -> bool:
    try:
        return requirement.specifier.contains(version(requirement.name), prereleases=True)
    except PackageNotFoundError:
        return False
