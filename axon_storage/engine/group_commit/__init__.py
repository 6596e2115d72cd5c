"""Group commit: writes that wait at the same time share one transaction."""
