-- What a delivery's process deaths in a row speak against it, in thousandths of a death: each death is shared out among all deliveries
-- that were leased at it.
ALTER TABLE delivery ADD COLUMN blame INTEGER NOT NULL DEFAULT 0;
