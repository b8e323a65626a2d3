import sys

from deploy.cli.main import app
from deploy.local.state import BrokenState

try:
    app(prog_name="bakvakt")
except BrokenState as error:
    sys.exit(str(error))
