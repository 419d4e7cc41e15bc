-- Every statement that the ledger runs, by name. Columns of an event and of a delivery come in one order everywhere, so that one
-- function reads them (rows.py).

-- ---------------------------------------------------------------- recording

-- name: insert_event
-- A row comes back only for an event that was not here under its own day, the day before or the day after.
INSERT INTO event (day, id, topic, occurred_ms, organization_id, conversation_id, recording_id, origin, parent_id, body, recorded_ms)
SELECT :day, :id, :topic, :occurred_ms, :organization_id, :conversation_id, :recording_id, :origin, :parent_id, :body, :now_ms
WHERE NOT EXISTS (SELECT 1 FROM event WHERE day IN (:day - 1, :day, :day + 1) AND id = :id)
RETURNING seq;

-- name: insert_delivery
INSERT INTO delivery (event_seq, handler, day, id, state, created_ms, due_ms, deadline_ms)
SELECT :event_seq, :handler, :day, :id, 'ready', :now_ms, :now_ms, deadline_ms FROM event_deadline WHERE seq = :event_seq;

-- name: tally_events
INSERT INTO event_tally (topic, events) VALUES (:topic, :events)
ON CONFLICT (topic) DO UPDATE SET events = events + excluded.events;

-- name: tally_deliveries
INSERT INTO delivery_tally (handler, state, deliveries) VALUES (:handler, :state, :deliveries)
ON CONFLICT (handler, state) DO UPDATE SET deliveries = deliveries + excluded.deliveries;

-- name: tally_stored
INSERT INTO stored_tally (kind, objects, bytes) VALUES (:kind, :objects, :bytes)
ON CONFLICT (kind) DO UPDATE SET objects = objects + excluded.objects, bytes = bytes + excluded.bytes;

-- name: tally_action
INSERT INTO action_tally (operation, outcome, within_ms, actions, seconds, bytes)
VALUES (:operation, :outcome, :within_ms, :actions, :seconds, :bytes)
ON CONFLICT (operation, outcome, within_ms) DO UPDATE SET
    actions = actions + excluded.actions, seconds = seconds + excluded.seconds, bytes = bytes + excluded.bytes;

-- name: organization
SELECT organization_id FROM event WHERE seq = (SELECT min(seq) FROM event);

-- name: move_watermark
INSERT INTO watermark (stream, up_to_ms) VALUES (:stream, :up_to_ms)
ON CONFLICT (stream) DO UPDATE SET up_to_ms = max(up_to_ms, excluded.up_to_ms);

-- name: watermark
SELECT up_to_ms FROM watermark WHERE stream = :stream;

-- name: insert_gap
INSERT INTO gap (from_ms, to_ms, cause) VALUES (:from_ms, :to_ms, :cause) RETURNING id;

-- name: close_gap
UPDATE gap SET closed_ms = :at_ms WHERE id = :id AND closed_ms IS NULL RETURNING 1;

-- name: advance_gap
UPDATE gap SET up_to_ms = min(to_ms, max(coalesce(up_to_ms, from_ms), :up_to_ms)), found = found + :found, recorded = recorded + :recorded
WHERE id = :id AND closed_ms IS NULL;

-- name: expiring
SELECT e.conversation_id, e.recording_id, min(d.deadline_ms) AS nearest FROM delivery AS d JOIN event AS e ON e.seq = d.event_seq
WHERE d.deadline_ms < :before_ms AND e.topic = 'recording.ready' AND e.conversation_id IS NOT NULL AND e.recording_id IS NOT NULL
GROUP BY e.conversation_id, e.recording_id ORDER BY nearest LIMIT :limit;

-- name: gap
SELECT id, from_ms, to_ms, cause, closed_ms, up_to_ms, found, recorded FROM gap WHERE id = :id;

-- name: open_gaps
SELECT id, from_ms, to_ms, cause, closed_ms, up_to_ms, found, recorded FROM gap WHERE closed_ms IS NULL ORDER BY from_ms, id LIMIT :limit;

-- name: all_gaps
SELECT id, from_ms, to_ms, cause, closed_ms, up_to_ms, found, recorded FROM gap ORDER BY from_ms, id LIMIT :limit;

