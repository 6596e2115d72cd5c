SET SESSION lock_wait_timeout = 2 /*!80000 , max_execution_time = 0 */;

SET SESSION innodb_lock_wait_timeout = 2;

SET SESSION max_statement_time = 3600.0;

CREATE TABLE axon_storage_version (
    version_num VARCHAR(32) NOT NULL, 
    CONSTRAINT axon_storage_version_pkc PRIMARY KEY (version_num)
);

-- Running upgrade  -> 0001

CREATE TABLE audit_log (
    tenant_id VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL, 
    id CHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, 
    action VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL, 
    actor VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL, 
    target VARCHAR(900) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL, 
    detail LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL, 
    timestamp_utc DATETIME(6) NOT NULL, 
    CONSTRAINT pk_audit_log PRIMARY KEY (tenant_id, id)
)CHARSET=utf8mb4 ENGINE=InnoDB ROW_FORMAT=DYNAMIC;

CREATE TABLE axon_stores (
    tenant_id VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL, 
    name VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL, 
    ontology LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL, 
    entries LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL, 
    created_at BIGINT NOT NULL, 
    total_ops BIGINT NOT NULL, 
    CONSTRAINT pk_axon_stores PRIMARY KEY (tenant_id, name)
)CHARSET=utf8mb4 ENGINE=InnoDB ROW_FORMAT=DYNAMIC;

CREATE TABLE cost_tracking (
    tenant_id VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL, 
    id CHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, 
    flow_name VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL, 
    backend VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL, 
    input_tokens BIGINT NOT NULL, 
    output_tokens BIGINT NOT NULL, 
    cost_usd DOUBLE NOT NULL, 
    timestamp_utc DATETIME(6) NOT NULL, 
    CONSTRAINT pk_cost_tracking PRIMARY KEY (tenant_id, id)
)CHARSET=utf8mb4 ENGINE=InnoDB ROW_FORMAT=DYNAMIC;

CREATE INDEX ix_cost_tracking_flow ON cost_tracking (tenant_id, flow_name, id);

CREATE TABLE daemons (
    tenant_id VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL, 
    name VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL, 
    state VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL, 
    source_file VARCHAR(900) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL, 
    flow_name VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL, 
    event_count BIGINT NOT NULL, 
    restart_count BIGINT NOT NULL, 
    trigger_topic VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin, 
    output_topic VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin, 
    lifecycle_events LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL, 
    CONSTRAINT pk_daemons PRIMARY KEY (tenant_id, name)
)CHARSET=utf8mb4 ENGINE=InnoDB ROW_FORMAT=DYNAMIC;

CREATE TABLE dataspaces (
    tenant_id VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL, 
    name VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL, 
    ontology LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL, 
    entries LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL, 
    associations LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL, 
    created_at BIGINT NOT NULL, 
    total_ops BIGINT NOT NULL, 
    next_id BIGINT NOT NULL, 
    CONSTRAINT pk_dataspaces PRIMARY KEY (tenant_id, name)
)CHARSET=utf8mb4 ENGINE=InnoDB ROW_FORMAT=DYNAMIC;

CREATE TABLE event_history (
    tenant_id VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL, 
    id CHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, 
    topic VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL, 
    source VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL, 
    payload LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL, 
    timestamp_utc DATETIME(6) NOT NULL, 
    CONSTRAINT pk_event_history PRIMARY KEY (tenant_id, id)
)CHARSET=utf8mb4 ENGINE=InnoDB ROW_FORMAT=DYNAMIC;

CREATE INDEX ix_event_history_topic ON event_history (tenant_id, topic, id);

CREATE TABLE execution_cache (
    tenant_id VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL, 
    flow_name VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL, 
    cache_key VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL, 
    result LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL, 
    ttl_secs INTEGER, 
    hit_count BIGINT NOT NULL, 
    expires_at DATETIME(6), 
    CONSTRAINT pk_execution_cache PRIMARY KEY (tenant_id, flow_name, cache_key)
)CHARSET=utf8mb4 ENGINE=InnoDB ROW_FORMAT=DYNAMIC;

CREATE INDEX ix_execution_cache_expiry ON execution_cache (tenant_id, expires_at);

CREATE TABLE hibernations (
    tenant_id VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL, 
    id VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL, 
    name VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL, 
    operation VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL, 
    status VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL, 
    checkpoints LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL, 
    resumed_from INTEGER, 
    created_at BIGINT NOT NULL, 
    last_status_change BIGINT NOT NULL, 
    next_checkpoint_id BIGINT NOT NULL, 
    CONSTRAINT pk_hibernations PRIMARY KEY (tenant_id, id)
)CHARSET=utf8mb4 ENGINE=InnoDB ROW_FORMAT=DYNAMIC;

