-- SPDX-License-Identifier: Apache-2.0
-- The orders in which pages are read. No index on activity is unique: far apart in time an event may count twice.
CREATE INDEX product_published ON product (space_id, published_at, product_id) WHERE published_at IS NOT NULL;
CREATE INDEX stream_started ON stream (space_id, started_at, stream_id) WHERE started_at IS NOT NULL;
CREATE INDEX supporter_paid ON supporter (space_id, currency, paid, member_id);
CREATE INDEX activity_space ON activity (space_id, occurred_at, event_id);