-- name: insert_audit
INSERT INTO audit (at_ms, actor, action, target, outcome, facts) VALUES (:at_ms, :actor, :action, :target, :outcome, :facts);

-- ---------------------------------------------------------------- the audit trail and the archive, as `verify` and the sealer read them

-- name: audit_after
SELECT seq, at_ms, actor, action, target, outcome, facts FROM audit WHERE seq > :after ORDER BY seq LIMIT :limit;

-- name: audit_seal
SELECT size, root, day, position, checkpointed FROM audit_seal;

-- name: mark_sealed
UPDATE audit_seal SET size = :size, root = :root, day = :day, position = :position WHERE size <= :size;

-- name: mark_checkpointed
UPDATE audit_seal SET checkpointed = :size WHERE checkpointed < :size AND size >= :size RETURNING 1;

-- name: event_days
WITH RECURSIVE days (day) AS (
    SELECT min(day) FROM event
    UNION ALL
    SELECT (SELECT min(day) FROM event WHERE day > days.day) FROM days WHERE days.day IS NOT NULL
)
SELECT day FROM days WHERE day IS NOT NULL;

-- name: events_of_day
SELECT e.day, e.id, e.topic, e.occurred_ms, e.organization_id, e.conversation_id, e.recording_id, e.origin, e.parent_id, e.body
FROM event AS e
WHERE e.day = :day AND e.id > :after AND e.topic IN (SELECT value FROM json_each(:topics))
ORDER BY e.id
LIMIT :limit;

-- ---------------------------------------------------------------- deliveries

-- name: ready_deliveries
SELECT e.day, e.id, e.topic, e.occurred_ms, e.organization_id, e.conversation_id, e.recording_id, e.origin, e.parent_id, e.body,
       d.event_seq, d.handler, d.id, d.attempts, d.snoozes, d.created_ms, d.fence + 1, :lease_until_ms, d.due_ms + :undated_ms
FROM delivery AS d INDEXED BY delivery_undated
JOIN event AS e ON e.seq = d.event_seq
WHERE d.handler = :handler AND d.state = 'ready' AND d.deadline_ms IS NULL AND d.due_ms <= :now_ms
  AND NOT EXISTS (SELECT 1 FROM parked_handler AS p WHERE p.handler = :handler)
ORDER BY d.due_ms, d.event_seq
LIMIT :limit;

-- name: ready_dated_deliveries
SELECT e.day, e.id, e.topic, e.occurred_ms, e.organization_id, e.conversation_id, e.recording_id, e.origin, e.parent_id, e.body,
       d.event_seq, d.handler, d.id, d.attempts, d.snoozes, d.created_ms, d.fence + 1, :lease_until_ms, d.deadline_ms
FROM delivery AS d INDEXED BY delivery_dated
JOIN event AS e ON e.seq = d.event_seq
WHERE d.handler = :handler AND d.state = 'ready' AND d.deadline_ms IS NOT NULL AND d.due_ms <= :now_ms
  AND NOT EXISTS (SELECT 1 FROM parked_handler AS p WHERE p.handler = :handler)
ORDER BY d.deadline_ms, d.due_ms, d.event_seq
LIMIT :limit;

-- name: lease
UPDATE delivery SET state = 'leased', fence = :fence, worker = :worker, lease_until_ms = :lease_until_ms
WHERE event_seq = :event_seq AND handler = :handler;

-- name: renew
UPDATE delivery SET lease_until_ms = :lease_until_ms
WHERE event_seq = :event_seq AND handler = :handler AND state = 'leased' AND fence = :fence
RETURNING 1;

-- name: release
UPDATE delivery SET state = 'ready', due_ms = :now_ms, lease_until_ms = NULL, worker = NULL
WHERE event_seq = :event_seq AND handler = :handler AND state = 'leased' AND fence = :fence
RETURNING 1;

-- name: settle_ready
-- A correlation id belongs to the last error, so it changes with it and only with it.
UPDATE delivery SET
    state = 'ready', due_ms = :due_ms, lease_until_ms = NULL, worker = NULL,
    attempts = attempts + :counted, snoozes = snoozes + :snoozed, crashes = iif(:crashed, crashes + 1, 0),
    blame = iif(:crashed, blame + :blame, 0),
    reason = coalesce(:reason, reason),
    first_error = iif(first_error = '', :error, first_error),
    last_error = iif(:error = '', last_error, :error),
    correlation_id = iif(:error = '', correlation_id, :correlation_id),
    note = :note
