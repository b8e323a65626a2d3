"""The SLA policy: the figures of the service agreement, as data that a contract may change.

default.toml     the figures as they are promised to everybody
terms.py         their types, the checks on them, and the loader
definitions.py   what the grades mean
"""

from shared.policy.definitions import GRADE_DEFINITIONS
from shared.policy.terms import GradeTerms, HeartbeatTerms, Policy, RegradeTerms, load_policy

__all__ = [
    "GRADE_DEFINITIONS",
    "GradeTerms",
    "HeartbeatTerms",
    "Policy",
    "RegradeTerms",
    "load_policy",
]
