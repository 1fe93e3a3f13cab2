"""What the operators of all flow systems share.

An operator says what is to be run and on what terms; everything about the life of a run is here and in
:class:`smartflows_provider.operators.remote_run.RemoteRun`. This module is imported at every DAG parse, so it
imports nothing heavy at its top. Invariant: the same manifest, errors and XComs whether the task waits on a
worker or in the triggerer.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import BaseOperator, conf

from smartflows_provider.lifecycle.options import DEFAULT_TIMEOUT, RunOptions
from smartflows_provider.links import FlowExecutionLink
from smartflows_provider.option_words import options_of

try:
    from airflow.sdk.exceptions import TaskDeferralError
except ImportError:  # Airflow 3.1
    from airflow.exceptions import TaskDeferralError  # type: ignore[no-redef]

if TYPE_CHECKING:
    from os import PathLike

    from airflow.providers.common.compat.sdk import Context
    from airflow.providers.openlineage.extractors import OperatorLineage

    from smartflows_provider.lifecycle.options import OnClear, OnInputChanged
    from smartflows_provider.lifecycle.results import Results
    from smartflows_provider.operators.remote_run import RemoteRun
    from smartflows_provider.output.lineage import Landing
    from smartflows_provider.output.manifest import Manifest

DEFAULT_MAX_XCOM_BYTES = 48 * 1024


class FlowOperator(BaseOperator):
    """What all operators share: their connection."""

    system: ClassVar[str]
    """The connection type."""
    conn_id_field: ClassVar[str]
    """Name of the argument that names the connection."""
    ui_color = "#e8f3ee"

    @property
    def conn_id(self) -> str:
        """The connection."""
        return str(getattr(self, self.conn_id_field))

    @cached_property
    def hook(self) -> Any:
        """The hook for the connection."""
        from smartflows_provider.lifecycle.systems import hook_for

        return hook_for(self.system, self.conn_id)


class LandingOperator(FlowOperator):
    """What the operators share that bring a run's documents along: they say where these went."""

    landing: Landing | None = None
    """What the task has brought; None as long as it has not."""

    def _landed(self, landing: Landing, context: Context) -> None:
        """Describe the events of the task's outlets, and keep for OpenLineage what was brought."""
        self.landing = landing
        if self.outlets:
            from smartflows_provider.operators.assets import describe_events

            describe_events(self.outlets, context=context, landing=landing, log=self.log)

    def _taken(self, results: Results, context: Context) -> Manifest:
        """Do the same with the results of a run, and return the manifest."""
        self._landed(results.landing, context)
        return results.manifest

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage[Any, Any] | None:
        """
        Return what the task has read and written, also where it has failed.

        :param task_instance: not needed.
        :returns: what the provider for OpenLineage, which asks at the task's end, makes an event of; None
            where it is not installed.
        """
        del task_instance
        try:
            from smartflows_provider.operators.openlineage import lineage_of
        except ImportError:
            self.log.debug("The provider for OpenLineage is not installed.")
            return None
        return lineage_of(self)