WHERE event_seq = :event_seq AND handler = :handler AND state = 'leased' AND fence = :fence
RETURNING 1;

-- name: settle_finally
INSERT INTO delivery_history (event_seq, handler, day, id, state, attempts, snoozes, crashes, created_ms, due_ms, finished_ms, fence,
                              reason, first_error, last_error, correlation_id, note)
SELECT event_seq, handler, day, id, :state, attempts + :counted, snoozes + :snoozed, crashes + :crashed, created_ms, due_ms, :now_ms, fence,
       :reason, iif(first_error = '', :error, first_error), iif(:error = '', last_error, :error),
       iif(:error = '', correlation_id, :correlation_id), :note
FROM delivery
WHERE event_seq = :event_seq AND handler = :handler AND state = 'leased' AND fence = :fence
RETURNING 1;

-- name: delete_delivery
DELETE FROM delivery WHERE event_seq = :event_seq AND handler = :handler;

-- name: park_handler
INSERT INTO parked_handler (handler, why, parked_ms) VALUES (:handler, :why, :now_ms) ON CONFLICT (handler) DO NOTHING;

-- name: expired_leases
SELECT event_seq, handler, fence, crashes, blame FROM delivery
WHERE state = 'leased' AND lease_until_ms <= :ended_by_ms
ORDER BY blame, lease_until_ms, event_seq
LIMIT :limit;

-- name: delivery
SELECT e.day, e.id, e.topic, e.occurred_ms, e.organization_id, e.conversation_id, e.recording_id, e.origin, e.parent_id, e.body,
       d.handler, d.id, d.state, d.attempts, d.snoozes, d.created_ms, d.due_ms, NULL, d.reason, d.first_error, d.last_error,
       d.correlation_id, d.note
FROM delivery AS d
JOIN event AS e ON e.seq = d.event_seq
WHERE d.event_seq = :event_seq AND d.handler = :handler;

-- name: delivery_in_history
SELECT e.day, e.id, e.topic, e.occurred_ms, e.organization_id, e.conversation_id, e.recording_id, e.origin, e.parent_id, e.body,
       d.handler, d.id, d.state, d.attempts, d.snoozes, d.created_ms, d.due_ms, d.finished_ms, d.reason, d.first_error, d.last_error,
       d.correlation_id, d.note
FROM delivery_history AS d
JOIN event AS e ON e.seq = d.event_seq
WHERE d.event_seq = :event_seq AND d.handler = :handler;

-- name: next_due
SELECT min(d.due_ms) FROM delivery AS d
WHERE d.handler = :handler AND d.state = 'ready' AND NOT EXISTS (SELECT 1 FROM parked_handler AS p WHERE p.handler = :handler);

-- ---------------------------------------------------------------- what people do

-- name: dead_by_id
SELECT event_seq, handler FROM delivery_history WHERE state = 'dead' AND id = :id;

-- name: replay
-- The fence goes on from where it stood: whoever still holds an old lease is refused after the replay too.
INSERT INTO delivery (event_seq, handler, day, id, state, attempts, snoozes, crashes, created_ms, due_ms, fence,
                      reason, first_error, last_error, correlation_id, note, deadline_ms)
SELECT event_seq, handler, day, id, 'ready', 0, 0, 0, :now_ms, :now_ms, fence, reason, first_error, last_error, correlation_id, note,
       (SELECT deadline_ms FROM event_deadline WHERE seq = event_seq)
FROM delivery_history
WHERE event_seq = :event_seq AND handler = :handler;

-- name: ready_of_conversation
SELECT d.event_seq, d.handler FROM event AS e CROSS JOIN delivery AS d ON d.event_seq = e.seq
WHERE e.conversation_id = :conversation_id AND e.topic = :topic AND e.id IS NOT :kept AND d.state = 'ready';

-- name: withdraw
INSERT INTO delivery_history (event_seq, handler, day, id, state, attempts, snoozes, crashes, created_ms, due_ms, finished_ms, fence,
                              reason, first_error, last_error, correlation_id, note)
