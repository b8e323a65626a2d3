import sys

from deploy.cli.main import app
from deploy.local.state import BrokenState
from deploy.typed import typed

try:
    app(prog_name=typed("").strip())
except BrokenState as error:
    sys.exit(str(error))
