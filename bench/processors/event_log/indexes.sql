-- SPDX-License-Identifier: Apache-2.0
-- apply.sql only appends, so the key may come last in a rebuild.
ALTER TABLE event ADD PRIMARY KEY (event_id);