SELECT event_seq, handler, day, id, 'skipped', attempts, snoozes, crashes, created_ms, due_ms, :now_ms, fence,
       reason, first_error, last_error, correlation_id, :note
FROM delivery
WHERE event_seq = :event_seq AND handler = :handler;

-- name: delete_history
DELETE FROM delivery_history WHERE event_seq = :event_seq AND handler = :handler;

-- name: unpark_handler
DELETE FROM parked_handler WHERE handler = :handler RETURNING 1;

-- name: due_now
UPDATE delivery SET due_ms = :now_ms WHERE handler = :handler AND state = 'ready' AND due_ms > :now_ms;

-- name: parked_handlers
SELECT handler, why FROM parked_handler ORDER BY handler;

-- name: event_tally
SELECT topic, events FROM event_tally ORDER BY topic;

-- name: delivery_tally
SELECT handler, state, deliveries FROM delivery_tally WHERE deliveries > 0;

-- name: ready_tally
SELECT handler, count(*), min(due_ms) FROM delivery WHERE state = 'ready' GROUP BY handler;

-- name: leased_tally
SELECT handler, count(*) FROM delivery WHERE state = 'leased' GROUP BY handler;

-- name: open_gap_tally
SELECT count(*) FROM gap WHERE closed_ms IS NULL;

-- name: action_tally
SELECT operation, outcome, within_ms, actions, seconds, bytes FROM action_tally ORDER BY operation, outcome, within_ms;

-- name: stored_tally
SELECT kind, objects, bytes FROM stored_tally ORDER BY kind;

-- name: events_about
-- `days` hops from one day that has events to the next, so that an id is looked for once a day, not once an event.
WITH RECURSIVE
    days (day) AS (
        SELECT min(day) FROM event WHERE :event_id IS NOT NULL
        UNION ALL
        SELECT (SELECT min(day) FROM event WHERE day > days.day) FROM days WHERE days.day IS NOT NULL
    ),
    found (seq) AS (
        SELECT seq FROM event WHERE conversation_id = :text
        UNION
        SELECT seq FROM event WHERE recording_id = :text
        UNION
        SELECT e.seq FROM days CROSS JOIN event AS e ON e.day = days.day AND e.id = :event_id
    )
SELECT e.day, e.id, e.topic, e.occurred_ms, e.organization_id, e.conversation_id, e.recording_id, e.origin, e.parent_id, e.body
FROM found CROSS JOIN event AS e ON e.seq = found.seq
ORDER BY e.seq
LIMIT :limit;

-- name: deliveries_about
WITH RECURSIVE
    days (day) AS (
        SELECT min(day) FROM event WHERE :event_id IS NOT NULL
        UNION ALL
        SELECT (SELECT min(day) FROM event WHERE day > days.day) FROM days WHERE days.day IS NOT NULL
    ),
    found (seq) AS (
        SELECT seq FROM event WHERE conversation_id = :text
        UNION
        SELECT seq FROM event WHERE recording_id = :text
        UNION
        SELECT e.seq FROM days CROSS JOIN event AS e ON e.day = days.day AND e.id = :event_id
    )
SELECT d.event_seq, d.handler, 0 AS finished FROM found CROSS JOIN delivery AS d ON d.event_seq = found.seq
UNION ALL
SELECT h.event_seq, h.handler, 1 FROM found CROSS JOIN delivery_history AS h ON h.event_seq = found.seq
ORDER BY 1, 2
LIMIT :limit;

-- name: conversations_ended
SELECT e.occurred_ms, e.conversation_id FROM event AS e
WHERE e.topic = 'conversation.ended' AND e.conversation_id IS NOT NULL
  AND e.occurred_ms >= :from_ms AND e.occurred_ms < :to_ms AND (e.occurred_ms, e.conversation_id) > (:after_ms, :after_id)
  AND NOT EXISTS (
      SELECT 1 FROM event AS later
      WHERE later.conversation_id = e.conversation_id AND later.topic = 'conversation.ended' AND later.occurred_ms > e.occurred_ms
  )
ORDER BY e.occurred_ms, e.conversation_id
LIMIT :limit;

-- name: ends_of_conversations
SELECT e.day, e.id, e.topic, e.occurred_ms, e.organization_id, e.conversation_id, e.recording_id, e.origin, e.parent_id, e.body
FROM json_each(:ids) AS wanted CROSS JOIN event AS e ON e.conversation_id = wanted.value AND e.topic = 'conversation.ended'
ORDER BY e.seq;

