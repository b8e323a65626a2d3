"""A fleet that is not there, and what it would report. Pure: seed and figures in, bytes out.

`fleet.py` makes the EMUs; `products.toml` says what each product reports and in which shape, `incidents.toml`
what happens to it. `stream.py` turns both into one stream of reports, `replay.py` does the same with a file.
Who sends them is `deploy/cli/simulate.py`.
"""

# What `simulate` and `up` send where nothing else is asked for: within a minute somebody who looks on sees
# faults of all grades, clears, and an incident.
DEFAULT_SEED = 16
DEFAULT_EMUS = 36
DEFAULT_RATE = 2.0
