"""The command line: one group, one module a command, and one line for every error."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from importlib import import_module
from typing import Final, NoReturn

import click

from patchwire.cli import exits
from patchwire.errors import PatchwireError
from patchwire.files.read import describe

COMMANDS: Final = ("authorize", "batch", "check", "demo", "journal", "send", "serve", "settle")
"""Each stands in a module of its name."""


class _Commands(click.Group):
    """Loads a command where it is asked for: to have all of them takes longer than many a command runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - they are the same everywhere
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        command = getattr(import_module(f"patchwire.cli.{cmd_name}"), cmd_name)
        assert isinstance(command, click.Command)  # noqa: S101 - the modules are ours
        return command


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="patchwire")
def cli() -> None:
    """Change many resources with HTTP PATCH, and know what happened to each change."""


def main() -> NoReturn:
    """Run the command of sys.argv, and exit with its documented code."""
    try:
        code = cli.main(prog_name="patchwire", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(exits.USAGE)
    except (click.Abort, KeyboardInterrupt):
        exits.say("interrupted")
        sys.exit(exits.INTERRUPTED)
    except PatchwireError as error:
        exits.say(str(error))
        sys.exit(exits.code_of_error(error))
    except OSError as error:
        _fail_to_write(error)
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        _fail_to_write(error)
    sys.exit(code if isinstance(code, int) else exits.DONE)


def _fail_to_write(error: OSError) -> NoReturn:
    exits.say(f"{error.filename or 'standard output'}: {describe(error)}")
    # What is left in the buffer would fail again when the interpreter flushes it.
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.exit(exits.STORAGE)
