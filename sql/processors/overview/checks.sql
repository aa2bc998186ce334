-- SPDX-License-Identifier: Apache-2.0
-- Each query returns the rows that break its rule.

-- name: a Space counts at least what its members did (I11)
SELECT s.space_id, s.events, m.events AS of_members
FROM space s
JOIN (SELECT space_id, sum(events) AS events FROM member GROUP BY space_id) m USING (space_id)
WHERE s.events < m.events;

-- name: what only members do adds up to the count of the Space (I11)
SELECT s.space_id
FROM space s
LEFT JOIN (SELECT space_id, sum(purchases) AS purchases, sum(refunds) AS refunds, sum(interactions) AS interactions,
                  sum(posts) AS posts, sum(comments) AS comments, sum(reactions) AS reactions
           FROM member GROUP BY space_id) m USING (space_id)
WHERE (s.purchases, s.refunds, s.interactions, s.posts, s.comments, s.reactions)
      IS DISTINCT FROM (coalesce(m.purchases, 0), coalesce(m.refunds, 0), coalesce(m.interactions, 0),
                        coalesce(m.posts, 0), coalesce(m.comments, 0), coalesce(m.reactions, 0));

-- name: nobody was active later than their Space
SELECT m.space_id, m.member_id
FROM member m
LEFT JOIN space s USING (space_id)
WHERE s.space_id IS NULL OR (m.last_active_at, m.last_event_id) > (s.last_active_at, s.last_event_id);

-- name: the feed has what the Space counts (I11)
SELECT s.space_id
FROM space s
LEFT JOIN (SELECT space_id, count(*) FILTER (WHERE activity = 'product_published') AS products,
                  count(*) FILTER (WHERE activity = 'product_purchased') AS purchases,
                  count(*) FILTER (WHERE activity = 'purchase_refunded') AS refunds,
                  count(*) FILTER (WHERE activity = 'member_joined') AS joined,
                  count(*) FILTER (WHERE activity = 'membership_cancelled') AS cancelled,
                  count(*) FILTER (WHERE activity = 'livestream_started') AS streams,
                  count(*) FILTER (WHERE activity = 'post_published') AS posts,
                  count(*) FILTER (WHERE activity = 'post_commented') AS comments
           FROM activity GROUP BY space_id) a USING (space_id)
WHERE (s.products, s.purchases, s.refunds, s.joined, s.cancelled, s.streams, s.posts, s.comments)
      IS DISTINCT FROM (coalesce(a.products, 0), coalesce(a.purchases, 0), coalesce(a.refunds, 0),
                        coalesce(a.joined, 0), coalesce(a.cancelled, 0), coalesce(a.streams, 0),
                        coalesce(a.posts, 0), coalesce(a.comments, 0));

-- name: livestreams have all interactions of their Space (I11)
SELECT s.space_id
FROM space s
LEFT JOIN (SELECT space_id, sum(chats + reactions + votes + tips) AS interactions
           FROM stream GROUP BY space_id) t USING (space_id)
WHERE s.interactions <> coalesce(t.interactions, 0);

-- name: tips in livestreams are those of the feed (I11)
SELECT space_id, currency, f.amount, i.amount AS of_streams
FROM (SELECT space_id, currency, sum(amount) AS amount FROM activity
      WHERE activity = 'tipped' AND amount IS NOT NULL GROUP BY space_id, currency) f
FULL JOIN (SELECT space_id, currency, sum(tip_amount) AS amount FROM stream_income WHERE tips > 0
           GROUP BY space_id, currency) i USING (space_id, currency)
WHERE f.amount IS DISTINCT FROM i.amount;

-- name: supporters paid what the feed says (I11)
SELECT space_id, currency, f.amount, p.amount AS of_supporters
FROM (SELECT space_id, currency, sum(CASE WHEN activity = 'purchase_refunded' THEN -amount ELSE amount END) AS amount
      FROM activity
      WHERE activity IN ('product_purchased', 'purchase_refunded', 'member_joined', 'membership_upgraded',
                         'membership_renewed', 'tipped') AND amount IS NOT NULL
      GROUP BY space_id, currency) f
FULL JOIN (SELECT space_id, currency, sum(paid) AS amount FROM supporter GROUP BY space_id, currency) p
    USING (space_id, currency)
WHERE f.amount IS DISTINCT FROM p.amount;
