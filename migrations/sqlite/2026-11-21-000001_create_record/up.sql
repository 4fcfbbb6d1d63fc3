-- The record: what was published, what was consumed, every attempt, and what was seen before.
-- Times are UTC text (YYYY-MM-DD HH:MM:SS.ffffff). Payloads and keys are bytes.

CREATE TABLE event_production_log (
    id               INTEGER PRIMARY KEY AUTOINCREMENT,
    event_id         TEXT    NOT NULL,
    service_name     TEXT    NOT NULL,
    topic            TEXT    NOT NULL,
    event_key        BLOB,
    event_type       TEXT    NOT NULL,
    payload          BLOB,
    status           TEXT    NOT NULL DEFAULT 'PENDING'
        CHECK (status IN ('PENDING', 'PUBLISHING', 'PUBLISHED', 'FAILED', 'FAILED_MAX_RETRY', 'DISCARDED')),
    retry_count      INTEGER NOT NULL DEFAULT 0,
    max_retries      INTEGER NOT NULL DEFAULT 3,
    error_message    TEXT,
    correlation_id   TEXT,
    partition_number INTEGER,
    offset           INTEGER,
    published_at     TEXT,
    created_at       TEXT    NOT NULL,
    updated_at       TEXT,
    metadata         TEXT,
    causation_id     TEXT,
    content_type     TEXT,
    headers          TEXT,
    traceparent      TEXT,
    kind             TEXT    NOT NULL DEFAULT 'event' CHECK (kind IN ('event', 'dead_letter', 'replay'))
) STRICT;

CREATE INDEX idx_prod_event_id ON event_production_log (event_id);
CREATE INDEX idx_prod_correlation ON event_production_log (correlation_id) WHERE correlation_id IS NOT NULL;
-- The order in which the embedded broker's consumers read a partition.
CREATE INDEX idx_prod_topic_partition_offset ON event_production_log (topic, partition_number, offset)
    WHERE offset IS NOT NULL;

CREATE TABLE event_consumption_log (
    id                 INTEGER PRIMARY KEY,
    event_id           TEXT    NOT NULL,
    service_name       TEXT    NOT NULL,
    topic              TEXT    NOT NULL,
    partition_number   INTEGER,
    offset             INTEGER,
    consumer_group     TEXT    NOT NULL,
    event_type         TEXT    NOT NULL,
    payload            BLOB,
    status             TEXT    NOT NULL
        CHECK (status IN ('RECEIVED', 'PROCESSING', 'PROCESSED', 'FAILED', 'FAILED_MAX_RETRY',
                          'INVALID', 'NO_HANDLER', 'DUPLICATE', 'DISCARDED')),
    retry_count        INTEGER NOT NULL DEFAULT 0,
    max_retries        INTEGER NOT NULL DEFAULT 3,
    processing_time_ms INTEGER,
    error_message      TEXT,
    error_stack_trace  TEXT,
    correlation_id     TEXT,
    received_at        TEXT    NOT NULL,
    processed_at       TEXT,
    created_at         TEXT    NOT NULL,
    updated_at         TEXT,
    metadata           TEXT,
    handler_name       TEXT    NOT NULL DEFAULT '',
    event_key          BLOB,
    key_hash           INTEGER,
    causation_id       TEXT,
    content_type       TEXT,
    headers            TEXT,
    traceparent        TEXT,
    replay_id          TEXT    NOT NULL DEFAULT '',
    redrive_count      INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE INDEX idx_cons_event_id ON event_consumption_log (event_id);
CREATE INDEX idx_cons_correlation ON event_consumption_log (correlation_id) WHERE correlation_id IS NOT NULL;

CREATE TABLE event_attempt (
    id                 INTEGER PRIMARY KEY,
    consumption_id     INTEGER NOT NULL,
    event_id           TEXT    NOT NULL,
    attempt_number     INTEGER NOT NULL,
    handler_name       TEXT    NOT NULL,
    instance_id        TEXT    NOT NULL,
    started_at         TEXT    NOT NULL,
    completed_at       TEXT    NOT NULL,
    status             TEXT    NOT NULL
        CHECK (status IN ('SUCCESS', 'FAILED', 'TIMEOUT', 'PANIC', 'REJECTED', 'ABANDONED', 'INTERRUPTED')),
    error_message      TEXT,
    error_stack_trace  TEXT,
    processing_time_ms INTEGER NOT NULL,
    retry_delay_ms     INTEGER
) STRICT;

CREATE INDEX idx_attempt_consumption ON event_attempt (consumption_id);

-- The one authority on "seen before". It outlives the logs: its retention is the dedup horizon.
CREATE TABLE idempotency_key (
    consumer_group TEXT    NOT NULL,
    handler_name   TEXT    NOT NULL,
    event_id       TEXT    NOT NULL,
    replay_id      TEXT    NOT NULL DEFAULT '',
    checksum       INTEGER NOT NULL,
    processed_at   TEXT    NOT NULL,
    consumption_id INTEGER NOT NULL,
    -- What tells most at the first comparison comes first.
    PRIMARY KEY (event_id, consumer_group, handler_name, replay_id)
) STRICT, WITHOUT ROWID;

-- Events that no listener wanted: there are few of them, or none.
CREATE INDEX idx_key_unwanted ON idempotency_key (consumer_group) WHERE handler_name = '';

-- Who did what to which record, when and why.
CREATE TABLE operator_action (
    id           INTEGER PRIMARY KEY,
    action       TEXT    NOT NULL,
    target_table TEXT    NOT NULL,
    target_id    INTEGER NOT NULL,
    event_id     TEXT    NOT NULL,
    status_from  TEXT    NOT NULL,
    status_to    TEXT    NOT NULL,
    operator     TEXT    NOT NULL,
    reason       TEXT,
    created_at   TEXT    NOT NULL
) STRICT;

CREATE INDEX idx_action_event_id ON operator_action (event_id);

-- Open work, in narrow rows that live only while it is open. Nothing else is ever scanned to find work.

CREATE TABLE outbox_queue (
    production_id INTEGER PRIMARY KEY,
    shard         INTEGER NOT NULL,
    topic         TEXT    NOT NULL,
    key_hash      INTEGER,
    state         TEXT    NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'failed', 'review')),
    due_at        TEXT    NOT NULL
) STRICT;

