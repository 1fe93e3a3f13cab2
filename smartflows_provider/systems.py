"""What each flow system is called in Airflow.

A system goes by its connection type: in trigger rows, in the connection form, and in the code. Imported at
every DAG parse, so it holds names and nothing else.
"""

from __future__ import annotations

from typing import Final

SMART_FLOWS: Final = "smartflows"
SMART_FLOWS_LABEL: Final = "Smart Flows"
SMART_FLOWS_CONN_ID: Final = "smartflows_default"

WORKFLOW_SERVER: Final = "workflowserver"
WORKFLOW_SERVER_LABEL: Final = "Workflow Server"
WORKFLOW_SERVER_CONN_ID: Final = "workflowserver_default"

PHIXFLOW: Final = "phixflow"
PHIXFLOW_LABEL: Final = "PhixFlow"
PHIXFLOW_CONN_ID: Final = "phixflow_default"

OCP: Final = "ocp"
OCP_LABEL: Final = "OCP flows"
OCP_CONN_ID: Final = "ocp_default"
