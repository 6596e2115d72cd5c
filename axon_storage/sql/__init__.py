"""Tables, column types and statements: how a request becomes SQL."""