CREATE INDEX idx_outbox_queue_due ON outbox_queue (shard, due_at) WHERE state <> 'review';
-- A failed row that waits for its retry holds the later ones of its key.
CREATE INDEX idx_outbox_queue_failed ON outbox_queue (topic, key_hash) WHERE state = 'failed';

CREATE TABLE inbox_queue (
    consumption_id   INTEGER PRIMARY KEY,
    consumer_group   TEXT    NOT NULL,
    handler_name     TEXT    NOT NULL,
    topic            TEXT    NOT NULL,
    partition_number INTEGER,
    key_hash         INTEGER,
    state            TEXT    NOT NULL CHECK (state IN ('waiting', 'held', 'due', 'claimed', 'started', 'review')),
    due_at           TEXT    NOT NULL,
    claim_token      INTEGER,
    abandoned_count  INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE INDEX idx_inbox_queue_due ON inbox_queue (consumer_group, handler_name, due_at) WHERE state IN ('waiting', 'due');
CREATE INDEX idx_inbox_queue_key ON inbox_queue (consumer_group, handler_name, key_hash, consumption_id)
    WHERE key_hash IS NOT NULL;
CREATE INDEX idx_inbox_queue_claim ON inbox_queue (claim_token) WHERE claim_token IS NOT NULL;
CREATE INDEX idx_inbox_queue_review ON inbox_queue (consumption_id) WHERE state = 'review';

-- One row a claimed batch: the rows `first_id..=last_id` of the consumption log that have no inbox_queue row,
-- and the inbox_queue rows that name the token, belong to the instance. No claim row, no status update.
CREATE TABLE claim (
    token          INTEGER PRIMARY KEY,
    instance_id    TEXT    NOT NULL,
    consumer_group TEXT    NOT NULL,
    first_id       INTEGER NOT NULL,
    last_id        INTEGER NOT NULL,
    created_at     TEXT    NOT NULL
) STRICT;

CREATE INDEX idx_claim_instance ON claim (instance_id);

CREATE TABLE instance (
    id             TEXT    PRIMARY KEY,
    name           TEXT    NOT NULL,
    service_name   TEXT    NOT NULL,
    -- Silent for this long, and an observer takes over.
    lease_ms       INTEGER NOT NULL,
    beat           INTEGER NOT NULL DEFAULT 0,
    started_at     TEXT    NOT NULL,
    last_beat_at   TEXT    NOT NULL
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX idx_instance_name ON instance (service_name, name);

-- A resource (a relay shard, a partition of the embedded broker, maintenance) that one instance owns.
CREATE TABLE lease (
    resource    TEXT    PRIMARY KEY,
    instance_id TEXT,
    token       INTEGER NOT NULL DEFAULT 0,
    updated_at  TEXT    NOT NULL
) STRICT, WITHOUT ROWID;

-- Which instances want a share of a set of leases.
CREATE TABLE member (
    scope       TEXT NOT NULL,
    instance_id TEXT NOT NULL,
    joined_at   TEXT NOT NULL,
    PRIMARY KEY (scope, instance_id)
) STRICT, WITHOUT ROWID;

-- The embedded broker: partitions of a topic, and how far each consumer group has read them.
CREATE TABLE embedded_partition (
    topic            TEXT    NOT NULL,
    partition_number INTEGER NOT NULL,
    next_offset      INTEGER NOT NULL DEFAULT 0,
    created_at       TEXT    NOT NULL,
    PRIMARY KEY (topic, partition_number)
) STRICT, WITHOUT ROWID;

CREATE TABLE embedded_position (
    consumer_group   TEXT    NOT NULL,
    topic            TEXT    NOT NULL,
    partition_number INTEGER NOT NULL,
    next_offset      INTEGER NOT NULL,
    updated_at       TEXT    NOT NULL,
    PRIMARY KEY (consumer_group, topic, partition_number)
) STRICT, WITHOUT ROWID;

-- Listeners that an operator paused.
CREATE TABLE listener_pause (
    consumer_group TEXT NOT NULL,
    handler_name   TEXT NOT NULL,
    operator       TEXT NOT NULL,
    reason         TEXT,
    created_at     TEXT NOT NULL,
    PRIMARY KEY (consumer_group, handler_name)
) STRICT, WITHOUT ROWID;

-- Ids of the consumption log and tokens of claims are reserved in blocks, so that a batch is one range.
CREATE TABLE id_block (
    name    TEXT    PRIMARY KEY,
    next_id INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO id_block (name, next_id) VALUES ('consumption', 1), ('claim', 1);
