-- SPDX-License-Identifier: Apache-2.0
-- What readers need and apply.sql does not. An event id is unique within its Space only: senders may choose it.
ALTER TABLE transfer ADD CONSTRAINT transfer_pkey PRIMARY KEY (event_id, space_id);
CREATE INDEX transfer_space ON transfer (space_id, occurred_at);
CREATE INDEX transfer_problem ON transfer (space_id, occurred_at) WHERE problem IS NOT NULL;
-- A member's account: only transfers that moved it, which are few.
CREATE INDEX transfer_member ON transfer (space_id, member_id, occurred_at) WHERE member <> 0;
CREATE INDEX transfer_counterparty ON transfer (space_id, counterparty_id, occurred_at) WHERE counterparty <> 0;
