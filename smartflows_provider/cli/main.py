"""From the command line to an exit code.

Airflow is loaded only when the arguments are usable, and while standard output leads to standard error:
what it logs and warns of at its start must not get into a script's results. Invariant: whatever happens,
standard output holds results alone.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import redirect_stdout

from smartflows_provider.cli.arguments import Options, parse
from smartflows_provider.cli.screen import Screen


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Carry a command line out.

    :param arguments: None for the process' own.
    :returns: the exit code, see ``arguments.EXIT_CODES``.
    :raises SystemExit: with code 2 for arguments that cannot be used, with 0 after ``--help``.
    """
    options = parse(arguments)
    screen = Screen.of_process()
    try:
        with redirect_stdout(sys.stderr):
            return _carry_out(options, screen)
    except KeyboardInterrupt:
        screen.note("\nInterrupted; nothing more is done.")
        return 130


def _carry_out(options: Options, screen: Screen) -> int:
    try:
        from smartflows_provider.cli import commands
    except Exception as error:  # noqa: BLE001 - whatever a broken configuration makes Airflow raise
        # The error's own text may quote a setting, and with it a password.
        screen.note(
            f"Error: Airflow cannot be loaded here ({type(error).__name__}).\n"
            "`airflow version` shows what is wrong with its installation or configuration on this host."
        )
        return 1
    return commands.run(options, screen)
