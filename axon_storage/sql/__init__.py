"""Tables, column types, statements, and the compiler from requests to SQL."""
