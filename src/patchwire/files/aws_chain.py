"""AWS credentials from wherever botocore finds them: its chain of environment, profiles, SSO, roles and metadata.

What renews itself is kept, so that it does; anything else is looked for anew each time, since whoever renews it
renews it where it is kept. botocore's errors and those below it may quote what a process or a service has said, so
only what is known to be a name is taken from them.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from functools import lru_cache
from threading import Lock
from typing import Any, Final

from patchwire.auth.aws_credentials import AwsCredentials
from patchwire.errors import CredentialsError
from patchwire.files.aws_values import checked, fault, nearby, shown
from patchwire.files.read import describe

SERVES: Final = 600
"""Seconds for which we rely on credentials that renew themselves; botocore does so 900 to 600 before their end."""
KEPT: Final = 16
"""Profiles whose credentials are kept."""
KEY: Final = "aws.credentials"


def chain_credentials(profile: str | None) -> AwsCredentials:
    """The credentials of a profile; None: of AWS_PROFILE or the default one, and what stands in for it.

    It may run a process and ask over the network. CredentialsError says why there are none, without a secret.
    """
    return _chain(profile).load()


class _Chain:
    """What botocore has found for one profile. One thread at a time asks it."""

    def __init__(self, profile: str | None) -> None:
        self._profile = profile
        self._lock = Lock()
        self._kept: Any = None

    def load(self) -> AwsCredentials:
        """The credentials as they are now."""
        with self._lock:
            found, self._kept = self._kept, None
            try:
                found = found or _found(self._profile)
                credentials = _frozen(found)
            except CredentialsError:
                raise
            except Exception as error:
                raise _explained(error, self._profile) from None
            if credentials.expires_at is not None:
                self._kept = found
            return credentials


@lru_cache(maxsize=KEPT)
def _chain(profile: str | None) -> _Chain:
    return _Chain(profile)


def refuse_without_botocore() -> None:
    """CredentialsError where it is not installed."""
    try:
        import botocore.session  # noqa: F401
    except ImportError:
        raise fault(KEY, "\"chain\" needs botocore, which is not installed: pip install 'patchwire[aws]'") from None


def _found(profile: str | None) -> Any:
    """botocore's own object, asked anew."""
    refuse_without_botocore()
    from botocore.session import Session

    found = Session(profile=profile).get_credentials()
    if found is None:
        named = f"profile {profile[:80]!r}" if profile else "the environment, the profile"
        looked = f"{named} of ~/.aws/config and ~/.aws/credentials, and the container's and the machine's own role"
        raise fault(KEY, f"there are none; botocore has looked for {looked}")
    return found


def _frozen(found: Any) -> AwsCredentials:
    from botocore.credentials import RefreshableCredentials

    now = time.time()
    frozen = found.get_frozen_credentials()
    expires_at = now + _seconds_left(found) if isinstance(found, RefreshableCredentials) else None
    return checked(KEY, "what botocore has found", frozen.access_key, frozen.secret_key, frozen.token, expires_at)


def _seconds_left(found: Any) -> int:
    """Seconds for which the credentials are good, at least; SERVES at most.

    botocore keeps the end to itself, but tells whether it is nearer than a given time. That it is not nearer than
    the time of its mandatory refresh is no more than usual: what was just renewed may be good for less.
    """
    return bisect_left(range(SERVES + 1), True, key=found.refresh_needed) - 1


def _explained(error: Exception, profile: str | None) -> CredentialsError:
    """The fault in one line, by the error's name and those of its fields that hold names."""
    names = {kind.__name__ for kind in type(error).__mro__}
    option = f" --profile {shown(profile)}" if profile else ""
    fields: dict[str, Any] = getattr(error, "kwargs", {})
    if "ProfileNotFound" in names:
        return _unknown_profile(shown(str(fields.get("profile"))), profile)
    if "ClientError" in names:
        return fault(KEY, f"AWS has refused {_refused(error)}: see what the profile's keys may do")
    if "ConfigParseError" in names:
        return fault(KEY, f"{shown(str(fields.get('path')))}: not a file of profiles: mend it")
    if "PartialCredentialsError" in names:
        missing, where = fields.get("cred_var"), fields.get("provider")
        return fault(KEY, f"{shown(str(missing))} is missing ({shown(str(where))}): add it")
    if fields.get("provider") == "custom-process":
        return fault(KEY, "the profile's credential_process has failed, or given no credentials: run it to see why")
    if isinstance(error, OSError):  # a credential_process that is not there, a file of a token
        return fault(KEY, f"{shown(str(error.filename))}: {describe(error)}: see what the profile names")
    if isinstance(error, ValueError):
        return fault(KEY, f"what a credential_process or a service gave cannot be read ({type(error).__name__})")
    for name, remedy in _REMEDIES.items():
        if name in names:
            return fault(KEY, remedy.format(option=option))
    look = f"see what  aws sts get-caller-identity{option}  says"
    return fault(KEY, f"botocore could not get them ({type(error).__name__}): {look}")


_UNREACHABLE: Final = "a service that gives them cannot be reached: see the network and AWS_ENDPOINT_URL_*"
_REMEDIES: Final = {
    "SSOError": "the SSO session has ended, or was not begun: aws sso login{option}",
    "TokenRetrievalError": "the SSO session has ended, or was not begun: aws sso login{option}",
    "LoginError": "the login session has ended, or was not begun: aws login{option}",
    "RefreshWithMFAUnsupportedError": "the role's session has ended, and another needs an MFA code: start again",
    "MissingDependencyException": "botocore needs another package for this profile: pip install 'botocore[crt]'",
    "MetadataRetrievalError": "the metadata service gave no credentials: see which role the machine has",
    "ConnectionError": _UNREACHABLE,
    "HTTPClientError": _UNREACHABLE,
    "NoRegionError": "the profile needs a region to get them: add region = ... to it in ~/.aws/config",
    "InvalidConfigError": "the profile is contradictory: see what  aws sts get-caller-identity{option}  says",
    "RuntimeError": "what botocore has found has ended already: renew it where it comes from",
}


def _refused(error: Any) -> str:
    """Operation and code of a refusal, if they are words."""
    code = str(getattr(error, "response", {}).get("Error", {}).get("Code", ""))
    said = code if code.isascii() and code.isalnum() and len(code) <= 60 else "no reason"
    return f"{getattr(error, 'operation_name', 'a call')} ({said})"


def _unknown_profile(name: str, profile: str | None) -> CredentialsError:
    from botocore.session import Session

    names = list(Session().available_profiles)
    source = "" if profile else " (of AWS_PROFILE)"
    hint = nearby(name, names)
    return fault("aws.profile", f"neither ~/.aws/config nor ~/.aws/credentials holds {name!r}{source}: {hint}")
