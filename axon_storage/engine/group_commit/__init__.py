"""Group commit: writes that wait at the same time share one transaction.

docs/group-commit.md explains the whole. The modules, from the caller down:

- ``commit``: what a caller's task does: commit at once, or queue the write and wait
- ``scheduler``: which writes are sent when
- ``splitting``: a batch's outcome for each of its writes; a refused batch is split
- ``sending``: one transaction for several writes
- ``next_batch``: which of the queued writes form the next batch
- ``queue``: the queued writes
- ``deadlines``: time-outs of queued writes
- ``batch``: the state of one write, and of one batch
- ``capacity``: the room in the queue, and the callers that wait for it
- ``row_order``: which writes wait for earlier writes of the same rows
"""
