"""The only place that asks which Airflow this is, and what it brings along.

What an older Airflow lacks is gated by the version that brought it; everything else in the package reads
these names. What users notice of that is a :class:`Feature`, from which the table in `docs/versions.md` is
made, and which a test compares with what the Airflow at hand really has.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Final

from airflow import __version__ as _airflow_version
from packaging.version import Version

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

AIRFLOW_VERSION: Final[str] = _airflow_version
_BASE = Version(Version(AIRFLOW_VERSION).base_version)


def _is_at_least(minor: str) -> bool:
    return Version(minor) <= _BASE


AIRFLOW_V_3_2_PLUS = _is_at_least("3.2")
"""Connection forms from the provider info; a triggerer that may be asked from any thread."""
AIRFLOW_V_3_3_PLUS = _is_at_least("3.3")
"""
Task and asset state store, ``BaseTrigger.on_kill``, ``retry_policy=``, tasks with templates that start in the
triggerer, tasks that succeed there with XComs, and event triggers that are told when Airflow has their
events.
"""


@cache
def prepare_stats() -> None:
    """
    Have Airflow know where this process's metrics go.

    From 3.2 on the task SDK has metrics of its own. Airflow prepares them where a task runs, and elsewhere,
    in a triggerer say, as soon as it loads its serialisation; what they are told before is lost.
    """
    with suppress(ImportError):
        import_module("airflow.sdk.serde")


def tracer(name: str) -> Tracer | None:
    """
    Return what makes spans, None where OpenTelemetry is not installed.

    Airflow (3.2 and later) tells OpenTelemetry where spans go; where nobody has, they go nowhere.

    :param name: who makes them.
    """
    try:
        from opentelemetry import trace  # noqa: PLC0415 - not needed to parse a DAG, and may be missing
    except ImportError:
        return None
    return trace.get_tracer(name)


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
EVENTS_AFTER_RESTARTS = Feature(
    name="an asset watcher tells of executions that ended while no triggerer was there",
    since="3.3",
    before="whenever a triggerer starts it, it begins with what ends from then on, and says so in its log",
)
FORMS_IN_A_ROW = Feature(
    name='`on_user_input="ask"` shows several different forms, one after the other',
    since="3.4",
    before="it shows the first one; where the flow comes to another, the task fails and says where to answer",
)
FEATURES = (
    RE_ATTACHING,
    SUCCESS_IN_TRIGGERER,
    START_IN_TRIGGERER,
    TRIGGER_ON_KILL,
    RETRY_POLICY,
    CONNECTION_FORMS,
    EVENTS_AFTER_RESTARTS,
    FORMS_IN_A_ROW,
)
"""Everything that users notice of Airflow's version."""
