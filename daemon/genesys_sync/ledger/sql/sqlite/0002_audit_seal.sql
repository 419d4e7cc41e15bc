-- How far the audit entries lie in daily files outside the ledger, and for how many of them a checkpoint was recorded. One row.
CREATE TABLE audit_seal (
    id           INTEGER PRIMARY KEY CHECK (id = 1),
    size         INTEGER NOT NULL,
    root         BLOB NOT NULL CHECK (length(root) = 32),
    day          TEXT,              -- ISO; the file that holds the last sealed entry
    position     INTEGER NOT NULL,  -- bytes of that file up to the end of that entry's line
    checkpointed INTEGER NOT NULL
) STRICT;

INSERT INTO audit_seal (id, size, root, day, position, checkpointed) VALUES (1, 0, zeroblob(32), NULL, 0, 0);

CREATE TRIGGER audit_seal_moves_forward BEFORE UPDATE ON audit_seal
WHEN new.size < old.size OR new.checkpointed < old.checkpointed OR new.checkpointed > new.size
BEGIN
    SELECT RAISE(ABORT, 'the seal of the audit entries never moves back');
END;
