\set ON_ERROR_STOP on

SET lock_timeout = 2000;

SET axon_storage.lock_timeout = 2000;

SET statement_timeout = 3600000;

BEGIN;

CREATE TABLE axon_storage_version (
    version_num VARCHAR(32) NOT NULL, 
    CONSTRAINT axon_storage_version_pkc PRIMARY KEY (version_num)
);

-- Running upgrade  -> 0001

CREATE TABLE audit_log (
    tenant_id VARCHAR(64) COLLATE "C" NOT NULL, 
    id UUID NOT NULL, 
    action VARCHAR(255) COLLATE "C" NOT NULL, 
    actor VARCHAR(255) COLLATE "C" NOT NULL, 
    target VARCHAR(900) COLLATE "C" NOT NULL, 
    detail JSON NOT NULL, 
    timestamp_utc TIMESTAMP WITH TIME ZONE NOT NULL, 
    CONSTRAINT pk_audit_log PRIMARY KEY (tenant_id, id)
);

CREATE TABLE axon_stores (
    tenant_id VARCHAR(64) COLLATE "C" NOT NULL, 
    name VARCHAR(255) COLLATE "C" NOT NULL, 
    ontology TEXT COLLATE "C" NOT NULL, 
    entries JSON NOT NULL, 
    created_at BIGINT NOT NULL, 
    total_ops BIGINT NOT NULL, 
    CONSTRAINT pk_axon_stores PRIMARY KEY (tenant_id, name)
);

CREATE TABLE cost_tracking (
    tenant_id VARCHAR(64) COLLATE "C" NOT NULL, 
    id UUID NOT NULL, 
    flow_name VARCHAR(255) COLLATE "C" NOT NULL, 
    backend VARCHAR(255) COLLATE "C" NOT NULL, 
    input_tokens BIGINT NOT NULL, 
    output_tokens BIGINT NOT NULL, 
    cost_usd DOUBLE PRECISION NOT NULL, 
    timestamp_utc TIMESTAMP WITH TIME ZONE NOT NULL, 
    CONSTRAINT pk_cost_tracking PRIMARY KEY (tenant_id, id)
);

CREATE INDEX ix_cost_tracking_flow ON cost_tracking (tenant_id, flow_name, id);

CREATE TABLE daemons (
    tenant_id VARCHAR(64) COLLATE "C" NOT NULL, 
    name VARCHAR(255) COLLATE "C" NOT NULL, 
    state VARCHAR(255) COLLATE "C" NOT NULL, 
    source_file VARCHAR(900) COLLATE "C" NOT NULL, 
    flow_name VARCHAR(255) COLLATE "C" NOT NULL, 
    event_count BIGINT NOT NULL, 
    restart_count BIGINT NOT NULL, 
    trigger_topic VARCHAR(255) COLLATE "C", 
    output_topic VARCHAR(255) COLLATE "C", 
    lifecycle_events JSON NOT NULL, 
    CONSTRAINT pk_daemons PRIMARY KEY (tenant_id, name)
);

CREATE TABLE dataspaces (
    tenant_id VARCHAR(64) COLLATE "C" NOT NULL, 
    name VARCHAR(255) COLLATE "C" NOT NULL, 
    ontology TEXT COLLATE "C" NOT NULL, 
    entries JSON NOT NULL, 
    associations JSON NOT NULL, 
    created_at BIGINT NOT NULL, 
    total_ops BIGINT NOT NULL, 
    next_id BIGINT NOT NULL, 
    CONSTRAINT pk_dataspaces PRIMARY KEY (tenant_id, name)
);

CREATE TABLE event_history (
    tenant_id VARCHAR(64) COLLATE "C" NOT NULL, 
    id UUID NOT NULL, 
    topic VARCHAR(255) COLLATE "C" NOT NULL, 
    source VARCHAR(255) COLLATE "C" NOT NULL, 
    payload JSON NOT NULL, 
    timestamp_utc TIMESTAMP WITH TIME ZONE NOT NULL, 
    CONSTRAINT pk_event_history PRIMARY KEY (tenant_id, id)
);

