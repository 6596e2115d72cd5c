-- The rights of the accounts that use axon_storage. The accounts must exist, and so must the tables.
-- Run it as an administrator, and again after each `axon-storage migrate upgrade`.
\set ON_ERROR_STOP on
BEGIN;

-- app: agents_app
REVOKE ALL ON public.audit_log, public.axon_storage_audit_seals, public.axon_storage_pruning, public.axon_stores, public.cost_tracking, public.daemons, public.dataspaces, public.event_history, public.execution_cache, public.hibernations, public.schedules, public.sessions, public.traces, public.axon_storage_version FROM agents_app;
REVOKE CREATE ON SCHEMA public FROM PUBLIC, agents_app;
GRANT CONNECT ON DATABASE agents TO agents_app;
GRANT USAGE ON SCHEMA public TO agents_app;
GRANT SELECT, INSERT ON public.audit_log TO agents_app;
GRANT SELECT ON public.axon_storage_audit_seals TO agents_app;
GRANT SELECT ON public.axon_storage_pruning TO agents_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON public.axon_stores TO agents_app;
GRANT SELECT, INSERT ON public.cost_tracking TO agents_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON public.daemons TO agents_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON public.dataspaces TO agents_app;
GRANT SELECT, INSERT ON public.event_history TO agents_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON public.execution_cache TO agents_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON public.hibernations TO agents_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON public.schedules TO agents_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON public.sessions TO agents_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON public.traces TO agents_app;
GRANT SELECT ON public.axon_storage_version TO agents_app;

-- reader: agents_reader
REVOKE ALL ON public.audit_log, public.axon_storage_audit_seals, public.axon_storage_pruning, public.axon_stores, public.cost_tracking, public.daemons, public.dataspaces, public.event_history, public.execution_cache, public.hibernations, public.schedules, public.sessions, public.traces, public.axon_storage_version FROM agents_reader;
REVOKE CREATE ON SCHEMA public FROM PUBLIC, agents_reader;
GRANT CONNECT ON DATABASE agents TO agents_reader;
GRANT USAGE ON SCHEMA public TO agents_reader;
GRANT SELECT ON public.audit_log TO agents_reader;
GRANT SELECT ON public.axon_storage_audit_seals TO agents_reader;
GRANT SELECT ON public.axon_storage_pruning TO agents_reader;
GRANT SELECT ON public.axon_stores TO agents_reader;
GRANT SELECT ON public.cost_tracking TO agents_reader;
GRANT SELECT ON public.daemons TO agents_reader;
GRANT SELECT ON public.dataspaces TO agents_reader;
GRANT SELECT ON public.event_history TO agents_reader;
GRANT SELECT ON public.execution_cache TO agents_reader;
GRANT SELECT ON public.hibernations TO agents_reader;
GRANT SELECT ON public.schedules TO agents_reader;
GRANT SELECT ON public.sessions TO agents_reader;
GRANT SELECT ON public.traces TO agents_reader;
GRANT SELECT ON public.axon_storage_version TO agents_reader;

-- maintenance: agents_cron
REVOKE ALL ON public.audit_log, public.axon_storage_audit_seals, public.axon_storage_pruning, public.axon_stores, public.cost_tracking, public.daemons, public.dataspaces, public.event_history, public.execution_cache, public.hibernations, public.schedules, public.sessions, public.traces, public.axon_storage_version FROM agents_cron;
REVOKE CREATE ON SCHEMA public FROM PUBLIC, agents_cron;
GRANT CONNECT ON DATABASE agents TO agents_cron;
GRANT USAGE ON SCHEMA public TO agents_cron;
GRANT SELECT, UPDATE (timestamp_utc), DELETE ON public.audit_log TO agents_cron;
GRANT SELECT, INSERT, UPDATE, DELETE ON public.axon_storage_audit_seals TO agents_cron;
GRANT SELECT, INSERT, UPDATE, DELETE ON public.axon_storage_pruning TO agents_cron;
GRANT SELECT, UPDATE (updated_at), DELETE ON public.axon_stores TO agents_cron;
GRANT SELECT, UPDATE (timestamp_utc), DELETE ON public.cost_tracking TO agents_cron;
GRANT SELECT, UPDATE (updated_at), DELETE ON public.daemons TO agents_cron;
GRANT SELECT, UPDATE (updated_at), DELETE ON public.dataspaces TO agents_cron;
GRANT SELECT, UPDATE (timestamp_utc), DELETE ON public.event_history TO agents_cron;
GRANT SELECT, UPDATE (updated_at), DELETE ON public.execution_cache TO agents_cron;
GRANT SELECT, UPDATE (updated_at), DELETE ON public.hibernations TO agents_cron;
GRANT SELECT, UPDATE (updated_at), DELETE ON public.schedules TO agents_cron;
GRANT SELECT, UPDATE (updated_at), DELETE ON public.sessions TO agents_cron;
GRANT SELECT, UPDATE (created_id), DELETE ON public.traces TO agents_cron;
GRANT SELECT ON public.axon_storage_version TO agents_cron;

COMMIT;
