"""The flow systems as the conformance suite drives them: one face over all.

A case says how a run comes about at the service and what is seen of it there; what must hold for every system
is in the tests.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal
from uuid import uuid4

import jmespath
import pytest
from support.service import panel_flow, starts
from support.tasks import Mode

from conformance import toy_system
from conformance.toy_system import ToyJobSensor, ToyRunJobOperator, ToySection
from smartflows_provider.devserver.ocp import PROFILES as OCP_PROFILES
from smartflows_provider.devserver.ocp import OcpSection
from smartflows_provider.devserver.phixflow import PhixFlowSection
from smartflows_provider.devserver.phixflow_profiles import PROFILES as PHIXFLOW_PROFILES
from smartflows_provider.devserver.profiles import PROFILES
from smartflows_provider.devserver.server import DevServer
from smartflows_provider.devserver.workflow_server import PROFILES as WORKFLOW_SERVER_PROFILES
from smartflows_provider.devserver.workflow_server import WorkflowServerSection
from smartflows_provider.get_provider_info import flow_systems, provider_info
from smartflows_provider.hooks.smart_flows import SmartFlowsHook
from smartflows_provider.hooks.workflow_server import WorkflowServerHook
from smartflows_provider.lifecycle.systems import hook_for
from smartflows_provider.operators.phixflow import PhixFlowRunActionflowOperator
from smartflows_provider.operators.smart_flows import SmartFlowsRunFlowOperator
from smartflows_provider.operators.workflow_server import WorkflowServerRunProcessOperator
from smartflows_provider.sensors.ocp import OcpFlowStatusSensor
from smartflows_provider.sensors.smart_flows import SmartFlowsExecutionSensor
from smartflows_provider.sensors.workflow_server import WorkflowServerProcessSensor
from smartflows_provider.wire.workflow_server_process import InstanceStatus

Ends = Literal["well", "badly"]
CANARY = "canary-credential-5d81"
"""The secret that must not show anywhere."""


class Case(ABC):
    """
    One system.

    :param server: serves it.
    :param monkeypatch: sets the connection.
    """

    name: ClassVar[str]
    """The connection type."""
    label: ClassVar[str]
    conn_id: ClassVar[str]
    start_path: ClassVar[str] = ""
    """Regular expression over the path of the request that starts a run."""
    look_path: ClassVar[str]
    """Regular expression over the paths of the requests that ask about a run."""
    total_path: ClassVar[str] = "total"
    """JMESPath to the 7 that a run which ends well brings."""
    runs: ClassVar[bool] = True
    """Whether there is an operator that starts runs."""
    senses: ClassVar[bool] = True
    """Whether there is a sensor."""
    stops: ClassVar[bool] = True
    """Whether a run can be stopped."""
    leaves_alone: ClassVar[Mapping[str, Any]] = {"cancel_on_kill": False, "cancel_on_timeout": False}
    """Arguments of an operator that never stops its run."""
    own_terms: ClassVar[Mapping[str, Any]] = {}
    """Arguments of operator and sensor for which a run that goes on is done; empty: there are none."""
    profiles: ClassVar[Mapping[str, Mapping[str, Any]]] = {"default": {}}
    """What the vendor leaves open, as choices of the devserver, each with what the connection says of it."""
    sign_ins: ClassVar[Sequence[str]] = ("default",)
    """One profile for each way in which a credential is sent, refused or renewed."""

    def __init__(self, server: DevServer, monkeypatch: pytest.MonkeyPatch) -> None:
        self.server = server
        self._monkeypatch = monkeypatch
        self.prepare()
        self.connect()

    @abstractmethod
    def prepare(self) -> None:
        """Set the service up, with :data:`CANARY` as the credential."""

    def connect(self, **changes: Any) -> None:
        """Let the Airflow connection lead to the service."""
        given = {**self.connection(), **changes}
        self._monkeypatch.setenv(f"AIRFLOW_CONN_{self.conn_id.upper()}", json.dumps(given))

    @abstractmethod
    def connection(self) -> dict[str, Any]:
        """Return the connection as it is right now."""

    @property
    def hook(self) -> Any:
        """A new hook for the connection."""
        return hook_for(self.name, self.conn_id)

    def operator(self, mode: Mode, *, seconds: float, ends: Ends = "well", **more: Any) -> Any:
        """Return a task that starts a run and waits for it."""
        given = {"task_id": "t", "poll_interval": 0.05, "deferrable": mode == "deferrable", **more}
        return self.make_operator(seconds=seconds, ends=ends, **given)

    def make_operator(self, *, seconds: float, ends: Ends, **given: Any) -> Any:
        """Return the system's operator."""
        raise NotImplementedError

    def sensor(self, mode: str, run_id: str, **more: Any) -> Any:
        """Return a sensor for a run, in the mode ``poke``, ``reschedule`` or ``deferrable``."""
        how = {"deferrable": True} if mode == "deferrable" else {"deferrable": False, "mode": mode}
        return self.make_sensor(
            run_id, **{"task_id": "s", "poke_interval": 0.05, "timeout": 30, **how, **more}
        )

    def make_sensor(self, run_id: str, **given: Any) -> Any:
        """Return the system's sensor."""
        raise NotImplementedError

    def total(self, manifest: Mapping[str, Any]) -> Any:
        """Return the 7 of a manifest."""
        return jmespath.search(self.total_path, manifest["values"])

    def begin(self, *, seconds: float, ends: Ends = "well") -> str:
        """Start a run without Airflow, and return its id."""
        raise NotImplementedError

    @abstractmethod
    def started(self) -> list[str]:
        """Return the ids of the runs that tasks have started, one for each start that was taken."""

    @abstractmethod
    def status(self, run_id: str) -> Literal["alive", "over", "stopped"]:
        """Return how a run stands at the service."""

    @abstractmethod
    def rotate(self) -> None:
        """Make another credential valid, and the present one invalid."""

    @abstractmethod
    def forget(self, run_id: str) -> None:
        """Have the service clean a run up."""

    def configure(self, profile: str) -> dict[str, Any]:
        """Choose a profile, and return the arguments that operators then need."""
        del profile
        return {}


