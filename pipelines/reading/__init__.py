"""Read a listed file as documents and rejects: one format a file, the table in `readers.py`."""
