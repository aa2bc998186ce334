-- SPDX-License-Identifier: Apache-2.0
-- The products that a Space has published, the latest first, each with what was sold of it by currency. Prices and
-- amounts are in minor units; sales count before discounts and refunds.
--
-- reads: overview
-- answer: page of 50, at most 200
-- after published_at timestamptz = infinity
-- after product_id uuid = ffffffff-ffff-ffff-ffff-ffffffffffff
SELECT p.product_id, p.title, p.kind, p.price, p.currency, p.tags, p.published_at, p.price_changed_at,
       (SELECT coalesce(json_agg(json_build_object('currency', s.currency, 'purchases', s.purchases, 'sold', s.sold,
                                                   'amount', s.amount) ORDER BY s.currency), '[]')
        FROM overview.product_sale s
        WHERE s.space_id = p.space_id AND s.product_id = p.product_id) AS sales
FROM overview.product p
WHERE p.space_id = :space_id
  AND p.published_at IS NOT NULL
  AND (p.published_at, p.product_id) < (:after_published_at, :after_product_id)
ORDER BY p.published_at DESC, p.product_id DESC
