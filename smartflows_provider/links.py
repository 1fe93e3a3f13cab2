"""The button that leads from a task to its remote run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import BaseOperatorLink, XCom

from smartflows_provider.lifecycle.xcom_keys import EXECUTION_URL_KEY

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey


class FlowExecutionLink(BaseOperatorLink):
    """
    Leads to the execution panel of the flow system.

    The address is an XCom that the task pushes right after it has started the run, so the link works while
    the task is deferred, and the page that shows it never asks the service.
    """

    name = "Flow execution"

    @property
    def xcom_key(self) -> str:
        """Key of the XCom that holds the address."""
        return EXECUTION_URL_KEY

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """
        Return the address that the task pushed, empty before it has.

        :param operator: the task.
        :param ti_key: the task instance.
        """
        del operator
        return str(XCom.get_value(key=EXECUTION_URL_KEY, ti_key=ti_key) or "")
