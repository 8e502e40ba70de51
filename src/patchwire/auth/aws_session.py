"""The credentials of AWS that are in force: one value for everybody, replaced as a whole, loaded by one at a time."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Final

from patchwire.auth.aws_credentials import AwsCredentials
from patchwire.auth.flow import Answer, Load, Step, Wait
from patchwire.errors import CredentialsError

MARGIN: Final = 300.0
"""Seconds before their end from which on credentials are loaded anew, while they still serve."""
PAUSE: Final = 30.0
"""Seconds before credentials that are near their end are looked for again."""
ENDED: Final = "the AWS session has ended: renew its credentials"


class AwsSession:
    """`load` gives the credentials, and may block; without it those given at first are all there are."""

    def __init__(
        self, credentials: AwsCredentials | None, load: Callable[[], AwsCredentials] | None, origin: str
    ) -> None:
        self._credentials = credentials
        self._load = load
        self._origin = origin
        self._is_loading = False
        self._not_before = 0.0
        self._rejected: AwsCredentials | None = None
        self.generation = 0
        """It grows whenever there may be other credentials."""

    def at_hand(self, moment: float) -> AwsCredentials | None:
        """The credentials, where they need not be loaded first."""
        credentials = self._credentials
        return None if credentials is None or self._is_due(credentials, moment) else credentials

    def current(self, now: Callable[[], float]) -> Generator[Step, Answer, AwsCredentials]:
        """The credentials to sign with, loaded first where there are none, or where they are about to end.

        CredentialsError where those there are have ended, and whatever `load` raises.
        """
        while True:
            moment = now()
            credentials = self.at_hand(moment)
            if credentials is not None:
                return credentials
            credentials = self._credentials
            if self._is_loading:
                if credentials is not None and not credentials.expire_within(0, moment):
                    return credentials  # another looks for later ones; these still serve
                yield Wait(self.generation)
                continue
            if self._load is None or (credentials is not None and moment < self._not_before):
                raise CredentialsError(ENDED, origin=self._origin)
            try:
                yield from self._loaded(self._load, moment)
            except CredentialsError:
                if credentials is None or credentials.expire_within(0, moment):
                    raise
                self._not_before = moment + PAUSE  # they still serve, and later ones may come

    def is_current(self, credentials: AwsCredentials) -> bool:
        """Whether these are still in force."""
        return self._credentials is credentials

    def reject(self, credentials: AwsCredentials) -> bool:
        """The service says that their session has ended. Whether others can be looked for."""
        self._rejected = credentials
        if self._load is not None and self._credentials is credentials:
            self._credentials = None
            self.generation += 1
        return self._load is not None

    def _is_due(self, credentials: AwsCredentials, moment: float) -> bool:
        if credentials.expire_within(0, moment):
            return True
        return self._load is not None and credentials.expire_within(MARGIN, moment) and moment >= self._not_before

    def _loaded(self, load: Callable[[], AwsCredentials], moment: float) -> Generator[Step, Answer, None]:
        self._is_loading = True
        try:
            loaded = yield Load(load)
            assert isinstance(loaded, AwsCredentials)  # noqa: S101 - what the driver of a flow has promised
            if loaded.are_those_of(self._rejected):
                raise CredentialsError(ENDED, origin=self._origin)
            self._credentials = loaded
            self._not_before = moment + PAUSE
        finally:
            self._is_loading = False
            self.generation += 1
