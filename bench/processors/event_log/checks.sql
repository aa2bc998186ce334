-- SPDX-License-Identifier: Apache-2.0
-- name: no purchase is negative
SELECT event_id FROM event WHERE total < 0;
