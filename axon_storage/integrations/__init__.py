"""Clients of other packages on a storage. Each module needs the extra with its name."""
