"""The notifier for Smart Flows: a flow that runs because a task or a DAG has ended, or is late.

DAG files import this module, so it imports nothing heavy at its top. Invariants: one notifier may serve many
tasks and runs, so it is the same after each use; nothing but wrong arguments raises an error, and these do
while the DAG is parsed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Iterable, Mapping, Sequence
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from airflow.providers.common.compat.sdk import BaseNotifier

from smartflows_provider.operators.addresses import no_template_file
from smartflows_provider.operators.input_checks import check_one_input, check_rows
from smartflows_provider.option_words import options_of
from smartflows_provider.payload.options import Style
from smartflows_provider.systems import SMART_FLOWS_CONN_ID

if TYPE_CHECKING:
    from os import PathLike

    from airflow.providers.common.compat.sdk import Context

    from smartflows_provider.notifications.bounded_start import BoundedStart, Outcome
    from smartflows_provider.payload.options import BadCharacters, NoneAs

INPUTS = ("xml", "data", "rows")
_ABOUT_INPUT = (*INPUTS, "root", "row", "header", "columns", "namespaces", "xsd", "none_as", "bad_characters")


class SmartFlowsNotifier(BaseNotifier):
    """
    Starts a flow because a task or a DAG has ended, was begun or is late: a report or a letter about it.

    It goes wherever Airflow takes a notifier: the callbacks of tasks and DAGs, ``notifiers`` of others, and
    deadlines by ``AsyncCallback``. Nothing waits for the execution; its id and address are logged. What goes
    wrong is logged, too, and touches neither task nor DAG.

    The input is one of ``xml``, ``data`` and ``rows``, or none for flows that start from the execution panel.
    Templates see the context of the callback, see ``docs/notifier.md``.

    :param flow: id or name of the flow (templated).
    :param smart_flows_conn_id: the connection (templated).
    :param unattended: run without asking anybody; form fields take their defaults (templated).
    :param xml: the input as XML: a string, bytes, an lxml element, a path object, or a URL that
        ``ObjectStoragePath`` takes (templated; any other string that ends in ``.xml`` is a template file).
    :param data: the input as a mapping of element names to values (templated; a string is JSON, and one
        that ends in ``.json`` is a template file).
    :param rows: the input as rows: a list of mappings, or of lists with ``columns``, or the path of a CSV,
        JSON-lines or Parquet file (templated).
    :param root: name of the root element, for ``data`` and ``rows`` (templated).
    :param row: name of each row's element, for ``rows`` (templated).
    :param header: elements before the rows, and attributes of the root as ``@name``, for ``rows``
        (templated).
    :param columns: names of the fields, for ``rows`` that are lists (templated).
    :param namespaces: ``{prefix: namespace}``, declared on the root element (templated).
    :param none_as: what None becomes in ``data`` and ``rows``: ``absent``, ``nil`` or ``empty``.
    :param bad_characters: where a value holds a character that XML cannot carry, ``fail``, or ``replace`` it.
    :param xsd: path of the flow's XSD; the input is brought into its order and checked against it before
        anything is sent. A relative path is taken from the DAG file's folder; for a deadline give a whole
        one (templated).
    :param hide_payload: keep the input out of messages about the start.
    :param timeout: seconds that the notification may take, from the look-up of the connection to the
        service's answer.
    :param context: what a caller knows of the event, as Airflow's triggerer gives it.
    :raises ValueError: for arguments that cannot work.
    """

    template_fields: Sequence[str] = (
        "flow",
        "smart_flows_conn_id",
        "unattended",
        "xml",
        "data",
        "rows",
        "root",
        "row",
        "header",
        "columns",
        "namespaces",
        "xsd",
    )
    template_ext: Sequence[str] = (".xml", ".json")

    def __init__(
        self,
        *,
        flow: str,
        smart_flows_conn_id: str = SMART_FLOWS_CONN_ID,
        unattended: bool | str = False,
        xml: str | bytes | PathLike[str] | Any | None = None,
        data: Mapping[str, Any] | str | None = None,
        rows: Iterable[Any] | str | PathLike[str] | None = None,
        root: str | None = None,
        row: str | None = None,
        header: Mapping[str, Any] | None = None,
        columns: Sequence[str] | str | None = None,
        namespaces: Mapping[str, str] | None = None,
        none_as: NoneAs = "absent",
        bad_characters: BadCharacters = "fail",
        xsd: str | PathLike[str] | None = None,
        hide_payload: bool = False,
        timeout: float = 30.0,
        context: Context | None = None,
    ) -> None:
        super().__init__(context=context)
        self.flow = flow
        self.smart_flows_conn_id = smart_flows_conn_id
        self.unattended = unattended
        self.xml = xml
        self.data = data
        self.rows = rows
        self.root = root
        self.row = row
        self.header = header
        self.columns = columns
        self.namespaces = namespaces
        self.none_as = none_as
        self.bad_characters = bad_characters
        self.xsd = xsd
        self.hide_payload = hide_payload
        self.timeout = timeout
        self._declared = [name for name in INPUTS if getattr(self, name) is not None]
        with options_of(type(self).__name__):
            self._check()

    def _check(self) -> None:
        """Refuse what cannot work."""
        Style(none_as=self.none_as, bad_characters=self.bad_characters)
        checks = {
            "flow": (_is_text, "text"),
            "smart_flows_conn_id": (_is_text, "text"),
            "unattended": (lambda value: isinstance(value, bool | str), "True, False, or a template of them"),
            "data": (_may_be_mapping, "a mapping, or JSON text of one"),
            "header": (_may_be_mapping, "a mapping, or JSON text of one"),
            "namespaces": (_may_be_mapping, "a mapping, or JSON text of one"),
            "timeout": (_is_time, "a number of seconds above 0"),
        }
        for name, (usable, takes) in checks.items():
            value = getattr(self, name)
            if not usable(value):
                raise ValueError(f"{name} is {value!r}; it takes {takes}")
        check_one_input(self._declared, kinds=INPUTS)
        check_rows(
            self.rows is not None,
            rows=self.rows,
            row=self.row,
            root=self.root,
            xsd=self.xsd,
            kinds=("rows",),
            instead="a list, or a path",
        )

    def notify(self, context: Context) -> None:
        """
        Start the flow, and log what came of it; takes a second longer than ``timeout`` at most.

        :param context: of the event.
        """
        self._write(self._start(context).blocking())

    async def async_notify(self, context: Context) -> None:
        """
        Start the flow without blocking the event loop, and log what came of it.

        :param context: of the event.
        """
        start = self._start(context)
        try:
            self._write(await start.asynchronous(self.timeout))
        except asyncio.CancelledError:
            self._write(start.cut_off())
            raise

    def __call__(self, *args: Any) -> None:
        """
        Render the templates and start the flow.

        :param args: the context of the event.
        """
        ready = self._rendered(*args)
        if ready is not None:
            ready.notify(*args)

    def __await__(self) -> Generator[Any, None, None]:
        """Render the templates with the context the notifier was made with, and start the flow."""
        return self._acall().__await__()

    async def _acall(self) -> None:
        ready = self._rendered(self.context)
        if ready is not None:
            await ready.async_notify(self.context)

    def _rendered(self, context: Context) -> Self | None:
        """
        Return a copy with its templates filled in; None, and a line of the log, where they cannot be.

        Airflow would fill in the notifier itself, which then tells the next run of the first one; before 3.2
        it also calls no functions, and keeps a template that renders to nothing.
        """
        ready = copy(self)
        try:
            # `dag.test()` gives the callbacks of a DAG what is stored of it, which makes no environment.
            dag = context.get("dag")
            environment = ready.get_template_env(dag=dag if hasattr(dag, "get_template_env") else None)
            for name in self.template_fields:
                value = getattr(ready, name)
                if callable(value):
                    setattr(ready, name, value(context=context, jinja_env=environment))
                else:
                    setattr(ready, name, ready.render_template(value, context, environment, set()))
        except Exception as error:  # noqa: BLE001 - templates hold code of the author's
            self._write(self._start(context).failed(error))
            return None
        return ready

    def render_template(self, content: Any, *args: Any, **kwargs: Any) -> Any:
        """Render as Airflow does; an address is no template file, whatever it ends in."""
        return super().render_template(no_template_file(content), *args, **kwargs)

    def _start(self, context: Context) -> BoundedStart:
        from smartflows_provider.notifications.bounded_start import BoundedStart, Order

        dag = context.get("dag")
        given = {name: getattr(self, name) for name in _ABOUT_INPUT}
        return BoundedStart(
            Order(
                conn_id=self.smart_flows_conn_id,
                flow=self.flow,
                unattended=self.unattended,
                inputs={name: value for name, value in given.items() if value is not None},
                without_value=[name for name in self._declared if given[name] is None],
                folder=Path(dag.fileloc).parent if dag is not None and dag.fileloc else None,
                hide_payload=self.hide_payload,
                seconds=self.timeout,
            )
        )

    def _write(self, outcome: Outcome) -> None:
        self.log.log(outcome.level, "%s", outcome.text, exc_info=outcome.unexpected)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_time(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and 0 < value < float("inf")


def _may_be_mapping(value: Any) -> bool:
    """Tell whether a value is a mapping or may become one; Airflow calls functions when it renders."""
    return value is None or isinstance(value, Mapping | str) or callable(value)
