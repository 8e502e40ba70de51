"""The option that goes with every connection."""

from __future__ import annotations

import click

extension_option = click.option(
    "--extension",
    metavar="FILE",
    help="Other values (TOML) for keys that CONNECTION declares extensible; paths are relative to CONNECTION.",
)
