"""The error codes that this package handles: one module for each database, and the vendor's name of each code.

The groups of a module:

- ``PASSING``: the connection or the server failed; the same call may succeed when it is run again.
- ``PERMANENT``: the connection or the server failed; running the call again does not help.
- ``RETRYABLE``: a statement failed; its transaction may succeed when it is run again as a whole.
- ``FAIL_OVERS``: those after which another server is to be used: this one became read-only, or is shutting down.
- ``LOCK_TIMEOUTS``: a lock was not free in time.
- ``WITHOUT_VALUES``: further errors; their messages contain names of tables, columns and keys, but no values.
"""
