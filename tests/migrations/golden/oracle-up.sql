SET DEFINE OFF
WHENEVER SQLERROR EXIT FAILURE ROLLBACK

ALTER SESSION SET ddl_lock_timeout = 2

/

CREATE TABLE axon_storage_version (
    version_num VARCHAR2(32 CHAR) NOT NULL, 
    CONSTRAINT axon_storage_version_pkc PRIMARY KEY (version_num)
)

/

-- Running upgrade  -> 0001

CREATE TABLE audit_log (
    tenant_id VARCHAR2(65 CHAR) NOT NULL, 
    id CHAR(32) NOT NULL, 
    action VARCHAR2(256 CHAR) NOT NULL, 
    actor VARCHAR2(256 CHAR) NOT NULL, 
    target VARCHAR2(901 CHAR) NOT NULL, 
    detail CLOB NOT NULL, 
    timestamp_utc TIMESTAMP NOT NULL, 
    CONSTRAINT pk_audit_log PRIMARY KEY (tenant_id, id)
)

/

CREATE TABLE axon_stores (
    tenant_id VARCHAR2(65 CHAR) NOT NULL, 
    name VARCHAR2(256 CHAR) NOT NULL, 
    ontology CLOB NOT NULL, 
    entries CLOB NOT NULL, 
    created_at NUMBER(19, 0) NOT NULL, 
    total_ops NUMBER(19, 0) NOT NULL, 
    CONSTRAINT pk_axon_stores PRIMARY KEY (tenant_id, name)
)

/

CREATE TABLE cost_tracking (
    tenant_id VARCHAR2(65 CHAR) NOT NULL, 
    id CHAR(32) NOT NULL, 
    flow_name VARCHAR2(256 CHAR) NOT NULL, 
    backend VARCHAR2(256 CHAR) NOT NULL, 
    input_tokens NUMBER(19, 0) NOT NULL, 
    output_tokens NUMBER(19, 0) NOT NULL, 
    cost_usd BINARY_DOUBLE NOT NULL, 
    timestamp_utc TIMESTAMP NOT NULL, 
    CONSTRAINT pk_cost_tracking PRIMARY KEY (tenant_id, id)
)

/

CREATE INDEX ix_cost_tracking_flow ON cost_tracking (tenant_id, flow_name, id)

/

CREATE TABLE daemons (
    tenant_id VARCHAR2(65 CHAR) NOT NULL, 
    name VARCHAR2(256 CHAR) NOT NULL, 
    state VARCHAR2(256 CHAR) NOT NULL, 
    source_file VARCHAR2(901 CHAR) NOT NULL, 
    flow_name VARCHAR2(256 CHAR) NOT NULL, 
    event_count NUMBER(19, 0) NOT NULL, 
    restart_count NUMBER(19, 0) NOT NULL, 
    trigger_topic VARCHAR2(256 CHAR), 
    output_topic VARCHAR2(256 CHAR), 
    lifecycle_events CLOB NOT NULL, 
    CONSTRAINT pk_daemons PRIMARY KEY (tenant_id, name)
)

/

CREATE TABLE dataspaces (
    tenant_id VARCHAR2(65 CHAR) NOT NULL, 
    name VARCHAR2(256 CHAR) NOT NULL, 
    ontology CLOB NOT NULL, 
    entries CLOB NOT NULL, 
    associations CLOB NOT NULL, 
    created_at NUMBER(19, 0) NOT NULL, 
    total_ops NUMBER(19, 0) NOT NULL, 
    next_id NUMBER(19, 0) NOT NULL, 
    CONSTRAINT pk_dataspaces PRIMARY KEY (tenant_id, name)
)

/

CREATE TABLE event_history (
    tenant_id VARCHAR2(65 CHAR) NOT NULL, 
    id CHAR(32) NOT NULL, 
    topic VARCHAR2(256 CHAR) NOT NULL, 
    source VARCHAR2(256 CHAR) NOT NULL, 
    payload CLOB NOT NULL, 
    timestamp_utc TIMESTAMP NOT NULL, 
    CONSTRAINT pk_event_history PRIMARY KEY (tenant_id, id)
)

/

CREATE INDEX ix_event_history_topic ON event_history (tenant_id, topic, id)

/

CREATE TABLE execution_cache (
    tenant_id VARCHAR2(65 CHAR) NOT NULL, 
    flow_name VARCHAR2(256 CHAR) NOT NULL, 
    cache_key VARCHAR2(256 CHAR) NOT NULL, 
    result CLOB NOT NULL, 
    ttl_secs NUMBER(10, 0), 
    hit_count NUMBER(19, 0) NOT NULL, 
    expires_at TIMESTAMP, 
    CONSTRAINT pk_execution_cache PRIMARY KEY (tenant_id, flow_name, cache_key)
)

/

CREATE INDEX ix_execution_cache_expiry ON execution_cache (tenant_id, expires_at)

/

CREATE TABLE hibernations (
    tenant_id VARCHAR2(65 CHAR) NOT NULL, 
    id VARCHAR2(256 CHAR) NOT NULL, 
    name VARCHAR2(256 CHAR) NOT NULL, 
    operation VARCHAR2(256 CHAR) NOT NULL, 
    status VARCHAR2(256 CHAR) NOT NULL, 
    checkpoints CLOB NOT NULL, 
    resumed_from NUMBER(10, 0), 
    created_at NUMBER(19, 0) NOT NULL, 
    last_status_change NUMBER(19, 0) NOT NULL, 
    next_checkpoint_id NUMBER(19, 0) NOT NULL, 
    CONSTRAINT pk_hibernations PRIMARY KEY (tenant_id, id)
)

