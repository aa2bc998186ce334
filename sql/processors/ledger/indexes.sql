-- SPDX-License-Identifier: Apache-2.0
-- What a rebuild makes last. By the first two apply.sql finds a purchase and what was refunded of it, unless all of them
-- come at once.
CREATE UNIQUE INDEX transfer_purchase ON transfer (reference_id, space_id) WHERE kind = 'purchase' AND problem IS NULL;
CREATE INDEX transfer_refund ON transfer (reference_id, space_id) WHERE kind = 'refund';

-- The rest is for readers. An event id is unique within its Space only: senders may choose it.
ALTER TABLE transfer ADD CONSTRAINT transfer_pkey PRIMARY KEY (event_id, space_id);
CREATE INDEX transfer_space ON transfer (space_id, occurred_at);
CREATE INDEX transfer_problem ON transfer (space_id, occurred_at) WHERE problem IS NOT NULL;
-- A member's account: only transfers that moved it, which are few.
CREATE INDEX transfer_member ON transfer (space_id, member_id, occurred_at) WHERE member <> 0;
CREATE INDEX transfer_counterparty ON transfer (space_id, counterparty_id, occurred_at) WHERE counterparty <> 0;
