-- SPDX-License-Identifier: Apache-2.0
-- Counters and latest activity, first per member (null for what no member did), then added up per Space, and then what
-- the topics space and membership say about the rows, which are all there by then.

WITH change AS MATERIALIZED (
    SELECT space_id, member_id, count(*) AS events,
           count(*) FILTER (WHERE activity = 'product_published') AS products,
           count(*) FILTER (WHERE activity = 'product_purchased') AS purchases,
           count(*) FILTER (WHERE activity = 'purchase_refunded') AS refunds,
           count(*) FILTER (WHERE activity = 'member_joined') AS joined,
           count(*) FILTER (WHERE activity = 'membership_cancelled') AS cancelled,
           count(*) FILTER (WHERE activity = 'livestream_started') AS streams,
           count(*) FILTER (WHERE activity = 'livestream_interaction') AS interactions,
           count(*) FILTER (WHERE activity = 'post_published') AS posts,
           count(*) FILTER (WHERE activity = 'post_commented') AS comments,
           count(*) FILTER (WHERE activity = 'post_reacted') AS reactions,
           max(activity) FILTER (WHERE place = 1) AS last_activity,
           max(occurred_at) AS last_active_at,
           (array_agg(event_id) FILTER (WHERE place = 1))[1] AS last_event_id
    FROM (SELECT e.*, row_number() OVER (PARTITION BY space_id, member_id ORDER BY occurred_at DESC, event_id DESC)
                      AS place
          FROM (
          SELECT space_id, NULL::uuid AS member_id, occurred_at, event_id, 'space_created' AS activity
          FROM space_created UNION ALL
          SELECT space_id, NULL, occurred_at, event_id, 'space_settings_changed'
          FROM space_settings_changed UNION ALL
          SELECT space_id, NULL, occurred_at, event_id, 'product_published'
          FROM product_published UNION ALL
          SELECT space_id, NULL, occurred_at, event_id, 'product_price_changed'
          FROM product_price_changed UNION ALL
          SELECT space_id, buyer_id, occurred_at, event_id, 'product_purchased'
          FROM product_purchased UNION ALL
          SELECT space_id, buyer_id, occurred_at, event_id, 'purchase_refunded'
          FROM purchase_refunded UNION ALL
          SELECT space_id, member_id, occurred_at, event_id, 'member_joined'
          FROM member_joined UNION ALL
          SELECT space_id, member_id, occurred_at, event_id, 'membership_upgraded'
          FROM membership_upgraded UNION ALL
          SELECT space_id, member_id, occurred_at, event_id, 'membership_downgraded'
          FROM membership_downgraded UNION ALL
          SELECT space_id, member_id, occurred_at, event_id, 'membership_renewed'
          FROM membership_renewed UNION ALL
          SELECT space_id, member_id, occurred_at, event_id, 'membership_cancelled'
          FROM membership_cancelled UNION ALL
          SELECT space_id, host_id, occurred_at, event_id, 'livestream_started'
          FROM livestream_started UNION ALL
          SELECT space_id, member_id, occurred_at, event_id, 'livestream_interaction'
          FROM livestream_interaction UNION ALL
          SELECT space_id, NULL, occurred_at, event_id, 'livestream_ended'
          FROM livestream_ended UNION ALL
          SELECT space_id, author_id, occurred_at, event_id, 'post_published'
          FROM post_published UNION ALL
          SELECT space_id, author_id, occurred_at, event_id, 'post_commented'
          FROM post_commented UNION ALL
          SELECT space_id, member_id, occurred_at, event_id, 'post_reacted'
          FROM post_reacted UNION ALL
          SELECT space_id, member_id, occurred_at, event_id, 'credits_granted'
          FROM credits_granted UNION ALL
          SELECT space_id, member_id, occurred_at, event_id, 'credits_spent'
          FROM credits_spent UNION ALL
          SELECT space_id, from_member_id, occurred_at, event_id, 'credits_transferred'
          FROM credits_transferred UNION ALL
          SELECT space_id, member_id, occurred_at, event_id, 'credits_expired'
          FROM credits_expired) e) ranked
    GROUP BY space_id, member_id
), space_change AS MATERIALIZED (
    SELECT space_id, sum(events)::bigint AS events, sum(products)::bigint AS products,
           sum(purchases)::bigint AS purchases, sum(refunds)::bigint AS refunds, sum(joined)::bigint AS joined,
           sum(cancelled)::bigint AS cancelled, sum(streams)::bigint AS streams,
           sum(interactions)::bigint AS interactions, sum(posts)::bigint AS posts,
           sum(comments)::bigint AS comments, sum(reactions)::bigint AS reactions,
           max(last_activity) FILTER (WHERE place = 1) AS last_activity,
           max(last_active_at) AS last_active_at,
           (array_agg(last_event_id) FILTER (WHERE place = 1))[1] AS last_event_id
    FROM (SELECT c.*, row_number() OVER (PARTITION BY space_id ORDER BY last_active_at DESC, last_event_id DESC)
                      AS place
          FROM change c) ranked
    GROUP BY space_id
), member_old AS (
    UPDATE member t
    SET events = t.events + d.events,
        purchases = t.purchases + d.purchases,
        refunds = t.refunds + d.refunds,
        interactions = t.interactions + d.interactions,
        posts = t.posts + d.posts,
        comments = t.comments + d.comments,
        reactions = t.reactions + d.reactions,
        last_activity = CASE WHEN (d.last_active_at, d.last_event_id) > (t.last_active_at, t.last_event_id)
            THEN d.last_activity ELSE t.last_activity END,
        last_event_id = CASE WHEN (d.last_active_at, d.last_event_id) > (t.last_active_at, t.last_event_id)
            THEN d.last_event_id ELSE t.last_event_id END,
        last_active_at = CASE WHEN (d.last_active_at, d.last_event_id) > (t.last_active_at, t.last_event_id)
            THEN d.last_active_at ELSE t.last_active_at END
    FROM change d
    WHERE t.space_id = d.space_id AND t.member_id = d.member_id
    RETURNING t.space_id, t.member_id
), member_new AS (
    INSERT INTO member (space_id, member_id, events, purchases, refunds, interactions, posts, comments, reactions,
                        last_activity, last_active_at, last_event_id)
    SELECT d.space_id, d.member_id, d.events, d.purchases, d.refunds, d.interactions, d.posts, d.comments,
           d.reactions, d.last_activity, d.last_active_at, d.last_event_id
    FROM change d
    WHERE d.member_id IS NOT NULL
      AND NOT EXISTS (SELECT FROM member_old o WHERE o.space_id = d.space_id AND o.member_id = d.member_id)
), space_old AS (
    UPDATE space t
    SET events = t.events + d.events,
        products = t.products + d.products,
        purchases = t.purchases + d.purchases,
        refunds = t.refunds + d.refunds,
        joined = t.joined + d.joined,
        cancelled = t.cancelled + d.cancelled,
        streams = t.streams + d.streams,
        interactions = t.interactions + d.interactions,
        posts = t.posts + d.posts,
        comments = t.comments + d.comments,
        reactions = t.reactions + d.reactions,
        last_activity = CASE WHEN (d.last_active_at, d.last_event_id) > (t.last_active_at, t.last_event_id)
            THEN d.last_activity ELSE t.last_activity END,
        last_event_id = CASE WHEN (d.last_active_at, d.last_event_id) > (t.last_active_at, t.last_event_id)
            THEN d.last_event_id ELSE t.last_event_id END,
        last_active_at = CASE WHEN (d.last_active_at, d.last_event_id) > (t.last_active_at, t.last_event_id)
            THEN d.last_active_at ELSE t.last_active_at END
    FROM space_change d
    WHERE t.space_id = d.space_id
    RETURNING t.space_id
)
INSERT INTO space (space_id, events, products, purchases, refunds, joined, cancelled, streams, interactions, posts,
                   comments, reactions, last_activity, last_active_at, last_event_id)
