-- SPDX-License-Identifier: Apache-2.0
INSERT INTO event (event_id, space_id, occurred_at, purchase_id, buyer_id, currency, total)
SELECT event_id, space_id, occurred_at, purchase_id, buyer_id, currency, total
FROM product_purchased;
