"""`python -m services.dispatch`: one instance of dispatch."""

from services.dispatch.main import main

main()
