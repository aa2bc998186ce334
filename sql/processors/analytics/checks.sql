-- SPDX-License-Identifier: Apache-2.0
-- Each query returns the rows that break its rule.

-- name: each hour holds what its facts add up to (I11)
SELECT space_id, hour, action, currency, h.events, h.amount, f.events AS fact_events, f.amount AS fact_amount
FROM hourly h
FULL JOIN (SELECT space_id, date_bin('1 hour', occurred_at, '2000-01-01 00:00:00+00') AS hour, action,
                  coalesce(currency, '') AS currency, count(*) AS events, coalesce(sum(amount), 0) AS amount
           FROM (SELECT space_id, occurred_at, action, currency, amount FROM commerce
                 UNION ALL SELECT space_id, occurred_at, action, currency, amount FROM membership
                 UNION ALL SELECT space_id, occurred_at, action, currency, amount FROM livestream
                 UNION ALL SELECT space_id, occurred_at, action, NULL, NULL FROM community
                 UNION ALL SELECT space_id, occurred_at, action, 'CREDIT', credits FROM credit) fact
           GROUP BY 1, 2, 3, 4) f
    USING (space_id, hour, action, currency)
WHERE (h.events, h.amount) IS DISTINCT FROM (f.events, f.amount);

-- name: hours begin on the hour, in UTC
SELECT space_id, hour, action
FROM hourly
WHERE extract(epoch FROM hour)::numeric % 3600 <> 0;

-- name: no line belongs to a purchase that is not there
SELECT i.space_id, i.event_id, i.ordinal
FROM purchase_item i
LEFT JOIN commerce c ON c.space_id = i.space_id AND c.occurred_at = i.occurred_at AND c.event_id = i.event_id
WHERE c.event_id IS NULL;
