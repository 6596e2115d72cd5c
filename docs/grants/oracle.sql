-- The rights of the accounts that use axon_storage. The accounts must exist, and so must the tables.
-- Run it as an administrator, and again after each `axon-storage migrate upgrade`.
SET DEFINE OFF
WHENEVER SQLERROR EXIT FAILURE ROLLBACK

-- app: agents_app
GRANT CREATE SESSION TO agents_app;
GRANT SELECT, INSERT ON agents_owner.audit_log TO agents_app;
GRANT SELECT ON agents_owner.axon_storage_audit_seals TO agents_app;
GRANT SELECT ON agents_owner.axon_storage_pruning TO agents_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON agents_owner.axon_stores TO agents_app;
GRANT SELECT, INSERT ON agents_owner.cost_tracking TO agents_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON agents_owner.daemons TO agents_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON agents_owner.dataspaces TO agents_app;
GRANT SELECT, INSERT ON agents_owner.event_history TO agents_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON agents_owner.execution_cache TO agents_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON agents_owner.hibernations TO agents_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON agents_owner.schedules TO agents_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON agents_owner.sessions TO agents_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON agents_owner.traces TO agents_app;
GRANT SELECT ON agents_owner.axon_storage_version TO agents_app;

-- reader: agents_reader
GRANT CREATE SESSION TO agents_reader;
GRANT READ ON agents_owner.audit_log TO agents_reader;
GRANT READ ON agents_owner.axon_storage_audit_seals TO agents_reader;
GRANT READ ON agents_owner.axon_storage_pruning TO agents_reader;
GRANT READ ON agents_owner.axon_stores TO agents_reader;
GRANT READ ON agents_owner.cost_tracking TO agents_reader;
GRANT READ ON agents_owner.daemons TO agents_reader;
GRANT READ ON agents_owner.dataspaces TO agents_reader;
GRANT READ ON agents_owner.event_history TO agents_reader;
GRANT READ ON agents_owner.execution_cache TO agents_reader;
GRANT READ ON agents_owner.hibernations TO agents_reader;
GRANT READ ON agents_owner.schedules TO agents_reader;
GRANT READ ON agents_owner.sessions TO agents_reader;
GRANT READ ON agents_owner.traces TO agents_reader;
GRANT READ ON agents_owner.axon_storage_version TO agents_reader;

-- maintenance: agents_cron
GRANT CREATE SESSION TO agents_cron;
GRANT SELECT, DELETE ON agents_owner.audit_log TO agents_cron;
GRANT SELECT, INSERT, UPDATE, DELETE ON agents_owner.axon_storage_audit_seals TO agents_cron;
GRANT SELECT, INSERT, UPDATE, DELETE ON agents_owner.axon_storage_pruning TO agents_cron;
GRANT SELECT, UPDATE (updated_at), DELETE ON agents_owner.axon_stores TO agents_cron;
GRANT SELECT, DELETE ON agents_owner.cost_tracking TO agents_cron;
GRANT SELECT, UPDATE (updated_at), DELETE ON agents_owner.daemons TO agents_cron;
GRANT SELECT, UPDATE (updated_at), DELETE ON agents_owner.dataspaces TO agents_cron;
GRANT SELECT, DELETE ON agents_owner.event_history TO agents_cron;
GRANT SELECT, UPDATE (updated_at), DELETE ON agents_owner.execution_cache TO agents_cron;
GRANT SELECT, UPDATE (updated_at), DELETE ON agents_owner.hibernations TO agents_cron;
GRANT SELECT, UPDATE (updated_at), DELETE ON agents_owner.schedules TO agents_cron;
GRANT SELECT, UPDATE (updated_at), DELETE ON agents_owner.sessions TO agents_cron;
GRANT SELECT, DELETE ON agents_owner.traces TO agents_cron;
GRANT SELECT ON agents_owner.axon_storage_version TO agents_cron;
