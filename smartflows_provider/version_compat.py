"""The only place that asks which Airflow this is.

What an older Airflow lacks is gated by the version that brought it; everything else in the package reads
these names. What users notice of that is a :class:`Feature`, from which the table in `docs/versions.md` is
made, and which a test compares with what the Airflow at hand really has.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from airflow import __version__ as _airflow_version
from packaging.version import Version

AIRFLOW_VERSION: Final[str] = _airflow_version
_BASE = Version(Version(AIRFLOW_VERSION).base_version)


def _is_at_least(minor: str) -> bool:
    return Version(minor) <= _BASE


AIRFLOW_V_3_2_PLUS = _is_at_least("3.2")
"""Connection forms from the provider info; a triggerer that may be asked from any thread."""
AIRFLOW_V_3_3_PLUS = _is_at_least("3.3")
"""
Task state store, ``BaseTrigger.on_kill``, ``retry_policy=``, tasks with templates that start in the
triggerer, and tasks that succeed there with XComs.
"""


@dataclass(frozen=True, kw_only=True)
class Feature:
    """Something that users notice where their Airflow lacks it."""

    name: str
    since: str
    """Airflow's minor version that brought what it needs."""
    before: str
    """What happens on an older Airflow."""

    @property
    def available(self) -> bool:
        """Whether this Airflow has what it needs."""
        return _is_at_least(self.since)


RE_ATTACHING = Feature(
    name="a retry attaches to the run of the attempt before it, a clear stops that run first",
    since="3.3",
    before="a retry or a clear starts a new run, and neither attaches to the earlier one nor stops it",
)
SUCCESS_IN_TRIGGERER = Feature(
    name="a deferred run that succeeds takes one worker process",
    since="3.3",
    before="it takes two",
)
START_IN_TRIGGERER = Feature(
    name="a deferrable sensor takes no worker process",
    since="3.3",
    before="it takes two",
)
TRIGGER_ON_KILL = Feature(
    name="only a deferred task that a person may have ended is looked at for that",
    since="3.3",
    before="it is looked at whenever its trigger is torn down; what was ended is stopped there too",
)
RETRY_POLICY = Feature(
    name="`retry_policy=FlowRetryPolicy()`",
    since="3.3",
    before="operators take no `retry_policy`, and the class says so; what no retry mends still fails at once",
)
CONNECTION_FORMS = Feature(
    name="connection forms with a field for each setting",
    since="3.2",
    before="the form has Airflow's standard fields, and settings go into its field for extras as JSON",
)
FEATURES = (
    RE_ATTACHING,
    SUCCESS_IN_TRIGGERER,
    START_IN_TRIGGERER,
    TRIGGER_ON_KILL,
    RETRY_POLICY,
    CONNECTION_FORMS,
)
"""Everything that users notice of Airflow's version."""
