"""Asks a double for one row, as its own client: ``probe PORT USER PASSWORD`` ends without an error once it answers."""

import sys

import seerdb

port, user, password = sys.argv[1:]
with seerdb.connect(user=user, password=password, dsn=f"127.0.0.1:{port}/FREEPDB1") as connection:
    connection.cursor().execute("SELECT 1 FROM dual")
