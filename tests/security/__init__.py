"""Nothing that the library shows, raises or logs contains a secret."""
