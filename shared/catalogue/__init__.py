"""The catalogue: what each code means, whatever its vendor."""

from shared.catalogue.catalogue import Catalogue, Row, load_catalogue

__all__ = ["Catalogue", "Row", "load_catalogue"]
