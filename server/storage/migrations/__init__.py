"""The database's schema, step by step; `tables` says where the steps lead."""

HEAD = "0003"
"""The newest step. Kept here so that a database that is up to date opens without reading the steps."""
