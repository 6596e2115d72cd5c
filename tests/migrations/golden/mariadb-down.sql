SET SESSION lock_wait_timeout = 2 /*!80000 , max_execution_time = 0 */;

SET SESSION innodb_lock_wait_timeout = 2;

SET SESSION max_statement_time = 3600.0;

-- Running downgrade 0005 -> 0004

DROP TABLE axon_storage_audit_seals;

UPDATE axon_storage_version SET version_num='0004' WHERE axon_storage_version.version_num = '0005';

-- Running downgrade 0004 -> 0003

DROP TABLE axon_storage_pruning;

ALTER TABLE axon_stores DROP COLUMN updated_at;

ALTER TABLE daemons DROP COLUMN updated_at;

ALTER TABLE dataspaces DROP COLUMN updated_at;

ALTER TABLE execution_cache DROP COLUMN updated_at;

ALTER TABLE hibernations DROP COLUMN updated_at;

ALTER TABLE schedules DROP COLUMN updated_at;

ALTER TABLE sessions DROP COLUMN updated_at;

UPDATE axon_storage_version SET version_num='0003' WHERE axon_storage_version.version_num = '0004';

-- Running downgrade 0003 -> 0002

UPDATE axon_storage_version SET version_num='0002' WHERE axon_storage_version.version_num = '0003';

-- Running downgrade 0002 -> 0001

DROP INDEX ix_traces_flow ON traces;

UPDATE axon_storage_version SET version_num='0001' WHERE axon_storage_version.version_num = '0002';

-- Running downgrade 0001 -> 

DROP INDEX ix_traces_created ON traces;

DROP TABLE traces;

DROP TABLE sessions;

DROP TABLE schedules;

DROP TABLE hibernations;

DROP INDEX ix_execution_cache_expiry ON execution_cache;

DROP TABLE execution_cache;

DROP INDEX ix_event_history_topic ON event_history;

DROP TABLE event_history;

DROP TABLE dataspaces;

DROP TABLE daemons;

DROP INDEX ix_cost_tracking_flow ON cost_tracking;

DROP TABLE cost_tracking;

DROP TABLE axon_stores;

DROP TABLE audit_log;

DELETE FROM axon_storage_version WHERE axon_storage_version.version_num = '0001';

