"""The credentials of AWS that are in force: one value for everybody, replaced as a whole, loaded by one at a time."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Final

from patchwire.auth.aws_credentials import AwsCredentials
from patchwire.auth.flow import Answer, Load, Step, Tell, Wait
from patchwire.errors import CredentialsError

MARGIN: Final = 300.0
"""Seconds before their end from which on later credentials are looked for, while they still serve."""
PAUSE: Final = 30.0
"""Seconds from one look for later ones to the next."""
ENDED: Final = "the AWS session has ended: renew its credentials"


class AwsSession:
    """`load` gives the credentials, and may block; without it those given at first are all there are.

    Whether credentials have ended is the service's to say, whose clock counts; ours says when to look for later ones.
    """

    def __init__(
        self, credentials: AwsCredentials | None, load: Callable[[], AwsCredentials] | None, origin: str
    ) -> None:
        self._credentials = credentials
        self._load = load
        self._origin = origin
        self._is_loading = False
        self._looked_at = float("-inf")
        self._failures = 0
        self._failure = ""
        self._rejected: AwsCredentials | None = None
        self.generation = 0
        """It grows whenever there may be other credentials."""

    def at_hand(self, moment: float) -> AwsCredentials | None:
        """The credentials, where they need not be loaded first."""
        credentials = self._credentials
        return None if credentials is None or self._is_due(credentials, moment) else credentials

    def current(self, now: Callable[[], float]) -> Generator[Step, Answer, AwsCredentials]:
        """The credentials to sign with, loaded first where there are none, or where they are about to end.

        Raises what `load` raises where there are none, and CredentialsError where it gives those that were rejected.
        """
        while True:
            moment = now()
            credentials = self.at_hand(moment)
            if credentials is not None:
                return credentials
            held = self._credentials
            if not self._is_loading:
                yield from self._loaded(moment)
            elif held is not None:
                return held
            else:
                yield from self._waited()

    def reject(self, credentials: AwsCredentials) -> bool:
        """The service says that their session has ended. Whether others can be looked for."""
        if self._load is not None and self._credentials is credentials:
            self._credentials, self._rejected = None, credentials
            self.generation += 1
        return self._load is not None

    def _is_due(self, credentials: AwsCredentials, moment: float) -> bool:
        just_looked = 0 <= moment - self._looked_at < PAUSE
        return self._load is not None and credentials.expire_within(MARGIN, moment) and not just_looked

    def _waited(self) -> Generator[Step, Answer, None]:
        """What fails for who loads fails for all who wait for it."""
        failures = self._failures
        yield Wait(self.generation)
        if self._failures > failures:
            raise CredentialsError(self._failure, origin=self._origin)

    def _loaded(self, moment: float) -> Generator[Step, Answer, None]:
        assert self._load is not None  # noqa: S101 - else there are credentials, which are never due
        problem = ""
        self._is_loading = True
        self._looked_at = moment
        try:
            loaded = yield Load(self._load)
            assert isinstance(loaded, AwsCredentials)  # noqa: S101 - what the driver of a flow has promised
            if loaded.are_those_of(self._rejected):
                raise CredentialsError(ENDED, origin=self._origin)
            self._credentials = loaded
        except CredentialsError as error:
            if self._credentials is None:
                self._failures += 1
                self._failure = str(error)
                raise
            problem = str(error)
        finally:
            self._is_loading = False
            self.generation += 1
        if problem:
            yield Tell(f"the credentials that are about to end could not be renewed: {problem}")
