"""Connections that have their tokens by OAuth 2.0, and commands with a token store of a test's own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

from patchwire.auth.token_keeping import Kept, kept_in
from patchwire.files.connection_file import load_connection
from patchwire.files.token_store import TokenStore
from tests.support.batches import BatchFiles
from tests.support.commands import environment, patchwire

BODY = '{"n": 1}'


class TokenFiles(BatchFiles):
    """The files of one batch, and a token store in the same directory, which all commands here use.

    `oauth2` is that table of the connection file: texts, and tables of texts.
    """

    def __init__(self, directory: Path, base_url: str, oauth2: Mapping[str, Any], *, preemptive: bool = True) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        head = f'authentication = "oauth2"\npreemptive = {json.dumps(preemptive)}\n'
        super().__init__(directory, base_url, head + "\n".join(_table("oauth2", oauth2)) + "\n")
        self.state = directory / "state"

    @property
    def variables(self) -> dict[str, str]:
        """What tells a command where its tokens are kept."""
        return {"PATCHWIRE_STATE": str(self.state)}

    def environment(self, **more: str) -> dict[str, str]:
        """This process's environment, with that and more."""
        return environment(**self.variables, **more)

    def send(self, path: str, *options: str, body: str = BODY) -> CompletedProcess[str]:
        """`patchwire send` of one change."""
        return patchwire("send", self.connection, path, "--body", body, *options, env=self.environment())

    def authorize(self, *options: str, **more: str) -> CompletedProcess[str]:
        """`patchwire authorize`, with more variables."""
        return patchwire("authorize", self.connection, *options, env=self.environment(**more))

    def batch(self, *options: str) -> CompletedProcess[str]:
        """`patchwire batch` of the records, with its output file."""
        return patchwire(*self.batch_command(*options), env=self.environment())

    def batch_command(self, *options: str) -> list[str]:
        """The arguments of that."""
        return ["batch", str(self.connection), str(self.records), "--output", str(self.output), *options]

    def kept(self) -> Kept | None:
        """What the store holds for the connection."""
        oauth2 = load_connection(self.connection).oauth2
        assert oauth2 is not None
        content = TokenStore(oauth2.entry, self.state / "tokens").read()
        return None if content is None else kept_in(content)

    def kept_secrets(self) -> set[str]:
        """The tokens that the store holds."""
        kept = self.kept()
        assert kept is not None, "nothing is kept"
        return {each for each in (kept.token.access_token, kept.token.refresh_token) if each is not None}


def said_of(done: CompletedProcess[str]) -> str:
    """All that the command wrote."""
    return done.stdout + done.stderr


def _table(name: str, values: Mapping[str, Any]) -> list[str]:
    """A table in TOML, in which a text looks as in JSON; tables in it come behind its other values."""
    plain = {key: value for key, value in values.items() if not isinstance(value, Mapping)}
    lines = [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in plain.items())]
    for key, value in values.items():
        if isinstance(value, Mapping):
            lines += _table(f"{name}.{key}", value)
    return lines
