"""Read one row from a double: ``probe PORT USER PASSWORD`` ends without an error when the double is ready."""

import sys

import seerdb

port, user, password = sys.argv[1:]
with seerdb.connect(user=user, password=password, dsn=f"127.0.0.1:{port}/FREEPDB1") as connection:
    connection.cursor().execute("SELECT 1 FROM dual")
