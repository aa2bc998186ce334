-- SPDX-License-Identifier: Apache-2.0
-- Only columns that few events change: an index on one that every event changes (last_active_at) would cost each
-- update its shortcut (heap-only tuples).
CREATE INDEX member_tier ON member (space_id, status, tier);
