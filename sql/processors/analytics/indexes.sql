-- SPDX-License-Identifier: Apache-2.0
-- Facts are read by Space and time; ids are looked up in the ledger, which has a key on them.
CREATE INDEX commerce_space ON commerce (space_id, occurred_at);
CREATE INDEX purchase_item_product ON purchase_item (space_id, product_id, occurred_at);
CREATE INDEX membership_space ON membership (space_id, occurred_at);
CREATE INDEX livestream_space ON livestream (space_id, occurred_at);
CREATE INDEX community_space ON community (space_id, occurred_at);
CREATE INDEX credit_space ON credit (space_id, occurred_at);
