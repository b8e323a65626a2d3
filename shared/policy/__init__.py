"""The SLA policy: the figures of the service agreement, as data that a contract may change.

default.toml   the figures as they are promised to everybody
terms.py       their types, the checks on them, and the loader
"""

from shared.policy.terms import GradeTerms, Policy, load_policy

__all__ = ["GradeTerms", "Policy", "load_policy"]