-- name: events_of_conversations
SELECT e.day, e.id, e.topic, e.occurred_ms, e.organization_id, e.conversation_id, e.recording_id, e.origin, e.parent_id, e.body, e.seq
FROM json_each(:ids) AS wanted CROSS JOIN event AS e ON e.conversation_id = wanted.value
ORDER BY e.seq;

-- name: standings_of_conversations
SELECT d.event_seq, d.handler, d.state, d.reason
FROM json_each(:ids) AS wanted CROSS JOIN event AS e ON e.conversation_id = wanted.value CROSS JOIN delivery AS d ON d.event_seq = e.seq
UNION ALL
SELECT h.event_seq, h.handler, h.state, h.reason
FROM json_each(:ids) AS wanted CROSS JOIN event AS e ON e.conversation_id = wanted.value
CROSS JOIN delivery_history AS h ON h.event_seq = e.seq
ORDER BY 1, 2;

-- name: uploads
SELECT e.day, e.id, e.topic, e.occurred_ms, e.organization_id, e.conversation_id, e.recording_id, e.origin, e.parent_id, e.body, e.seq
FROM event AS e INDEXED BY event_upload_requested
WHERE e.topic = 'upload.requested' AND e.seq < :before
ORDER BY e.seq DESC
LIMIT :limit;

-- name: standings_of_uploads
SELECT d.event_seq, d.handler, d.state, d.reason
FROM json_each(:numbers) AS wanted CROSS JOIN delivery AS d ON d.event_seq = wanted.value
UNION ALL
SELECT h.event_seq, h.handler, h.state, h.reason
FROM json_each(:numbers) AS wanted CROSS JOIN delivery_history AS h ON h.event_seq = wanted.value
ORDER BY 1, 2;

-- name: upload_outcomes
SELECT e.day, e.id, e.topic, e.occurred_ms, e.organization_id, e.conversation_id, e.recording_id, e.origin, e.parent_id, e.body
FROM json_each(:ids) AS wanted CROSS JOIN event AS e INDEXED BY event_upload_outcome ON e.parent_id = wanted.value
WHERE e.topic IN ('upload.completed', 'upload.failed')
ORDER BY e.seq;

-- name: delivery_by_id
WITH RECURSIVE
    days (day) AS (
        SELECT min(day) FROM delivery_history
        UNION ALL
        SELECT (SELECT min(day) FROM delivery_history WHERE day > days.day) FROM days WHERE days.day IS NOT NULL
    )
SELECT event_seq, handler, 0 AS finished FROM delivery WHERE id = :id
UNION ALL
SELECT h.event_seq, h.handler, 1 FROM days CROSS JOIN delivery_history AS h ON h.day = days.day AND h.id = :id;

-- name: dead_letters
SELECT event_seq, handler, 1 AS finished FROM delivery_history
WHERE state = 'dead' AND (:handler IS NULL OR handler = :handler) AND (:reason IS NULL OR reason = :reason)
ORDER BY finished_ms DESC, event_seq DESC
LIMIT :limit;

-- name: dead_reasons
SELECT handler, reason, count(*) FROM delivery_history WHERE state = 'dead' GROUP BY handler, reason ORDER BY handler, reason;

-- ---------------------------------------------------------------- upkeep

-- name: first_recorded_since
SELECT min(seq) FROM event WHERE recorded_ms >= :since_ms;

-- name: events_for_new_handler
SELECT e.seq, e.day, e.id, e.recorded_ms >= :since_ms AND e.topic IN (SELECT value FROM json_each(:topics))
    AND NOT EXISTS (SELECT 1 FROM delivery AS d WHERE d.event_seq = e.seq AND d.handler = :handler)
    AND NOT EXISTS (SELECT 1 FROM delivery_history AS h WHERE h.event_seq = e.seq AND h.handler = :handler)
FROM event AS e
WHERE e.seq >= :from_seq
ORDER BY e.seq
LIMIT :limit;

-- name: pulse
INSERT INTO pulse (id, at_ms) VALUES (1, :now_ms) ON CONFLICT (id) DO UPDATE SET at_ms = excluded.at_ms;
