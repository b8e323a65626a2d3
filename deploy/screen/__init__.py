"""The live screen: what `up` and `status --watch` show of everything that runs here."""
