-- SPDX-License-Identifier: Apache-2.0
-- The columns of the benchmark's event log: ids, time, money.
CREATE TABLE event (
    event_id    uuid NOT NULL,
    space_id    uuid NOT NULL,
    occurred_at timestamptz NOT NULL,
    purchase_id uuid NOT NULL,
    buyer_id    uuid NOT NULL,
    currency    text COLLATE "C" NOT NULL,
    total       bigint NOT NULL
);
COMMENT ON TABLE event IS 'One row per purchase.';
COMMENT ON COLUMN event.event_id IS 'The event.';
COMMENT ON COLUMN event.space_id IS 'The Space.';
COMMENT ON COLUMN event.occurred_at IS 'When it happened.';
COMMENT ON COLUMN event.purchase_id IS 'The purchase.';
COMMENT ON COLUMN event.buyer_id IS 'The member who bought.';
COMMENT ON COLUMN event.currency IS 'ISO 4217 code.';
COMMENT ON COLUMN event.total IS 'What was paid, in minor units.';
