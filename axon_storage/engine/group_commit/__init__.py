"""Group commit: writes that are waiting at the same time are committed in one transaction.

See docs/group-commit.md. The modules, from the highest layer to the lowest:

- ``commit``: runs in the caller's task: commits the write immediately, or queues it and waits
- ``scheduler``: decides when writes are sent
- ``splitting``: sets the outcome of each write of a batch; splits a refused batch
- ``sending``: commits several writes in one transaction
- ``next_batch``: chooses the queued writes of the next batch
- ``places``: where the rows of each tenant are, if the database has several servers
- ``queue``: the queued writes
- ``tenant_queue``: the order of the writes of a tenant, and of the tenants
- ``deadlines``: the timeouts of queued writes
- ``batch``: the state of a write, and of a batch
- ``capacity``: limits the queue, and each tenant's part of it; callers wait until it has room
- ``row_order``: tracks which writes wait for earlier writes of the same rows
"""
