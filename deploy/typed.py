"""What people are told to type: our command line, as it was called this time."""

import os

# Set by the script `bakvakt`.
VARIABLE = "BAKVAKT_TYPED"


def typed(command: str) -> str:
    """`command` as it works where they are: `./bakvakt up`, or `bakvakt up` where that is found."""
    return f"{os.environ.get(VARIABLE) or 'bakvakt'} {command}"