class SmartFlowsCase(Case):
    name = "smartflows"
    label = "Smart Flows"
    conn_id = "smartflows_default"
    start_path = r"/flows/executions$"
    look_path = r"/flows/executions/[^/]+(/progress)?$"
    profiles: ClassVar[Mapping[str, Mapping[str, Any]]] = {name: {} for name in PROFILES}

    def prepare(self) -> None:
        self.key = CANARY
        self.server.add_key(CANARY)

    def connection(self) -> dict[str, Any]:
        return {
            **json.loads(self.server.connection_json(api_key=self.key)),
            "extra": {"long_poll_seconds": 0},
        }

    def _flow(self, seconds: float, ends: Ends) -> str:
        work = {"id": "work", "kind": "work", "duration": seconds}
        last = (
            {"kind": "output", "values": {"total": 7}}
            if ends == "well"
            else {"kind": "fail", "message": "No"}
        )
        return panel_flow(self.server, work, last, name="Letter").name

    def make_operator(self, *, seconds: float, ends: Ends, **given: Any) -> Any:
        return SmartFlowsRunFlowOperator(flow=self._flow(seconds, ends), **given)

    def make_sensor(self, run_id: str, **given: Any) -> Any:
        return SmartFlowsExecutionSensor(execution_id=run_id, **given)

    def begin(self, *, seconds: float, ends: Ends = "well") -> str:
        with SmartFlowsHook() as hook:
            return hook.start(self._flow(seconds, ends)).execution_id

    def started(self) -> list[str]:
        return [one["id"] for one in self.server.executions()][-len(starts(self.server)) :]

    def status(self, run_id: str) -> Literal["alive", "over", "stopped"]:
        (status,) = [one["status"] for one in self.server.executions() if one["id"] == run_id]
        if status == "Canceled":
            return "stopped"
        return "over" if status in {"Success", "Error", "Warning"} else "alive"

    def rotate(self) -> None:
        self.server.revoke_key(self.key)
        self.key = f"{CANARY}-2"
        self.server.add_key(self.key)

    def forget(self, run_id: str) -> None:
        self.server.expire(run_id)

    def configure(self, profile: str) -> dict[str, Any]:
        self.server.profile = PROFILES[profile]
        return {}


