"""What functions under ``@task.smart_flow`` return, waited for in the triggerer."""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, task, task_group

with DAG("decorated", schedule=None):

    @task.smart_flow(flow="Letter", root="Letter", deferrable=True, poll_interval=1.0)
    def letter(name: str, greeting: str = "Dear") -> dict[str, str]:
        return {"Name": f"{greeting} {name}"}

    @task.smart_flow(flow="Letter", root="Letter", deferrable=True, poll_interval=1.0, multiple_outputs=True)
    def parts(name: str) -> dict[str, str]:
        return {"Name": name}

    @task
    def names() -> list[str]:
        return ["Ada", "Grace"]

    @task
    def pairs() -> list[dict[str, str]]:
        return [{"name": "Ada", "greeting": "Hi"}]

    @task
    def read(manifest: Any) -> str:
        return str(manifest["values"]["name"])

    @task
    def read_all(manifests: Any) -> list[str]:
        return [one["values"]["name"] for one in manifests]

    @task
    def told(values: Any, status: Any) -> list[Any]:
        return [values, status]

    @task_group
    def grouped(name: Any) -> None:
        read(letter(name))

    found = names()
    one = letter("Mary")
    read(one)
    letter.override(task_id="on_a_worker", deferrable=False, flow="Other", retries=1)(
        read.override(task_id="again")(one)
    )
    read_all.override(task_id="expanded")(
        letter.override(task_id="mapped").partial(greeting="Yo").expand(name=found)
    )
    read_all.override(task_id="by_kwargs")(letter.override(task_id="kwargs").expand_kwargs(pairs()))
    grouped.expand(name=found)
    split = parts("Parts")
    told(split["values"], split["status"])
    for each in ("x", "y"):
        letter.override(task_id=f"loop_{each}")(each)