CREATE INDEX ix_event_history_topic ON event_history (tenant_id, topic, id);

CREATE TABLE execution_cache (
    tenant_id VARCHAR(64) COLLATE "C" NOT NULL, 
    flow_name VARCHAR(255) COLLATE "C" NOT NULL, 
    cache_key VARCHAR(255) COLLATE "C" NOT NULL, 
    result JSON NOT NULL, 
    ttl_secs INTEGER, 
    hit_count BIGINT NOT NULL, 
    expires_at TIMESTAMP WITH TIME ZONE, 
    CONSTRAINT pk_execution_cache PRIMARY KEY (tenant_id, flow_name, cache_key)
);

CREATE INDEX ix_execution_cache_expiry ON execution_cache (tenant_id, expires_at);

CREATE TABLE hibernations (
    tenant_id VARCHAR(64) COLLATE "C" NOT NULL, 
    id VARCHAR(255) COLLATE "C" NOT NULL, 
    name VARCHAR(255) COLLATE "C" NOT NULL, 
    operation VARCHAR(255) COLLATE "C" NOT NULL, 
    status VARCHAR(255) COLLATE "C" NOT NULL, 
    checkpoints JSON NOT NULL, 
    resumed_from INTEGER, 
    created_at BIGINT NOT NULL, 
    last_status_change BIGINT NOT NULL, 
    next_checkpoint_id BIGINT NOT NULL, 
    CONSTRAINT pk_hibernations PRIMARY KEY (tenant_id, id)
);

CREATE TABLE schedules (
    tenant_id VARCHAR(64) COLLATE "C" NOT NULL, 
    name VARCHAR(255) COLLATE "C" NOT NULL, 
    flow_name VARCHAR(255) COLLATE "C" NOT NULL, 
    interval_secs BIGINT NOT NULL, 
    enabled BOOLEAN NOT NULL, 
    backend VARCHAR(255) COLLATE "C" NOT NULL, 
    last_run BIGINT NOT NULL, 
    next_run BIGINT NOT NULL, 
    run_count BIGINT NOT NULL, 
    error_count BIGINT NOT NULL, 
    CONSTRAINT pk_schedules PRIMARY KEY (tenant_id, name)
);

CREATE TABLE sessions (
    tenant_id VARCHAR(64) COLLATE "C" NOT NULL, 
    scope VARCHAR(255) COLLATE "C" NOT NULL, 
    key VARCHAR(255) COLLATE "C" NOT NULL, 
    value TEXT COLLATE "C" NOT NULL, 
    source_step VARCHAR(255) COLLATE "C" NOT NULL, 
    CONSTRAINT pk_sessions PRIMARY KEY (tenant_id, scope, key)
);

CREATE TABLE traces (
    tenant_id VARCHAR(64) COLLATE "C" NOT NULL, 
    trace_id BIGINT NOT NULL, 
    flow_name VARCHAR(255) COLLATE "C" NOT NULL, 
    status VARCHAR(255) COLLATE "C" NOT NULL, 
    steps_executed BIGINT NOT NULL, 
    latency_ms BIGINT NOT NULL, 
    tokens_input BIGINT NOT NULL, 
    tokens_output BIGINT NOT NULL, 
    anchor_checks BIGINT NOT NULL, 
    anchor_breaches BIGINT NOT NULL, 
    errors BIGINT NOT NULL, 
    retries BIGINT NOT NULL, 
    source_file VARCHAR(900) COLLATE "C" NOT NULL, 
    backend VARCHAR(255) COLLATE "C" NOT NULL, 
    client_key VARCHAR(255) COLLATE "C" NOT NULL, 
    replay_of BIGINT, 
    correlation_id VARCHAR(255) COLLATE "C", 
    events JSON NOT NULL, 
    annotations JSON NOT NULL, 
    created_id UUID NOT NULL, 
    CONSTRAINT pk_traces PRIMARY KEY (tenant_id, trace_id)
);

