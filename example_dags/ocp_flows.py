"""An OCP flow that is made sure of, and waited for until somebody has deployed and started it.

Needs the connection `ocp_default`, whose platform shows flows' ids. With the devserver
(`python -m smartflows_provider.devserver`), the personal access token is `ocp-token`.
"""

from __future__ import annotations

from airflow.sdk import DAG

from smartflows_provider.operators.ocp import OcpCreateFlowOperator, OcpGetFlowOperator
from smartflows_provider.sensors.ocp import OcpFlowStatusSensor

with DAG(
    dag_id="ocp_flows",
    schedule=None,
    params={"flow": "order_status"},
    tags=["ocp"],
    doc_md=__doc__,
):
    # Repeating it is harmless: a flow of the name that is there gets these fields.
    ensure = OcpCreateFlowOperator(
        task_id="ensure_flow",
        name="{{ params.flow }}",
        input_fields=["order_number"],
        output_fields=["status", "delivery_date"],
        if_exists="update",
    )

    # The API cannot start a flow; people or a pipeline of their own do.
    started = OcpFlowStatusSensor(
        task_id="wait_until_started",
        name="{{ params.flow }}",
        target_status="started",
        timeout=2 * 24 * 3600,
        poke_interval=60,
        deferrable=True,
    )

    show = OcpGetFlowOperator(task_id="show_flow", name="{{ params.flow }}")

    ensure >> started >> show
