"""`python -m services.classifier`: one instance of classifier."""

from services.classifier.main import main

main()
