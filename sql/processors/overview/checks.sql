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
