"""SQLite: its primary result codes."""

PASSING = {
    "15": "SQLITE_PROTOCOL",  # a lost race for the write-ahead log
}

PERMANENT = {
    "10": "SQLITE_IOERR",
    "11": "SQLITE_CORRUPT",
    "14": "SQLITE_CANTOPEN",
    "26": "SQLITE_NOTADB",
}

UNWRITABLE = {
    "8": "SQLITE_READONLY",
    "14": "SQLITE_CANTOPEN",
}

RETRYABLE = {
    "5": "SQLITE_BUSY",
    "6": "SQLITE_LOCKED",
}

WITHOUT_VALUES = {
    "3": "SQLITE_PERM",
    "7": "SQLITE_NOMEM",
    "8": "SQLITE_READONLY",
    "9": "SQLITE_INTERRUPT",
    "13": "SQLITE_FULL",
    "17": "SQLITE_SCHEMA",
    "18": "SQLITE_TOOBIG",
}
