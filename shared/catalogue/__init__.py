"""The catalogue: what each code means, whatever its vendor."""

from shared.catalogue.catalogue import Catalogue, Row, load_catalogue
from shared.catalogue.registers import ActiveCode, Register

__all__ = ["ActiveCode", "Catalogue", "Register", "Row", "load_catalogue"]
