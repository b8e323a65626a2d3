"""`python -m services.ingest`: one instance of ingest."""

from services.ingest.main import main

main()
