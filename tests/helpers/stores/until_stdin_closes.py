"""Run a command that ends when standard input does: no server of the tests outlives a test run that is killed.

python tests/helpers/stores/until_stdin_closes.py COMMAND ...
"""

import os
import subprocess
import sys


def main() -> None:
    """Start the command, and kill it once nobody holds the other end of standard input."""
    with subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL) as command:
        while os.read(sys.stdin.fileno(), 1):
            pass
        command.kill()


if __name__ == "__main__":
    main()
