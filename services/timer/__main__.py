"""`python -m services.timer`: one instance of timer."""

from services.timer.main import main

main()