CREATE INDEX ix_traces_created ON traces (tenant_id, created_id);

INSERT INTO axon_storage_version (version_num) VALUES ('0001');

-- Running upgrade 0001 -> 0002

COMMIT;

SET lock_timeout = 0;

DROP INDEX CONCURRENTLY IF EXISTS ix_traces_flow;

CREATE INDEX CONCURRENTLY ix_traces_flow ON traces (tenant_id, flow_name, created_id);

SELECT set_config('lock_timeout', current_setting('axon_storage.lock_timeout'), false);

BEGIN;

UPDATE axon_storage_version SET version_num='0002' WHERE axon_storage_version.version_num = '0001';

-- Running upgrade 0002 -> 0003

ALTER TABLE axon_stores SET (fillfactor = 80);

ALTER TABLE daemons SET (fillfactor = 80);

ALTER TABLE dataspaces SET (fillfactor = 80);

ALTER TABLE hibernations SET (fillfactor = 80);

ALTER TABLE schedules SET (fillfactor = 80);

ALTER TABLE sessions SET (fillfactor = 80);

ALTER TABLE traces SET (fillfactor = 80);

UPDATE axon_storage_version SET version_num='0003' WHERE axon_storage_version.version_num = '0002';

-- Running upgrade 0003 -> 0004

ALTER TABLE axon_stores ADD COLUMN updated_at TIMESTAMP WITH TIME ZONE;

ALTER TABLE daemons ADD COLUMN updated_at TIMESTAMP WITH TIME ZONE;

ALTER TABLE dataspaces ADD COLUMN updated_at TIMESTAMP WITH TIME ZONE;

ALTER TABLE execution_cache ADD COLUMN updated_at TIMESTAMP WITH TIME ZONE;

ALTER TABLE hibernations ADD COLUMN updated_at TIMESTAMP WITH TIME ZONE;

ALTER TABLE schedules ADD COLUMN updated_at TIMESTAMP WITH TIME ZONE;

ALTER TABLE sessions ADD COLUMN updated_at TIMESTAMP WITH TIME ZONE;

CREATE TABLE axon_storage_pruning (
    tenant_id VARCHAR(64) COLLATE "C" NOT NULL, 
    table_name VARCHAR(255) COLLATE "C" NOT NULL, 
    pruned_before TIMESTAMP WITH TIME ZONE, 
    holder UUID, 
    held_until TIMESTAMP WITH TIME ZONE, 
    CONSTRAINT pk_axon_storage_pruning PRIMARY KEY (tenant_id, table_name)
);

UPDATE axon_storage_version SET version_num='0004' WHERE axon_storage_version.version_num = '0003';

-- Running upgrade 0004 -> 0005

CREATE TABLE axon_storage_audit_seals (
    tenant_id VARCHAR(64) COLLATE "C" NOT NULL, 
    seal_number BIGINT NOT NULL, 
    first_id UUID NOT NULL, 
    end_id UUID NOT NULL, 
    entries BIGINT NOT NULL, 
    pruned_before TIMESTAMP WITH TIME ZONE, 
    sealed_at TIMESTAMP WITH TIME ZONE NOT NULL, 
    previous_hash VARCHAR(64) COLLATE "C" NOT NULL, 
    digests_hash VARCHAR(64) COLLATE "C" NOT NULL, 
    seal_hash VARCHAR(64) COLLATE "C" NOT NULL, 
    has_digests BOOLEAN NOT NULL, 
    digests TEXT COLLATE "C" NOT NULL, 
    CONSTRAINT pk_axon_storage_audit_seals PRIMARY KEY (tenant_id, seal_number)
);

UPDATE axon_storage_version SET version_num='0005' WHERE axon_storage_version.version_num = '0004';

COMMIT;

