-- The rights of the accounts that use axon_storage. The accounts must exist, and so must the tables.
-- Run it as an administrator, and again after each `axon-storage migrate upgrade`.

-- app: `agents_app`
GRANT SELECT, INSERT ON `agents`.audit_log TO `agents_app`;
GRANT SELECT ON `agents`.axon_storage_audit_seals TO `agents_app`;
GRANT SELECT ON `agents`.axon_storage_pruning TO `agents_app`;
GRANT SELECT, INSERT, UPDATE, DELETE ON `agents`.axon_stores TO `agents_app`;
GRANT SELECT, INSERT ON `agents`.cost_tracking TO `agents_app`;
GRANT SELECT, INSERT, UPDATE, DELETE ON `agents`.daemons TO `agents_app`;
GRANT SELECT, INSERT, UPDATE, DELETE ON `agents`.dataspaces TO `agents_app`;
GRANT SELECT, INSERT ON `agents`.event_history TO `agents_app`;
GRANT SELECT, INSERT, UPDATE, DELETE ON `agents`.execution_cache TO `agents_app`;
GRANT SELECT, INSERT, UPDATE, DELETE ON `agents`.hibernations TO `agents_app`;
GRANT SELECT, INSERT, UPDATE, DELETE ON `agents`.schedules TO `agents_app`;
GRANT SELECT, INSERT, UPDATE, DELETE ON `agents`.sessions TO `agents_app`;
GRANT SELECT, INSERT, UPDATE, DELETE ON `agents`.traces TO `agents_app`;
GRANT SELECT ON `agents`.axon_storage_version TO `agents_app`;

-- reader: `agents_reader`
GRANT SELECT ON `agents`.audit_log TO `agents_reader`;
GRANT SELECT ON `agents`.axon_storage_audit_seals TO `agents_reader`;
GRANT SELECT ON `agents`.axon_storage_pruning TO `agents_reader`;
GRANT SELECT ON `agents`.axon_stores TO `agents_reader`;
GRANT SELECT ON `agents`.cost_tracking TO `agents_reader`;
GRANT SELECT ON `agents`.daemons TO `agents_reader`;
GRANT SELECT ON `agents`.dataspaces TO `agents_reader`;
GRANT SELECT ON `agents`.event_history TO `agents_reader`;
GRANT SELECT ON `agents`.execution_cache TO `agents_reader`;
GRANT SELECT ON `agents`.hibernations TO `agents_reader`;
GRANT SELECT ON `agents`.schedules TO `agents_reader`;
GRANT SELECT ON `agents`.sessions TO `agents_reader`;
GRANT SELECT ON `agents`.traces TO `agents_reader`;
GRANT SELECT ON `agents`.axon_storage_version TO `agents_reader`;

-- maintenance: `agents_cron`
GRANT SELECT, DELETE ON `agents`.audit_log TO `agents_cron`;
GRANT SELECT, INSERT, UPDATE, DELETE ON `agents`.axon_storage_audit_seals TO `agents_cron`;
GRANT SELECT, INSERT, UPDATE, DELETE ON `agents`.axon_storage_pruning TO `agents_cron`;
GRANT SELECT, UPDATE (updated_at), DELETE ON `agents`.axon_stores TO `agents_cron`;
GRANT SELECT, DELETE ON `agents`.cost_tracking TO `agents_cron`;
GRANT SELECT, UPDATE (updated_at), DELETE ON `agents`.daemons TO `agents_cron`;
GRANT SELECT, UPDATE (updated_at), DELETE ON `agents`.dataspaces TO `agents_cron`;
GRANT SELECT, DELETE ON `agents`.event_history TO `agents_cron`;
GRANT SELECT, UPDATE (updated_at), DELETE ON `agents`.execution_cache TO `agents_cron`;
GRANT SELECT, UPDATE (updated_at), DELETE ON `agents`.hibernations TO `agents_cron`;
GRANT SELECT, UPDATE (updated_at), DELETE ON `agents`.schedules TO `agents_cron`;
GRANT SELECT, UPDATE (updated_at), DELETE ON `agents`.sessions TO `agents_cron`;
GRANT SELECT, DELETE ON `agents`.traces TO `agents_cron`;
GRANT SELECT ON `agents`.axon_storage_version TO `agents_cron`;