CREATE TABLE schedules (
    tenant_id VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL, 
    name VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL, 
    flow_name VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL, 
    interval_secs BIGINT NOT NULL, 
    enabled BOOL NOT NULL, 
    backend VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL, 
    last_run BIGINT NOT NULL, 
    next_run BIGINT NOT NULL, 
    run_count BIGINT NOT NULL, 
    error_count BIGINT NOT NULL, 
    CONSTRAINT pk_schedules PRIMARY KEY (tenant_id, name)
)CHARSET=utf8mb4 ENGINE=InnoDB ROW_FORMAT=DYNAMIC;

CREATE TABLE sessions (
    tenant_id VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL, 
    scope VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL, 
    `key` VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL, 
    value LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL, 
    source_step VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL, 
    CONSTRAINT pk_sessions PRIMARY KEY (tenant_id, scope, `key`)
)CHARSET=utf8mb4 ENGINE=InnoDB ROW_FORMAT=DYNAMIC;

CREATE TABLE traces (
    tenant_id VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL, 
    trace_id BIGINT NOT NULL, 
    flow_name VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL, 
    status VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL, 
    steps_executed BIGINT NOT NULL, 
    latency_ms BIGINT NOT NULL, 
    tokens_input BIGINT NOT NULL, 
    tokens_output BIGINT NOT NULL, 
    anchor_checks BIGINT NOT NULL, 
    anchor_breaches BIGINT NOT NULL, 
    errors BIGINT NOT NULL, 
    retries BIGINT NOT NULL, 
    source_file VARCHAR(900) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL, 
    backend VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL, 
    client_key VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL, 
    replay_of BIGINT, 
    correlation_id VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin, 
    events LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL, 
    annotations LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL, 
    created_id CHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, 
    CONSTRAINT pk_traces PRIMARY KEY (tenant_id, trace_id)
)CHARSET=utf8mb4 ENGINE=InnoDB ROW_FORMAT=DYNAMIC;

CREATE INDEX ix_traces_created ON traces (tenant_id, created_id);

INSERT INTO axon_storage_version (version_num) VALUES ('0001');

-- Running upgrade 0001 -> 0002

CREATE INDEX ix_traces_flow ON traces (tenant_id, flow_name, created_id) ALGORITHM=INPLACE LOCK=NONE;

UPDATE axon_storage_version SET version_num='0002' WHERE axon_storage_version.version_num = '0001';

-- Running upgrade 0002 -> 0003

UPDATE axon_storage_version SET version_num='0003' WHERE axon_storage_version.version_num = '0002';

-- Running upgrade 0003 -> 0004

ALTER TABLE axon_stores ADD COLUMN updated_at DATETIME(6);

ALTER TABLE daemons ADD COLUMN updated_at DATETIME(6);

ALTER TABLE dataspaces ADD COLUMN updated_at DATETIME(6);

ALTER TABLE execution_cache ADD COLUMN updated_at DATETIME(6);

ALTER TABLE hibernations ADD COLUMN updated_at DATETIME(6);

ALTER TABLE schedules ADD COLUMN updated_at DATETIME(6);

ALTER TABLE sessions ADD COLUMN updated_at DATETIME(6);

CREATE TABLE axon_storage_pruning (
    tenant_id VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL, 
    table_name VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL, 
    pruned_before DATETIME(6), 
    holder CHAR(32) CHARACTER SET ascii COLLATE ascii_bin, 
    held_until DATETIME(6), 
    CONSTRAINT pk_axon_storage_pruning PRIMARY KEY (tenant_id, table_name)
)CHARSET=utf8mb4 ENGINE=InnoDB ROW_FORMAT=DYNAMIC;

UPDATE axon_storage_version SET version_num='0004' WHERE axon_storage_version.version_num = '0003';

-- Running upgrade 0004 -> 0005

CREATE TABLE axon_storage_audit_seals (
    tenant_id VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL, 
    seal_number BIGINT NOT NULL, 
    first_id CHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, 
    end_id CHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, 
    entries BIGINT NOT NULL, 
    pruned_before DATETIME(6), 
    sealed_at DATETIME(6) NOT NULL, 
    previous_hash VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL, 
    digests_hash VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL, 
    seal_hash VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL, 
    has_digests BOOL NOT NULL, 
    digests LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL, 
    CONSTRAINT pk_axon_storage_audit_seals PRIMARY KEY (tenant_id, seal_number)
)CHARSET=utf8mb4 ENGINE=InnoDB ROW_FORMAT=DYNAMIC;

UPDATE axon_storage_version SET version_num='0005' WHERE axon_storage_version.version_num = '0004';

