"""The command line: one group, one module a command, and one line for every error."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import NoReturn

import click

from patchwire.cli import exits
from patchwire.cli.authorize import authorize
from patchwire.cli.batch import batch
from patchwire.cli.check import check
from patchwire.cli.demo import demo
from patchwire.cli.journal import journal
from patchwire.cli.send import send
from patchwire.cli.serve import serve
from patchwire.cli.settle import settle
from patchwire.errors import PatchwireError
from patchwire.files.read import describe


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="patchwire")
def cli() -> None:
    """Change many resources with HTTP PATCH, and know what happened to each change."""


cli.add_command(authorize)
cli.add_command(batch)
cli.add_command(check)
cli.add_command(demo)
cli.add_command(journal)
cli.add_command(send)
cli.add_command(serve)
cli.add_command(settle)


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
