"""Input that stays out of what Airflow stores and shows as rendered fields.

Invariants: with ``hide_payload`` every argument in ``PAYLOAD_FIELDS`` shows :data:`HIDDEN` in its place after
rendering; the value itself is at hand on the worker, and each copy of a task has its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from smartflows_provider.operators.base import RunOperator

HIDDEN = "hidden by hide_payload"


class InputOperator(RunOperator):
    """
    What the operators share that start runs with an input.

    :param hide_payload: whether the input is kept out of Airflow's rendered fields.
    """

    PAYLOAD_FIELDS: ClassVar[Sequence[str]]
    """Templated arguments that hold input."""

    def __init__(self, *, hide_payload: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.hide_payload = hide_payload
        self._hidden: dict[str, Any] = {}

    def payload_argument(self, name: str) -> Any:
        """Return an argument that holds input, also where ``hide_payload`` has taken it out of sight."""
        return self._hidden.get(name, getattr(self, name))

    def _do_render_template_fields(self, *args: Any, **kwargs: Any) -> None:
        """Render; then keep the input out of what Airflow stores and shows as rendered fields."""
        super()._do_render_template_fields(*args, **kwargs)
        if not self.hide_payload:
            return
        # Copies of a task share its attributes: each rendering has a mapping of its own.
        hidden: dict[str, Any] = {}
        for name in self.PAYLOAD_FIELDS:
            value = getattr(self, name)
            if value is not None:
                hidden[name] = self._hidden.get(name) if _is_hidden(value) else value
                setattr(self, name, self._out_of_sight(name, value))
        self._hidden = hidden

    def _out_of_sight(self, name: str, value: Any) -> Any:
        """Return what stands for a hidden argument."""
        del name, value
        return HIDDEN


def _is_hidden(value: Any) -> bool:
    """Tell whether a value stands for a hidden one, alone or inside a list or mapping of such."""
    if isinstance(value, list | tuple | dict):
        inside = value.values() if isinstance(value, dict) else value
        return bool(value) and all(map(_is_hidden, inside))
    return isinstance(value, str) and value == HIDDEN
