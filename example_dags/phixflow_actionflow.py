"""Actionflows of PhixFlow: one that answers when it is done, and one that is waited for without a worker.

Needs the connection `phixflow_default`. The devserver comes with both endpoints:
`python -m smartflows_provider.devserver`, with the key `phixflow-key`.
"""

from __future__ import annotations

from airflow.sdk import DAG

from smartflows_provider.operators.phixflow import PhixFlowRunActionflowOperator

with DAG(
    dag_id="phixflow_actionflow",
    schedule=None,
    params={"region": "north"},
    tags=["phixflow"],
    doc_md=__doc__,
):
    # Set to "Wait for result": the answer comes at the end of the work, within 60 seconds.
    orders = PhixFlowRunActionflowOperator(
        task_id="count_orders",
        application="MyApp",
        actionflow="My API",
        parameters={"Region": "{{ params.region }}"},
        output_name="Out",
    )

    # Set to "Poll for result": the answer is a process id, whose status the triggerer asks for.
    PhixFlowRunActionflowOperator(
        task_id="run_nightly",
        application="MyApp",
        actionflow="Nightly",
        mode="poll",
        body={"orders": "{{ ti.xcom_pull('count_orders')['values']['rows'] }}"},
        output_name="Out",
        deferrable=True,
    ).set_upstream(orders)