class WorkflowServerCase(Case):
    name = "workflowserver"
    label = "Workflow Server"
    conn_id = "workflowserver_default"
    start_path = r"^/workflowapi/createinstance/"
    look_path = r"^/workflowapi/getinstanceinfo/"
    total_path = "parameters.total"
    leaves_alone: ClassVar[Mapping[str, Any]] = {"on_kill": "none"}
    own_terms: ClassVar[Mapping[str, Any]] = {"success_states": ["Working"]}
    profiles: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        name: {"token_url": True} if profile.discovery != "own" else {}
        for name, profile in WORKFLOW_SERVER_PROFILES.items()
    }
    sign_ins = ("token_forbidden", "token_envelope", "openid", "openid_foreign", "openid_undiscovered")

    def prepare(self) -> None:
        self.section = self.server.section(WorkflowServerSection)
        self.section.configure(access="token")
        self.section.rotate(CANARY)
        self.token_url = False

    def connection(self) -> dict[str, Any]:
        found = json.loads(self.server.section_connection_json(WorkflowServerSection))
        if self.token_url:
            found["extra"]["token_url"] = f"{self.server.url}/connect/token"
        return found

    def _scheme(self, seconds: float, ends: Ends) -> str:
        end = InstanceStatus.FINALIZED if ends == "well" else InstanceStatus.TERMINATED
        done = {"name": "Done", "state": "Done", "sets": {"total": 7}, "ends": end}
        withdrawn = {"name": "Out", "state": "Withdrawn", "ends": InstanceStatus.FINALIZED}
        work = {"name": "Work", "state": "Working", "seconds": seconds}
        return self.section.add_scheme(f"Job {seconds} {ends}", work, done, withdrawn).code

    def make_operator(self, *, seconds: float, ends: Ends, **given: Any) -> Any:
        arguments = {"on_kill": "set_state:Withdrawn", **given}
        return WorkflowServerRunProcessOperator(scheme_code=self._scheme(seconds, ends), **arguments)

    def make_sensor(self, run_id: str, **given: Any) -> Any:
        return WorkflowServerProcessSensor(process_id=run_id, **given)

    def begin(self, *, seconds: float, ends: Ends = "well") -> str:
        run_id = str(uuid4())
        with WorkflowServerHook() as hook:
            hook.create_instance(run_id, scheme_code=self._scheme(seconds, ends))
        return run_id

    def started(self) -> list[str]:
        return list(self.section.created)

    def status(self, run_id: str) -> Literal["alive", "over", "stopped"]:
        shown = self.section.process(run_id)
        if shown.get("StateName") == "Withdrawn":
            return "stopped"
        return "alive" if shown["InstanceStatus"] in {0, 1, 2} else "over"

    def rotate(self) -> None:
        self.section.rotate(f"{CANARY}-2")

    def forget(self, run_id: str) -> None:
        self.section.purge(run_id)

    def configure(self, profile: str) -> dict[str, Any]:
        self.section.profile = WORKFLOW_SERVER_PROFILES[profile]
        self.token_url = bool(self.profiles[profile])
        self.connect()
        return {}


class PhixFlowCase(Case):
    """The mode *Poll for result*; in the mode *Wait for result* nothing is waited for after the call."""

    name = "phixflow"
    label = "PhixFlow"
    conn_id = "phixflow_default"
    start_path = r"^/phixflow/api/1/action/MyApp/Job/trigger$"
    look_path = r"/status(/.+)?$"
    senses = False
    stops = False
    leaves_alone: ClassVar[Mapping[str, Any]] = {}
    own_terms: ClassVar[Mapping[str, Any]] = {
        "success_words": ["Running"],
        "running_words": ["Queued"],
        "output_name": None,
    }
    profiles: ClassVar[Mapping[str, Mapping[str, Any]]] = {name: {} for name in PHIXFLOW_PROFILES}
    sign_ins = ("default", "plain_nested_422")

    def prepare(self) -> None:
        self.section = self.server.section(PhixFlowSection)
        self.section.rotate(CANARY)
        self.section.add_endpoint(actionflow="Check", method="GET")

    def connection(self) -> dict[str, Any]:
        found = json.loads(self.server.section_connection_json(PhixFlowSection))
        found["extra"]["test_path"] = "/action/MyApp/Check/trigger"
        return found

    def make_operator(self, *, seconds: float, ends: Ends, **given: Any) -> Any:
        outcome = "Success" if ends == "well" else "Fail"
        profile = self.section.profile
        ended = {"status": profile.success_word, "Out": {"total": 7}}
        # What a text cannot carry, the endpoint's author answers as JSON.
        body = json.dumps(ended) if profile.body_form == "text" and ends == "well" else None
        self.section.add_endpoint(
            actionflow="Job",
            mode="poll",
            seconds=seconds,
            outcome=outcome,
            message="The data is not there" if ends == "badly" else "",
            result={"total": 7},
            body=body,
        )
        names = {"application": "MyApp", "actionflow": "Job", "mode": "poll", "output_name": "Out"}
        return PhixFlowRunActionflowOperator(**{**names, **given})

    def started(self) -> list[str]:
        return [call.process_id for call in self.section.calls if call.actionflow == "Job"]

    def status(self, run_id: str) -> Literal["alive", "over", "stopped"]:
        return "alive" if self.section.status_of(run_id) == "Running" else "over"

    def rotate(self) -> None:
        self.section.rotate(f"{CANARY}-2")

    def forget(self, run_id: str) -> None:
        self.section.forget(run_id)

    def configure(self, profile: str) -> dict[str, Any]:
        self.section.profile = PHIXFLOW_PROFILES[profile]
        self.connect()
        terms = self.section.terms(application="MyApp", actionflow="Job", output_name="Out")
        return {
            name: getattr(terms, name)
            for name in (
                *("status_path", "id_field", "success_words", "failure_words", "running_words"),
                "result_path",
            )
            if getattr(terms, name) is not None
        }


