"""Arguments about a process instance that templates have filled in, checked before anything is sent."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from smartflows_provider.exceptions import FlowConfigurationError, FlowInputError
from smartflows_provider.hooks.translation import NOTHING_SENT
from smartflows_provider.operators.arguments import mapping_argument, text_argument
from smartflows_provider.wire.errors import WireError
from smartflows_provider.wire.workflow_server import TOKEN_FIELD

if TYPE_CHECKING:
    from smartflows_provider.exceptions import RunIdentity
    from smartflows_provider.hooks.workflow_server import ActingOptions, WorkflowServerHook
    from smartflows_provider.wire.messages import Exchange


def names_argument(value: Any, name: str, *, where: RunIdentity) -> tuple[str, ...]:
    """
    Return a list of names; text is read as JSON, None is an empty one.

    :raises FlowConfigurationError: if it is anything else.
    """
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            value = None if not value.strip() else object()
    entries = [] if value is None else value
    if not isinstance(entries, list | tuple) or not all(isinstance(one, str) and one for one in entries):
        raise FlowConfigurationError(
            f"The argument {name} is of type {type(value).__name__}; it takes a list of names.",
            where=where,
            fate=NOTHING_SENT,
            advice="Look at what its template renders to, under Rendered Templates.",
        )
    return tuple(entries)


def optional_text(value: Any, name: str, *, where: RunIdentity) -> str | None:
    """
    Return a text that may be left out.

    :raises FlowConfigurationError: if it is given, but empty or no text.
    """
    return None if value is None else text_argument(value, name, where=where)


def acting_options(operator: Any, *, hook: WorkflowServerHook, where: RunIdentity) -> ActingOptions:
    """
    Return who acts on an instance, and with which process parameters.

    :param operator: with ``parameters``, ``persist``, ``identity_id`` and ``impersonated_identity_id``.
    :raises FlowConfigurationError: if one of them cannot be used.
    """
    parameters = mapping_argument(operator.parameters, "parameters", where=where)
    if TOKEN_FIELD in parameters and TOKEN_FIELD in hook.settings.auth_fields:
        raise FlowConfigurationError(
            f"A process parameter is named {TOKEN_FIELD!r}, where the server looks for the Api access token.",
            where=where,
            fate=NOTHING_SENT,
            advice="Give the parameter another name, or let the server use OpenID Connect.",
        )
    return {
        "parameters": parameters,
        "persist": names_argument(operator.persist, "persist", where=where),
        "identity_id": optional_text(operator.identity_id, "identity_id", where=where),
        "impersonated_identity_id": optional_text(
            operator.impersonated_identity_id, "impersonated_identity_id", where=where
        ),
    }


def scheme_parameters_argument(value: Any, *, where: RunIdentity) -> Mapping[str, Any] | None:
    """
    Return parameters for the generation of a scheme; None where there are none.

    :raises FlowConfigurationError: if they are no mapping and no JSON text of one.
    """
    return None if value is None else mapping_argument(value, "scheme_parameters", where=where)


def check_sendable(exchange: Exchange[Any], *, where: RunIdentity, fate: str = NOTHING_SENT) -> None:
    """
    Refuse a call whose arguments cannot be put into a request; nothing is sent.

    :param exchange: the call; it is used up.
    :raises FlowInputError: if they cannot; no retry helps.
    """
    try:
        next(exchange)
    except WireError as error:
        raise FlowInputError(
            f"The process cannot be asked for: {error}.",
            where=where,
            fate=fate,
            advice="Mend the argument that the message names.",
        ) from None
    finally:
        exchange.close()
