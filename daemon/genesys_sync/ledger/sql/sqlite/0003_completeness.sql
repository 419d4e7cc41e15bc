-- A long gap is worked off piece by piece, and how far that has come survives a restart; what it showed is counted.
ALTER TABLE gap ADD COLUMN up_to_ms INTEGER;
ALTER TABLE gap ADD COLUMN found INTEGER NOT NULL DEFAULT 0;
ALTER TABLE gap ADD COLUMN recorded INTEGER NOT NULL DEFAULT 0;

-- The conversations of a time, by their end. One entry a conversation, written in order of time, so it costs little.
CREATE INDEX event_conversation_ended ON event (occurred_ms, conversation_id) WHERE topic = 'conversation.ended';
