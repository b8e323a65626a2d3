"""The catalogue: what each code means, whatever its vendor.

kinds.toml      kinds: grades, hazards, skills, parts, delays
vendors/*.toml  codes and registers of each vendor
files.py        reads both, and an operator's folder over them; the form is in docs/catalogue.md
catalogue.py    looks codes up
registers.py    reads words
"""

from shared.catalogue.catalogue import Catalogue, Row
from shared.catalogue.files import load_catalogue
from shared.catalogue.registers import ActiveCode, Register, Registers

__all__ = ["ActiveCode", "Catalogue", "Register", "Registers", "Row", "load_catalogue"]
