"""AWS credentials from where they are kept: the environment, a profile of the shared file, or botocore's chain."""

from __future__ import annotations

import os

from patchwire.auth.aws_credentials import AwsCredentials
from patchwire.files.aws_chain import chain_credentials
from patchwire.files.aws_profile import profile_credentials
from patchwire.files.aws_values import checked, fault, moment_of
from patchwire.settings.aws import AwsSettings


def load_aws_credentials(aws: AwsSettings) -> AwsCredentials:
    """The credentials that the settings name, as they are now; it blocks, with "chain" also on the network.

    CredentialsError says in one line which key is at fault and what helps.
    """
    match aws.credentials:
        case "environment":
            return _environment_credentials()
        case "profile":
            return profile_credentials(aws.profile, aws.credentials_file)
        case "chain":
            return chain_credentials(aws.profile)
    raise fault("aws.credentials", 'with "keys" they stand in the connection file, and nothing can be loaded')


def _environment_credentials() -> AwsCredentials:
    access_key, secret_key = _needed("AWS_ACCESS_KEY_ID"), _needed("AWS_SECRET_ACCESS_KEY")
    token, ends = os.environ.get("AWS_SESSION_TOKEN"), os.environ.get("AWS_CREDENTIAL_EXPIRATION")
    expires_at = moment_of(ends) if ends else None
    if ends and expires_at is None:
        problem = "is no time of ISO 8601 with its zone, such as 2030-01-31T12:00:00Z: mend or unset it"
        raise fault("aws.credentials", f"the environment variable AWS_CREDENTIAL_EXPIRATION {problem}")
    return checked("aws.credentials", "the environment", access_key, secret_key, token, expires_at)


def _needed(name: str) -> str:
    value = os.environ.get(name)
    if value:
        return value
    remedy = 'set it, or use credentials = "profile" or "chain"'
    raise fault("aws.credentials", f"the environment variable {name} is not set: {remedy}")
