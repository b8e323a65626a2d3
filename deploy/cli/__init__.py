"""The command line, `bakvakt`: each module one command or a few that belong together."""