class RunOperator(LandingOperator):
    """
    Brings a remote run about, waits for its end and takes its output along.

    A system's operator adds what is to be run, and gives :meth:`make_run` and, where its runs are watched on
    terms of their own, :meth:`run_terms`.

    :param wait_for_completion: False returns right after the start.
    :param deferrable: wait in the triggerer; default from ``[operators] default_deferrable``.
    :param timeout: seconds from submission until the run must be finished.
    :param poll_interval: seconds, the longest pause between two looks at the run.
    :param max_outage: seconds for which the service may be out of reach before the task gives up, and keeps
        the run.
    :param resume_on_worker: False lets a deferred task succeed without another worker process where a worker
        would have nothing left to do; True always resumes it on a worker.
    :param on_clear: a cleared task stops the run it had and starts anew (``restart``), or goes on with it
        (``resume``).
    :param on_input_changed: a retry whose input has changed goes on with the run (``attach``), stops it and
        starts anew (``restart``), or fails (``fail``).
    :param durable: remember the run between attempts (Airflow 3.3 and later).
    :param cancel_on_kill: stop the run when a person stops the task.
    :param cancel_on_timeout: stop a run that this task gives up on.
    :param outputs: ``{name: JMESPath over the values}``, keeps and renames values (templated).
    :param documents_path: where documents, and values that are too large for XCom, are landed, below a folder
        named by the run: a path or URL that ``ObjectStoragePath`` takes (templated).
    :param max_xcom_bytes: size limit for the manifest; what is larger goes to files below ``documents_path``.
    :param options: further fields of ``RunOptions``.
    """

    operator_extra_links = (FlowExecutionLink(),)
    values_by_title: bool = False
    """Whether keys that are GUIDs are replaced by titles."""
    max_document_bytes: int | None = None
    """Size limit for each document; None for no limit."""

    def __init__(
        self,
        *,
        wait_for_completion: bool = True,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        timeout: float = DEFAULT_TIMEOUT,
        poll_interval: float = 60.0,
        max_outage: float = 600.0,
        resume_on_worker: bool = False,
        on_clear: OnClear = "restart",
        on_input_changed: OnInputChanged = "attach",
        durable: bool = True,
        cancel_on_kill: bool = True,
        cancel_on_timeout: bool = True,
        outputs: Mapping[str, str] | None = None,
        documents_path: str | PathLike[str] | None = None,
        max_xcom_bytes: int = DEFAULT_MAX_XCOM_BYTES,
        options: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.wait_for_completion = wait_for_completion
        self.deferrable = deferrable
        self.resume_on_worker = resume_on_worker
        self.durable = durable
        self.outputs = outputs
        self.documents_path = documents_path
        self.max_xcom_bytes = max_xcom_bytes
        with options_of(self.task_id):
            self.options = RunOptions(
                timeout=timeout,
                poll_interval=poll_interval,
                max_outage=max_outage,
                on_clear=on_clear,
                on_input_changed=on_input_changed,
                cancel_on_kill=cancel_on_kill,
                cancel_on_timeout=cancel_on_timeout,
                **(options or {}),
            )
        self._run: RemoteRun | None = None

    @abstractmethod
    def make_run(self, context: Context) -> RemoteRun:
        """Return one attempt of the task; called on a worker."""

    def run_terms(self) -> dict[str, Any] | None:
        """
        Return on what terms the run is watched and stopped, None for no terms; called on a worker.

        They are stored in Airflow's database as plain text: small, JSON, no secrets.
        """
        return None

    def execute(self, context: Context) -> Manifest:
        """Start the run or attach to it, wait, and return the manifest."""
        with self._new_run(context) as run:
            run.begin()
            results = self._conclude(run) if self.wait_for_completion else run.results_at_start()
        return self._taken(results, context)

    def execute_complete(self, context: Context, event: dict[str, Any] | None = None) -> Manifest:
        """
        Go on after the triggerer's event.

        :param context: the task's context.
        :param event: a :class:`smartflows_provider.waiting.event.WaitEvent` as a dict, or the answer to a
            form of Airflow's, after which the wait goes on.
        :raises FlowEventError: if it is neither; the remote run is kept.
        """
        with self._new_run(context) as run:
            run.resume(event)
            results = self._conclude(run)
        return self._taken(results, context)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Go on after a deferral; a trigger that failed fails the task with an error that names the run."""
        try:
            return super().resume_execution(next_method, next_kwargs, context)
        except TaskDeferralError as error:
            with self._new_run(context) as run:
                run.trigger_failed(error)

    def on_kill(self) -> None:
        """Ask the service to stop the run, once and within three seconds, when the task is being stopped."""
        if self._run is not None:
            self._run.kill()

    def _conclude(self, run: RemoteRun) -> Results:
        """Return the results; wait for the end first, and once more after each form."""
        while True:
            if run.must_wait and (self.deferrable or run.asks_person):
                self.defer(trigger=run.trigger(), method_name="execute_complete")
            results = run.conclude()
            if results is not None:
                return results

    def _new_run(self, context: Context) -> RemoteRun:
        self._run = self.make_run(context)
        return self._run


TEMPLATED: Sequence[str] = ("outputs", "documents_path")
"""Template fields that :class:`RunOperator` brings; a system's operator lists them with its own."""