SELECT d.space_id, d.events, d.products, d.purchases, d.refunds, d.joined, d.cancelled, d.streams, d.interactions,
       d.posts, d.comments, d.reactions, d.last_activity, d.last_active_at, d.last_event_id
FROM space_change d
WHERE NOT EXISTS (SELECT FROM space_old o WHERE o.space_id = d.space_id);

-- The last event that says something wins: its order is that of the topic.
UPDATE space t
SET name = d.name, owner_id = d.owner_id, currency = d.currency, category = d.category, created_at = d.occurred_at
FROM (SELECT DISTINCT ON (space_id) space_id, name, owner_id, currency, category, occurred_at
      FROM space_created
      ORDER BY space_id, seq DESC) d
WHERE t.space_id = d.space_id;

UPDATE space t
SET settings = t.settings || d.settings
FROM (SELECT c.space_id, jsonb_object_agg(s.key, s.value ORDER BY c.seq) AS settings
      FROM space_settings_changed c
      CROSS JOIN LATERAL jsonb_each(c.settings) s
      GROUP BY c.space_id) d
WHERE t.space_id = d.space_id;

UPDATE member t
SET display_name = coalesce(d.display_name, t.display_name),
    tier = coalesce(d.tier, t.tier),
    status = d.status,
    joined_at = coalesce(d.joined_at, t.joined_at)
FROM (SELECT space_id, member_id,
             (array_agg(display_name ORDER BY seq DESC) FILTER (WHERE joined_at IS NOT NULL))[1] AS display_name,
             (array_agg(tier ORDER BY seq DESC) FILTER (WHERE tier IS NOT NULL))[1] AS tier,
             (array_agg(status ORDER BY seq DESC))[1] AS status,
             (array_agg(joined_at ORDER BY seq DESC) FILTER (WHERE joined_at IS NOT NULL))[1] AS joined_at
      FROM (SELECT seq, space_id, member_id, display_name, tier, 'active' AS status, occurred_at AS joined_at
            FROM member_joined
            UNION ALL
            SELECT seq, space_id, member_id, NULL, to_tier, 'active', NULL FROM membership_upgraded
            UNION ALL
            SELECT seq, space_id, member_id, NULL, to_tier, 'active', NULL FROM membership_downgraded
            UNION ALL
            SELECT seq, space_id, member_id, NULL, tier, 'active', NULL FROM membership_renewed
            UNION ALL
            SELECT seq, space_id, member_id, NULL, NULL, 'cancelled', NULL FROM membership_cancelled) m
      GROUP BY space_id, member_id) d
WHERE t.space_id = d.space_id AND t.member_id = d.member_id;
