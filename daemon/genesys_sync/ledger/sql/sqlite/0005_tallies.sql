-- Actions on the platform, counted in the commit that records their audit entries, by the smallest bound that their duration kept
-- within: so that what commands did beside the daemon is known to it, and outlives it.
CREATE TABLE action_tally (
    operation TEXT NOT NULL,
    outcome   TEXT NOT NULL,
    within_ms INTEGER NOT NULL,
    actions   INTEGER NOT NULL,
    seconds   REAL NOT NULL,
    bytes     INTEGER NOT NULL,
    PRIMARY KEY (operation, outcome, within_ms)
) STRICT, WITHOUT ROWID;

-- What was stored, by kind, counted in the commit that records the event which tells of it.
CREATE TABLE stored_tally (
    kind    TEXT PRIMARY KEY,
    objects INTEGER NOT NULL,
    bytes   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO stored_tally (kind, objects, bytes)
SELECT 'recordings', count(*), sum(json_extract(part.value, '$.bytes'))
FROM event AS e, json_each(CAST(e.body AS TEXT), '$.parts') AS part
WHERE e.topic = 'media.archived' AND json_type(part.value, '$.bytes') = 'integer'
HAVING count(*) > 0;
