"""Row types, field types and requests, and their validation."""
