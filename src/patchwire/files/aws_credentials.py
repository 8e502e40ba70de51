"""AWS credentials from where they are kept: the environment, a profile of the shared file, or botocore's chain."""

from __future__ import annotations

import os

from patchwire.auth.aws_credentials import AwsCredentials
from patchwire.errors import CredentialsError, LocalProtocolError
from patchwire.settings.aws import AwsSettings


def load_aws_credentials(aws: AwsSettings) -> AwsCredentials:
    """The credentials that the settings name, as they are now. CredentialsError says why there are none."""
    variables = os.environ
    try:
        return AwsCredentials(
            variables["AWS_ACCESS_KEY_ID"], variables["AWS_SECRET_ACCESS_KEY"], variables.get("AWS_SESSION_TOKEN")
        )
    except KeyError as error:
        raise CredentialsError(f"aws.credentials: the variable {error.args[0]} is not set", origin="") from None
    except LocalProtocolError as error:
        raise CredentialsError(f"aws.credentials: {error}", origin="") from None
