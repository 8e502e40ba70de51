"""Run a command and print its peak resident memory and processor time as one JSON line after its own output.

It imports next to nothing on purpose: Linux counts the memory of the process that starts a command into
the command's own peak, so whoever starts it must be small.
"""

import os
import sys


def main() -> None:
    command = sys.argv[1:]
    pid = os.posix_spawnp(command[0], command, os.environ)
    _, status, usage = os.wait4(pid, 0)
    unit = 1 if sys.platform == "darwin" else 1024
    exit_code = os.waitstatus_to_exitcode(status)
    seconds = usage.ru_utime + usage.ru_stime
    peak = usage.ru_maxrss * unit
    print(f'{{"exit_code": {exit_code}, "peak_rss_bytes": {peak}, "cpu_seconds": {seconds:.6f}}}')


if __name__ == "__main__":
    main()
