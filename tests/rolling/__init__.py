"""Rolling deployments: servers of the previous release and of this one use the same database."""
