-- What was asked to be uploaded, newest first, and what became of it: few events among many, so an index over these alone.
CREATE INDEX event_upload_requested ON event (topic) WHERE topic = 'upload.requested';
CREATE INDEX event_upload_outcome ON event (parent_id) WHERE topic IN ('upload.completed', 'upload.failed');
