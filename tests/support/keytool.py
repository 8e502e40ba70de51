"""Keystores as Java's own tool makes them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

KEYTOOL = shutil.which("keytool")
_REMEDY = "keytool is not installed: apt-get install default-jdk-headless"
needs_keytool = pytest.mark.skipif(KEYTOOL is None, reason=_REMEDY)


def keytool(*arguments: str) -> None:
    """Run it with these arguments. RuntimeError with its own words where it fails."""
    assert KEYTOOL is not None, "keytool is not installed"
    done = subprocess.run([KEYTOOL, *arguments], capture_output=True, text=True, timeout=60)
    if done.returncode:
        raise RuntimeError(done.stdout + done.stderr)


def converted(source: Path, target: Path, password: str, kind: str, *more: str) -> Path:
    """A PKCS#12 file as a keystore of another kind, or as Java itself writes it."""
    keytool(
        "-importkeystore", "-noprompt", "-srckeystore", str(source), "-srcstoretype", "pkcs12", "-srcstorepass",
        password, "-destkeystore", str(target), "-deststoretype", kind, "-deststorepass", password, *more,
    )  # fmt: skip
    return target


def truststore(target: Path, password: str, kind: str, **certificates: Path) -> Path:
    """A store that trusts these certificates, each under its alias."""
    for alias, certificate in certificates.items():
        keytool(
            "-importcert", "-noprompt", "-alias", alias, "-file", str(certificate), "-keystore", str(target),
            "-storetype", kind, "-storepass", password,
        )  # fmt: skip
    return target
