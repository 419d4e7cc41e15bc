-- The ledger: an append-only record of events, plus the state of their deliveries. Times are milliseconds since 1970.

-- An event is found again by its id alone, but ids are random, and a random unique key makes an index that is written all over
-- (8 times slower at 5 million rows). The day in front keeps today's keys together. Two copies of one fact may disagree about the
-- day near midnight, so whoever asks "is it here?" asks for the day before and the day after too.
CREATE TABLE event (
    seq             INTEGER PRIMARY KEY,
    day             INTEGER NOT NULL,   -- days since 1970
    id              BLOB NOT NULL CHECK (length(id) = 16),
    topic           TEXT NOT NULL,
    occurred_ms     INTEGER NOT NULL,
    organization_id TEXT NOT NULL,
    conversation_id TEXT,
    recording_id    TEXT,
    origin          TEXT NOT NULL,
    parent_id       TEXT,
    body            BLOB NOT NULL,      -- JSON
    recorded_ms     INTEGER NOT NULL,
    UNIQUE (day, id)
) STRICT;

CREATE INDEX event_by_conversation ON event (conversation_id) WHERE conversation_id IS NOT NULL;
CREATE INDEX event_by_recording ON event (recording_id) WHERE recording_id IS NOT NULL;
CREATE INDEX event_by_recorded ON event (recorded_ms);

CREATE TRIGGER event_is_append_only BEFORE UPDATE ON event
BEGIN
    SELECT RAISE(ABORT, 'events are never changed');
END;

-- Deliveries that are not finished. Finished ones move to delivery_history in the commit that finishes them, so this table stays
-- small however long the ledger lives. `day` is the event's: ids of deliveries are as random as those of events.
CREATE TABLE delivery (
    event_seq      INTEGER NOT NULL REFERENCES event (seq),
    handler        TEXT NOT NULL,
    day            INTEGER NOT NULL,
    id             BLOB NOT NULL CHECK (length(id) = 16),
    state          TEXT NOT NULL CHECK (state IN ('ready', 'leased')),
    attempts       INTEGER NOT NULL DEFAULT 0,
    snoozes        INTEGER NOT NULL DEFAULT 0,
    crashes        INTEGER NOT NULL DEFAULT 0,   -- leases that ran out in a row; counted among the attempts too
    created_ms     INTEGER NOT NULL,
    due_ms         INTEGER NOT NULL,
    fence          INTEGER NOT NULL DEFAULT 0,   -- grows with each lease, also over a replay
    lease_until_ms INTEGER,
    worker         TEXT,
    reason         TEXT,
    first_error    TEXT NOT NULL DEFAULT '',
    last_error     TEXT NOT NULL DEFAULT '',
    correlation_id TEXT NOT NULL DEFAULT '',
    note           TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (event_seq, handler),
    CHECK ((state = 'leased') = (lease_until_ms IS NOT NULL))
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX delivery_by_id ON delivery (id);
CREATE INDEX delivery_ready ON delivery (handler, due_ms, event_seq) WHERE state = 'ready';
CREATE INDEX delivery_leased ON delivery (lease_until_ms, handler) WHERE state = 'leased';

CREATE TABLE delivery_history (
    event_seq      INTEGER NOT NULL REFERENCES event (seq),
    handler        TEXT NOT NULL,
    day            INTEGER NOT NULL,
    id             BLOB NOT NULL CHECK (length(id) = 16),
    state          TEXT NOT NULL CHECK (state IN ('done', 'skipped', 'dead')),
    attempts       INTEGER NOT NULL,
    snoozes        INTEGER NOT NULL,
    crashes        INTEGER NOT NULL,
    created_ms     INTEGER NOT NULL,
    due_ms         INTEGER NOT NULL,
    finished_ms    INTEGER NOT NULL,
    fence          INTEGER NOT NULL,
    reason         TEXT,
    first_error    TEXT NOT NULL,
    last_error     TEXT NOT NULL,
    correlation_id TEXT NOT NULL,
    note           TEXT NOT NULL,
    PRIMARY KEY (event_seq, handler),
    CHECK (state <> 'dead' OR reason IS NOT NULL)
) STRICT, WITHOUT ROWID;

CREATE INDEX delivery_history_by_id ON delivery_history (day, id);
CREATE INDEX delivery_dead ON delivery_history (finished_ms, event_seq) WHERE state = 'dead';
CREATE INDEX delivery_dead_by_id ON delivery_history (id) WHERE state = 'dead';

-- How many there are, kept in the transaction that changes it: people ask every few seconds, and counting a million rows takes
-- longer each day. Deliveries that are not finished are counted where they lie: there are few, and two small indexes hold them.
CREATE TABLE event_tally (
    topic  TEXT PRIMARY KEY,
    events INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE delivery_tally (
    handler    TEXT NOT NULL,
    state      TEXT NOT NULL,
    deliveries INTEGER NOT NULL,
    PRIMARY KEY (handler, state)
) STRICT, WITHOUT ROWID;

CREATE TABLE parked_handler (
    handler   TEXT PRIMARY KEY,
    why       TEXT NOT NULL,
    parked_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE watermark (
    stream  TEXT PRIMARY KEY,
    up_to_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE gap (
    id        INTEGER PRIMARY KEY,
    from_ms   INTEGER NOT NULL,
    to_ms     INTEGER NOT NULL,
    cause     TEXT NOT NULL,
    closed_ms INTEGER
) STRICT;

CREATE INDEX gap_open ON gap (from_ms, id) WHERE closed_ms IS NULL;
CREATE INDEX gap_by_start ON gap (from_ms, id);

CREATE TABLE audit (
    seq     INTEGER PRIMARY KEY,
    at_ms   INTEGER NOT NULL,
    actor   TEXT NOT NULL,
    action  TEXT NOT NULL,
    target  TEXT NOT NULL,
    outcome TEXT NOT NULL,
    facts   BLOB NOT NULL   -- JSON
) STRICT;

CREATE TRIGGER audit_is_never_changed BEFORE UPDATE ON audit
BEGIN
    SELECT RAISE(ABORT, 'audit entries are never changed');
END;

CREATE TRIGGER audit_is_never_deleted BEFORE DELETE ON audit
BEGIN
    SELECT RAISE(ABORT, 'audit entries are never deleted');
END;

-- One row, written to prove that the ledger can be written.
CREATE TABLE pulse (
    id    INTEGER PRIMARY KEY CHECK (id = 1),
    at_ms INTEGER NOT NULL
) STRICT;