/

CREATE TABLE schedules (
    tenant_id VARCHAR2(65 CHAR) NOT NULL, 
    name VARCHAR2(256 CHAR) NOT NULL, 
    flow_name VARCHAR2(256 CHAR) NOT NULL, 
    interval_secs NUMBER(19, 0) NOT NULL, 
    enabled NUMBER(1, 0) NOT NULL, 
    backend VARCHAR2(256 CHAR) NOT NULL, 
    last_run NUMBER(19, 0) NOT NULL, 
    next_run NUMBER(19, 0) NOT NULL, 
    run_count NUMBER(19, 0) NOT NULL, 
    error_count NUMBER(19, 0) NOT NULL, 
    CONSTRAINT pk_schedules PRIMARY KEY (tenant_id, name)
)

/

CREATE TABLE sessions (
    tenant_id VARCHAR2(65 CHAR) NOT NULL, 
    scope VARCHAR2(256 CHAR) NOT NULL, 
    key VARCHAR2(256 CHAR) NOT NULL, 
    value CLOB NOT NULL, 
    source_step VARCHAR2(256 CHAR) NOT NULL, 
    CONSTRAINT pk_sessions PRIMARY KEY (tenant_id, scope, key)
)

/

CREATE TABLE traces (
    tenant_id VARCHAR2(65 CHAR) NOT NULL, 
    trace_id NUMBER(19, 0) NOT NULL, 
    flow_name VARCHAR2(256 CHAR) NOT NULL, 
    status VARCHAR2(256 CHAR) NOT NULL, 
    steps_executed NUMBER(19, 0) NOT NULL, 
    latency_ms NUMBER(19, 0) NOT NULL, 
    tokens_input NUMBER(19, 0) NOT NULL, 
    tokens_output NUMBER(19, 0) NOT NULL, 
    anchor_checks NUMBER(19, 0) NOT NULL, 
    anchor_breaches NUMBER(19, 0) NOT NULL, 
    errors NUMBER(19, 0) NOT NULL, 
    retries NUMBER(19, 0) NOT NULL, 
    source_file VARCHAR2(901 CHAR) NOT NULL, 
    backend VARCHAR2(256 CHAR) NOT NULL, 
    client_key VARCHAR2(256 CHAR) NOT NULL, 
    replay_of NUMBER(19, 0), 
    correlation_id VARCHAR2(256 CHAR), 
    events CLOB NOT NULL, 
    annotations CLOB NOT NULL, 
    created_id CHAR(32) NOT NULL, 
    CONSTRAINT pk_traces PRIMARY KEY (tenant_id, trace_id)
)

/

CREATE INDEX ix_traces_created ON traces (tenant_id, created_id)

/

INSERT INTO axon_storage_version (version_num) VALUES ('0001')

/

-- Running upgrade 0001 -> 0002

CREATE INDEX ix_traces_flow ON traces (tenant_id, flow_name, created_id) ONLINE

/

UPDATE axon_storage_version SET version_num='0002' WHERE axon_storage_version.version_num = '0001'

/

-- Running upgrade 0002 -> 0003

UPDATE axon_storage_version SET version_num='0003' WHERE axon_storage_version.version_num = '0002'

/

-- Running upgrade 0003 -> 0004

ALTER TABLE axon_stores ADD updated_at TIMESTAMP

/

ALTER TABLE daemons ADD updated_at TIMESTAMP

/

ALTER TABLE dataspaces ADD updated_at TIMESTAMP

/

ALTER TABLE execution_cache ADD updated_at TIMESTAMP

/

ALTER TABLE hibernations ADD updated_at TIMESTAMP

/

ALTER TABLE schedules ADD updated_at TIMESTAMP

/

ALTER TABLE sessions ADD updated_at TIMESTAMP

/

CREATE TABLE axon_storage_pruning (
    tenant_id VARCHAR2(65 CHAR) NOT NULL, 
    table_name VARCHAR2(256 CHAR) NOT NULL, 
    pruned_before TIMESTAMP, 
    holder CHAR(32), 
    held_until TIMESTAMP, 
    CONSTRAINT pk_axon_storage_pruning PRIMARY KEY (tenant_id, table_name)
)

/

UPDATE axon_storage_version SET version_num='0004' WHERE axon_storage_version.version_num = '0003'

/

-- Running upgrade 0004 -> 0005

CREATE TABLE axon_storage_audit_seals (
    tenant_id VARCHAR2(65 CHAR) NOT NULL, 
    seal_number NUMBER(19, 0) NOT NULL, 
    first_id CHAR(32) NOT NULL, 
    end_id CHAR(32) NOT NULL, 
    entries NUMBER(19, 0) NOT NULL, 
    pruned_before TIMESTAMP, 
    sealed_at TIMESTAMP NOT NULL, 
    previous_hash VARCHAR2(65 CHAR) NOT NULL, 
    digests_hash VARCHAR2(65 CHAR) NOT NULL, 
    seal_hash VARCHAR2(65 CHAR) NOT NULL, 
    has_digests NUMBER(1, 0) NOT NULL, 
    digests CLOB NOT NULL, 
    CONSTRAINT pk_axon_storage_audit_seals PRIMARY KEY (tenant_id, seal_number)
)

/

UPDATE axon_storage_version SET version_num='0005' WHERE axon_storage_version.version_num = '0004'

/

COMMIT

/

