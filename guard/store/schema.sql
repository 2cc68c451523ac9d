-- The ledger, layout 2. Documents are canonical JSON (guard/store/codec.py); columns repeat what queries need.

CREATE TABLE meta (
    id    INTEGER PRIMARY KEY CHECK (id = 1),
    epoch INTEGER NOT NULL,
    seq   INTEGER NOT NULL,
    head  TEXT    NOT NULL,
    held  TEXT    NOT NULL
);

CREATE TABLE notes (name TEXT PRIMARY KEY, document TEXT NOT NULL);

CREATE TABLE quarantines (
    id           TEXT    PRIMARY KEY,
    state        TEXT    NOT NULL,
    forgotten_us INTEGER NOT NULL,
    document     TEXT    NOT NULL
);

CREATE INDEX quarantines_that_matter ON quarantines (forgotten_us);

CREATE TABLE audit (
    seq      INTEGER PRIMARY KEY,
    target   TEXT    NOT NULL,
    document TEXT    NOT NULL,
    hash     TEXT    NOT NULL
);

CREATE INDEX audit_of_target ON audit (target, seq);

CREATE TRIGGER audit_is_never_changed BEFORE UPDATE ON audit BEGIN
    SELECT RAISE(ABORT, 'audit rows are never changed');
END;

CREATE TRIGGER audit_is_never_deleted BEFORE DELETE ON audit BEGIN
    SELECT RAISE(ABORT, 'audit rows are never deleted');
END;

CREATE TABLE outbox (
    id         TEXT    PRIMARY KEY,
    channel    TEXT    NOT NULL,
    state      TEXT    NOT NULL,
    created_us INTEGER NOT NULL,
    due_us     INTEGER NOT NULL,
    settled_us INTEGER,
    document   TEXT    NOT NULL
);

CREATE INDEX outbox_in_order ON outbox (channel, state, created_us);
CREATE INDEX outbox_by_age ON outbox (created_us);
CREATE INDEX outbox_settled ON outbox (state, settled_us);
