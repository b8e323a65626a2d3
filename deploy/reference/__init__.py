"""The reference pages of docs/reference/, made from the code: all settings and all metrics."""
