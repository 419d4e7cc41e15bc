-- The moment after which a delivery of the event is too late, because the platform deletes what it is about: `deleteDate` in the body,
-- where that is a time. NULL: there is none.
CREATE VIEW event_deadline AS
SELECT seq, CASE WHEN told GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*' THEN CAST(unixepoch(told, 'subsec') * 1000 AS INTEGER) END
       AS deadline_ms
FROM (SELECT seq, json_extract(CAST(body AS TEXT), '$.deleteDate') AS told FROM event);

-- The nearest goes first, so what has a deadline is found by it, and what has none by when it is due: an index for each, because a
-- claim that had to step over the other kind would read a whole backlog.
ALTER TABLE delivery ADD COLUMN deadline_ms INTEGER;

UPDATE delivery SET deadline_ms = (SELECT d.deadline_ms FROM event_deadline AS d WHERE d.seq = delivery.event_seq);

CREATE INDEX delivery_dated ON delivery (handler, deadline_ms, due_ms, event_seq) WHERE state = 'ready' AND deadline_ms IS NOT NULL;
CREATE INDEX delivery_undated ON delivery (handler, due_ms, event_seq) WHERE state = 'ready' AND deadline_ms IS NULL;
