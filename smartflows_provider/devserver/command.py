"""The command behind ``python -m smartflows_provider.devserver``.

Invariant: the first line on standard output names the address, and it is printed only when a connection
to it is accepted and signals end the server cleanly.
"""

from __future__ import annotations

import argparse
import re
import sqlite3
import sys
import threading
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from smartflows_provider.devserver.app import Journal, Parts
from smartflows_provider.devserver.faults import FaultBox
from smartflows_provider.devserver.flows import FlowDefinitionError, bundled_folder, load_flows
from smartflows_provider.devserver.keys import KeyRing, read_key
from smartflows_provider.devserver.profiles import PROFILES, read_profile
from smartflows_provider.devserver.sections import Section, known_sections
from smartflows_provider.devserver.server import (
    DEFAULT_KEY,
    LOOPBACK,
    HttpServer,
    bind,
    serve_in_foreground,
)
from smartflows_provider.devserver.service import Service
from smartflows_provider.devserver.store import Store


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Serve until SIGINT or SIGTERM.

    :param arguments: of the command line, None for the process' own.
    :returns: the exit code: 0 after a signal, 2 if the server cannot start; standard error says why.
    """
    options = _parser().parse_args(arguments)
    try:
        flows = load_flows(options.flows or bundled_folder())
        store = Store(options.state or ":memory:")
        of_sections = [setting for setting in options.profile if _SECTION.match(setting)]
        profile = read_profile(setting for setting in options.profile if setting not in of_sections)
        service = Service(flows=flows, store=store, profile=profile)
        sections = [kind(service.now) for kind in known_sections()]
        _configure(sections, of_sections)
        parts = Parts(
            service=service,
            keys=KeyRing(map(read_key, options.api_key or [DEFAULT_KEY])),
            faults=FaultBox(),
            journal=Journal(),
            remote_faults=options.host in LOOPBACK if options.faults is None else options.faults,
            stopping=threading.Event(),
            sections=sections,
        )
        bound = bind(options.host, options.port)
        scheme = "https" if options.ssl_certfile else "http"
        host = f"[{options.host}]" if ":" in options.host else options.host
        address = f"{scheme}://{host}:{bound.getsockname()[1]}"
        names = ", ".join(flow.name for flow in service.flows())
        greeting = f"Smart Flows devserver listens on {address} (flows: {names})"
        server = HttpServer(
            parts,
            on_ready=partial(print, greeting, flush=True),
            certificate=options.ssl_certfile,
            private_key=options.ssl_keyfile,
        )
    except (FlowDefinitionError, ValueError, OSError, sqlite3.Error) as error:
        sys.stderr.write(f"The devserver cannot start: {error}\n")
        return 2
    serve_in_foreground(server, bound)
    store.close()
    return 0


_SECTION = re.compile(r"(?P<section>[a-z]+)\.(?P<name>[a-z_]+)=(?P<value>.*)", re.DOTALL)


def _configure(sections: Sequence[Section], settings: Sequence[str]) -> None:
    """
    Set the profiles of sections.

    :param settings: each ``section.key=value``.
    :raises ValueError: for an unknown section, key or value.
    """
    known = {section.name: section for section in sections}
    for setting in settings:
        found = _SECTION.match(setting)
        name = found["section"] if found else ""
        if found is None or name not in known:
            raise ValueError(f"there is no section {name!r}; there are {', '.join(known) or 'none'}")
        known[name].configure(**{found["name"]: found["value"]})


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m smartflows_provider.devserver",
        description="A stand-in for a Smart Flows server, for demos and tests.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8089, help="0 takes a free one (default: %(default)s)")
    parser.add_argument(
        "--api-key",
        action="append",
        metavar="KEY[:ROLE]",
        help=f"a valid key, repeatable; roles: super user, user, reader, no api licence "
        f"(default: {DEFAULT_KEY})",
    )
    parser.add_argument("--flows", type=Path, metavar="DIR", help="folder of <name>/flow.yaml")
    parser.add_argument("--state", type=Path, metavar="FILE", help="SQLite file that outlives the process")
    parser.add_argument(
        "--profile",
        action="append",
        default=[],
        metavar="NAME|KEY=VALUE",
        help=f"behaviour where the vendor's documents are silent, repeatable; names: {', '.join(PROFILES)}; "
        "SECTION.KEY=VALUE is one of another system's section",
    )
    parser.add_argument(
        "--faults",
        action=argparse.BooleanOptionalAction,
        help="let POST /__devserver__/faults switch faults on (default: on the loopback only)",
    )
    parser.add_argument("--ssl-certfile", type=Path, metavar="FILE", help="certificate; serves https")
    parser.add_argument("--ssl-keyfile", type=Path, metavar="FILE", help="the certificate's private key")
    return parser
