"""Which core each side runs on, so that client and server do not take time from each other."""

import os


def client_and_server_cores() -> tuple[int | None, int | None]:
    """Return one core for the client and one for the server; None for both where there are not two."""
    if not hasattr(os, "sched_getaffinity"):
        return None, None
    usable = sorted(os.sched_getaffinity(0))
    return (usable[0], usable[1]) if len(usable) > 1 else (None, None)