class OcpCase(Case):
    """Its flows have statuses and no runs: a run is the way to the status that is waited for."""

    name = "ocp"
    label = "OCP flows"
    conn_id = "ocp_default"
    look_path = r"^/api/apps/[^/]+/status/$"
    own_terms: ClassVar[Mapping[str, Any]] = {"target_status": "not-deployed"}
    runs = False
    stops = False
    profiles: ClassVar[Mapping[str, Mapping[str, Any]]] = {name: {} for name in OCP_PROFILES}
    sign_ins = ("default", "password_silent")

    def prepare(self) -> None:
        self.section = self.server.section(OcpSection)
        self.section.rotate(CANARY)
        self.section.rotate_password(CANARY)

    def connection(self) -> dict[str, Any]:
        return json.loads(self.server.section_connection_json(OcpSection))

    def make_sensor(self, run_id: str, **given: Any) -> Any:
        arguments = {"target_status": "started", "failure_statuses": ["stopped"], **given}
        return OcpFlowStatusSensor(flow_id=run_id, **arguments)

    def begin(self, *, seconds: float, ends: Ends = "well") -> str:
        flow_id = self.section.add_flow("greeting", status="not-deployed")
        self.section.set_status(flow_id, "started" if ends == "well" else "stopped", after=seconds)
        return flow_id

    def started(self) -> list[str]:
        return []

    def status(self, run_id: str) -> Literal["alive", "over", "stopped"]:
        return "alive" if self.section.flow(run_id)["status"] == "not-deployed" else "over"

    def rotate(self) -> None:
        self.section.rotate(f"{CANARY}-2")
        self.section.rotate_password(f"{CANARY}-2")

    def forget(self, run_id: str) -> None:
        self.section.remove(run_id)

    def configure(self, profile: str) -> dict[str, Any]:
        self.section.profile = OCP_PROFILES[profile]
        self.connect()
        return {}


class ToyCase(Case):
    name = toy_system.TOY
    label = toy_system.TOY_LABEL
    conn_id = toy_system.TOY_CONN_ID
    start_path = r"^/toy/jobs/job$"
    look_path = r"^/toy/jobs/.{36}$"

    def prepare(self) -> None:
        self.section = self.server.section(ToySection)
        self.section.key = CANARY

    def connection(self) -> dict[str, Any]:
        return json.loads(self.server.section_connection_json(ToySection))

    def make_operator(self, *, seconds: float, ends: Ends, **given: Any) -> Any:
        end = "done" if ends == "well" else "broken"
        return ToyRunJobOperator(kind="job", seconds=seconds, end=end, **given)

    def make_sensor(self, run_id: str, **given: Any) -> Any:
        return ToyJobSensor(job_id=run_id, **given)

    def begin(self, *, seconds: float, ends: Ends = "well") -> str:
        return self.section.begin(seconds=seconds, end="done" if ends == "well" else "broken", kind="other")

    def started(self) -> list[str]:
        return [job_id for job_id, job in self.section.jobs.items() if job.kind == "job"]

    def status(self, run_id: str) -> Literal["alive", "over", "stopped"]:
        state = self.section.state_of(run_id)
        return {"busy": "alive", "stopped": "stopped"}.get(state, "over")

    def rotate(self) -> None:
        self.section.key = f"{CANARY}-2"

    def forget(self, run_id: str) -> None:
        del self.section.jobs[run_id]


CASES: tuple[type[Case], ...] = (SmartFlowsCase, WorkflowServerCase, PhixFlowCase, OcpCase, ToyCase)


def info_with_toy() -> dict[str, Any]:
    """Return the package's provider info with the toy as a further system."""
    return provider_info((*flow_systems(), toy_system.SYSTEM))
