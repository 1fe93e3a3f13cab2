"""Any answer of a service in: only errors of the output come out, or values with nothing lost."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st
from support.fuzzing import fuzzed, note_seed

from smartflows_provider.output.errors import OutputError
from smartflows_provider.output.extractor import Output, extract
from smartflows_provider.wire.smart_flows import ExecutionStatus

GUIDS = ["0a6c2f0e-6f4e-4b1b-9d51-5a1d1f6f7c11", "1b7d3f1f-7a5f-4c2c-8e62-6b2e2a7a8d22"]
KEYS = [
    "id", "type", "status", "state", "output", "outputs", "parts", "model", "schema", "form", "properties",
    "title", "key", "items", "displayName", "warnings", "errors", "causes", "message", "error", "report",
    "blocks", "step", "stages", "end", "modifiedAt", "$$hashKey", "name", *GUIDS,
]  # fmt: skip
WORDS = [*ExecutionStatus, "document", "section", "User input", "", "\ud800", "\x00", *GUIDS]
ANY_SCALAR = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.sampled_from(WORDS), st.text(max_size=4)
)
ANY_KEY = st.sampled_from(KEYS) | st.text(max_size=3)
ANY_JSON = st.recursive(
    ANY_SCALAR,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY_KEY, inner, max_size=5),
    max_leaves=15,
)

PLAIN_KEYS = st.sampled_from(["total", "rows", "note", "a b", "x", *GUIDS])
REFERENCES = st.fixed_dictionaries(
    {"type": st.just("document"), "id": st.sampled_from(["d1", "d2", "d3", "d4"])},
    optional={"displayName": st.sampled_from(["Report", "Letter"])},
)
PLAIN_SCALAR = st.one_of(st.none(), st.booleans(), st.integers(), st.text("abc é", max_size=4))
PLAIN_JSON = st.recursive(
    PLAIN_SCALAR | REFERENCES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(PLAIN_KEYS, inner, max_size=4),
    max_leaves=12,
)
MODELS = st.dictionaries(PLAIN_KEYS, PLAIN_JSON, max_size=5)


def read(raw: Any, *, by_title: bool = False) -> Output | None:
    """Return what is read, after the checks that hold for every answer; None where it is refused."""
    note_seed()
    before = copy.deepcopy(raw)
    try:
        found = extract(raw, values_by_title=by_title)
    except OutputError as error:
        str(error).encode()
        return None
    assert repr(raw) == repr(before)
    json.dumps(found.values, allow_nan=False, ensure_ascii=False).encode()
    told = [*found.warnings, *map(str, found.errors), found.failing_block or "", found.finished_at or ""]
    told += [text for one in found.documents for text in (one.id, one.name, one.path)]
    assert "\x00" not in "".join(told)
    "".join(told).encode()
    ids = [one.id for one in found.documents]
    assert len(ids) == len(set(ids))
    assert extract(before, values_by_title=by_title) == found
    return found


def progress(model: Any) -> dict[str, Any]:
    return {"id": "e", "status": "Success", "percentage": 100, "model": model}


def execution(model: Any) -> dict[str, Any]:
    return {"id": "e", "status": "Success", "state": {"output": {"model": model}}}


def batch(model: Any) -> dict[str, Any]:
    part = {"id": "p", "displayName": "Part", "model": model, "schema": {}}
    return {"id": "e", "status": "Success", "outputs": [part]}


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if node.get("type") == "document":
            yield node["id"]
        for inner in node.values():
            yield from references(inner)
    elif isinstance(node, list):
        for inner in node:
            yield from references(inner)


def scalars(node: Any) -> Iterator[str]:
    """Yield every value that is no part of a reference."""
    if isinstance(node, dict):
        if node.get("type") != "document":
            for inner in node.values():
                yield from scalars(inner)
    elif isinstance(node, list):
        for inner in node:
            yield from scalars(inner)
    else:
        yield json.dumps(node)


@fuzzed(share=0.4)
@given(
    raw=st.dictionaries(ANY_KEY, ANY_JSON, max_size=6),
    state=st.none() | st.dictionaries(ANY_KEY, ANY_JSON, max_size=6),
    by_title=st.booleans(),
)
def test_any_answer_gives_strict_json_or_an_output_error(
    raw: dict[str, Any], state: Any, by_title: bool
) -> None:
    if state is not None:
        raw["state"] = state
    assert read(raw, by_title=by_title) is not None or by_title


@fuzzed(share=0.25)
@given(model=MODELS)
def test_no_value_and_no_document_is_lost_and_the_three_shapes_agree(model: dict[str, Any]) -> None:
    found = [read(shape(model)) for shape in (progress, execution, batch)]
    assert found[0] is not None
    assert [one.id for one in found[0].documents] == list(dict.fromkeys(references(model)))
    assert sorted(scalars(found[0].values)) == sorted(scalars(model))
    assert found[0].values == found[1].values == found[2].values  # type: ignore[union-attr]
    assert found[0].documents == found[1].documents == found[2].documents  # type: ignore[union-attr]


@fuzzed(share=0.15)
@given(
    models=st.lists(MODELS, min_size=2, max_size=4),
    names=st.lists(st.sampled_from(["A", "B", "A_2", "total"]), min_size=4, max_size=4),
)
def test_parts_under_any_names_keep_all_their_values(models: list[Any], names: list[str]) -> None:
    parts = [
        {"displayName": name, "schema": {}, "model": model}
        for name, model in zip(names, models, strict=False)
    ]
    found = read({"status": "Success", "outputs": parts})
    again = read({"status": "Success", "state": {"output": {"parts": parts}}})
    assert found is not None
    assert again is not None
    assert found.values == again.values
    assert {one.id for one in found.documents} == set(references(models))
    assert set(scalars(models)) <= set(scalars(found.values))


@fuzzed(share=0.2)
@given(model=MODELS, path=st.lists(st.integers(0, 6), max_size=6), odd=ANY_JSON)
def test_an_answer_with_one_thing_changed_is_read_or_refused(model: Any, path: list[int], odd: Any) -> None:
    raw = json.loads(
        json.dumps({**execution(model), "state": {"output": {"model": model, "schema": {}, "form": []},
        "stages": [{"start": "a", "end": "b"}], "report": [{"step": {"status": "Error"}}], "warnings": ["w"],
        "errors": [{"error": "E", "message": "m", "causes": [{"message": "c"}]}]}})
    )  # fmt: skip
    node, last = raw, None
    for step in path:
        keys = (
            list(node) if isinstance(node, dict) else list(range(len(node))) if isinstance(node, list) else []
        )
        if not keys:
            break
        last = (node, keys[step % len(keys)])
        node = node[last[1]]
    assume(last is not None)
    holder, key = last  # type: ignore[misc]
    holder[key] = odd
    read(raw)
