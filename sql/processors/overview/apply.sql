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
), member_change AS (
    INSERT INTO member AS t (space_id, member_id, events, purchases, refunds, interactions, posts, comments, reactions,
                             last_activity, last_active_at, last_event_id)
    SELECT space_id, member_id, events, purchases, refunds, interactions, posts, comments, reactions, last_activity,
           last_active_at, last_event_id
    FROM change
    WHERE member_id IS NOT NULL
    ORDER BY space_id, member_id
    ON CONFLICT (space_id, member_id) DO UPDATE
    SET events = t.events + excluded.events,
        purchases = t.purchases + excluded.purchases,
        refunds = t.refunds + excluded.refunds,
        interactions = t.interactions + excluded.interactions,
        posts = t.posts + excluded.posts,
        comments = t.comments + excluded.comments,
        reactions = t.reactions + excluded.reactions,
        last_activity = CASE WHEN (excluded.last_active_at, excluded.last_event_id)
            > (t.last_active_at, t.last_event_id)
            THEN excluded.last_activity ELSE t.last_activity END,
        last_event_id = CASE WHEN (excluded.last_active_at, excluded.last_event_id)
            > (t.last_active_at, t.last_event_id)
            THEN excluded.last_event_id ELSE t.last_event_id END,
        last_active_at = CASE WHEN (excluded.last_active_at, excluded.last_event_id)
            > (t.last_active_at, t.last_event_id)
            THEN excluded.last_active_at ELSE t.last_active_at END
)
INSERT INTO space AS t (space_id, events, products, purchases, refunds, joined, cancelled, streams, interactions, posts,
                        comments, reactions, last_activity, last_active_at, last_event_id)
SELECT space_id, sum(events)::bigint, sum(products)::bigint, sum(purchases)::bigint, sum(refunds)::bigint,
       sum(joined)::bigint, sum(cancelled)::bigint, sum(streams)::bigint, sum(interactions)::bigint,
       sum(posts)::bigint, sum(comments)::bigint, sum(reactions)::bigint,
       max(last_activity) FILTER (WHERE place = 1), max(last_active_at),
       (array_agg(last_event_id) FILTER (WHERE place = 1))[1]
FROM (SELECT c.*, row_number() OVER (PARTITION BY space_id ORDER BY last_active_at DESC, last_event_id DESC) AS place
      FROM change c) ranked
GROUP BY space_id
ORDER BY space_id
ON CONFLICT (space_id) DO UPDATE
SET events = t.events + excluded.events,
    products = t.products + excluded.products,
    purchases = t.purchases + excluded.purchases,
    refunds = t.refunds + excluded.refunds,
    joined = t.joined + excluded.joined,
    cancelled = t.cancelled + excluded.cancelled,
    streams = t.streams + excluded.streams,
    interactions = t.interactions + excluded.interactions,
    posts = t.posts + excluded.posts,
    comments = t.comments + excluded.comments,
    reactions = t.reactions + excluded.reactions,
    last_activity = CASE WHEN (excluded.last_active_at, excluded.last_event_id)
            > (t.last_active_at, t.last_event_id)
        THEN excluded.last_activity ELSE t.last_activity END,
    last_event_id = CASE WHEN (excluded.last_active_at, excluded.last_event_id)
            > (t.last_active_at, t.last_event_id)
        THEN excluded.last_event_id ELSE t.last_event_id END,
    last_active_at = CASE WHEN (excluded.last_active_at, excluded.last_event_id)
            > (t.last_active_at, t.last_event_id)
        THEN excluded.last_active_at ELSE t.last_active_at END;

-- What the topics space and membership say about these rows. The last event that says something wins, because the
-- order within a topic is promised. Upserts, although the rows are there by now: their plan cannot go wrong.
INSERT INTO space AS t (space_id, name, owner_id, currency, category, created_at)
SELECT DISTINCT ON (space_id) space_id, name, owner_id, currency, category, occurred_at
FROM space_created
ORDER BY space_id, seq DESC
ON CONFLICT (space_id) DO UPDATE
SET name = excluded.name, owner_id = excluded.owner_id, currency = excluded.currency, category = excluded.category,
    created_at = excluded.created_at;

-- A Space keeps the first hundred names that it sets, so that its row has a size. None ever goes, so which ones they are does
-- not depend on where a batch ends.
INSERT INTO space AS t (space_id, settings)
SELECT space_id, jsonb_object_agg(name, value)
FROM (SELECT n.space_id, n.name, n.value, o.settings ? n.name AS kept,
             (SELECT count(*) FROM jsonb_object_keys(o.settings))
             + count(*) FILTER (WHERE NOT o.settings ? n.name)
               OVER (PARTITION BY n.space_id ORDER BY n.first_seq, n.name COLLATE "C") AS place
      FROM (SELECT c.space_id, s.key AS name, min(c.seq) AS first_seq, (array_agg(s.value ORDER BY c.seq DESC))[1] AS value
            FROM space_settings_changed c
            CROSS JOIN LATERAL jsonb_each(c.settings) s
            GROUP BY c.space_id, s.key) n
      JOIN space o ON o.space_id = n.space_id) p
WHERE kept OR place <= 100
GROUP BY space_id
ORDER BY space_id
ON CONFLICT (space_id) DO UPDATE SET settings = t.settings || excluded.settings;

INSERT INTO member AS t (space_id, member_id, display_name, tier, status, joined_at)
SELECT space_id, member_id,
       (array_agg(display_name ORDER BY seq DESC) FILTER (WHERE joined_at IS NOT NULL))[1],
       (array_agg(tier ORDER BY seq DESC) FILTER (WHERE tier IS NOT NULL))[1],
       (array_agg(status ORDER BY seq DESC))[1],
       (array_agg(joined_at ORDER BY seq DESC) FILTER (WHERE joined_at IS NOT NULL))[1]
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
GROUP BY space_id, member_id
ORDER BY space_id, member_id
ON CONFLICT (space_id, member_id) DO UPDATE
SET display_name = coalesce(excluded.display_name, t.display_name), tier = coalesce(excluded.tier, t.tier),
    status = excluded.status, joined_at = coalesce(excluded.joined_at, t.joined_at);

-- Products: what the topic commerce says last, and what was sold of them.
INSERT INTO product AS t (space_id, product_id, title, kind, tags, published_at, currency, price, price_changed_at)
SELECT space_id, product_id,
       (array_agg(title ORDER BY seq DESC) FILTER (WHERE published_at IS NOT NULL))[1],
       (array_agg(kind ORDER BY seq DESC) FILTER (WHERE published_at IS NOT NULL))[1],
       (array_agg(tags ORDER BY seq DESC) FILTER (WHERE published_at IS NOT NULL))[1],
       (array_agg(published_at ORDER BY seq DESC) FILTER (WHERE published_at IS NOT NULL))[1],
       (array_agg(currency ORDER BY seq DESC))[1], (array_agg(price ORDER BY seq DESC))[1],
       (array_agg(price_changed_at ORDER BY seq DESC) FILTER (WHERE price_changed_at IS NOT NULL))[1]
FROM (SELECT seq, space_id, product_id, title, kind, to_jsonb(tags) AS tags, occurred_at AS published_at,
             price_currency AS currency, price_amount AS price, NULL::timestamptz AS price_changed_at
      FROM product_published
      UNION ALL
      SELECT seq, space_id, product_id, NULL, NULL, NULL, NULL, price_currency, price_amount, occurred_at
      FROM product_price_changed) p
GROUP BY space_id, product_id
ORDER BY space_id, product_id
ON CONFLICT (space_id, product_id) DO UPDATE
SET title = coalesce(excluded.title, t.title), kind = coalesce(excluded.kind, t.kind),
    tags = coalesce(excluded.tags, t.tags), published_at = coalesce(excluded.published_at, t.published_at),
    currency = excluded.currency, price = excluded.price,
    price_changed_at = coalesce(excluded.price_changed_at, t.price_changed_at);

INSERT INTO product_sale AS t (space_id, product_id, currency, purchases, sold, amount)
SELECT p.space_id, i.product_id, p.currency, count(DISTINCT p.seq), sum(i.quantity),
       sum(i.quantity * i.unit_price::numeric)
FROM product_purchased_items i
JOIN product_purchased p ON p.seq = i.seq
GROUP BY p.space_id, i.product_id, p.currency
ORDER BY p.space_id, i.product_id, p.currency
ON CONFLICT (space_id, product_id, currency) DO UPDATE
SET purchases = t.purchases + excluded.purchases, sold = t.sold + excluded.sold, amount = t.amount + excluded.amount;

-- Livestreams.
INSERT INTO stream AS t (space_id, stream_id, title, host_id, started_at, ended_at, duration_seconds, peak_viewers,
                         average_viewers, chats, reactions, votes, tips)
SELECT space_id, stream_id,
       (array_agg(title ORDER BY seq DESC) FILTER (WHERE started_at IS NOT NULL))[1],
       (array_agg(host_id ORDER BY seq DESC) FILTER (WHERE started_at IS NOT NULL))[1],
       (array_agg(started_at ORDER BY seq DESC) FILTER (WHERE started_at IS NOT NULL))[1],
       (array_agg(ended_at ORDER BY seq DESC) FILTER (WHERE ended_at IS NOT NULL))[1],
       (array_agg(duration_seconds ORDER BY seq DESC) FILTER (WHERE ended_at IS NOT NULL))[1],
       (array_agg(peak_viewers ORDER BY seq DESC) FILTER (WHERE ended_at IS NOT NULL))[1],
       (array_agg(average_viewers ORDER BY seq DESC) FILTER (WHERE ended_at IS NOT NULL))[1],
       count(*) FILTER (WHERE kind = 'CHAT'), count(*) FILTER (WHERE kind = 'REACTION'),
       count(*) FILTER (WHERE kind = 'POLL_VOTE'), count(*) FILTER (WHERE kind = 'TIP')
FROM (SELECT seq, space_id, stream_id, kind, NULL AS title, NULL::uuid AS host_id, NULL::timestamptz AS started_at,
             NULL::timestamptz AS ended_at, NULL::integer AS duration_seconds, NULL::integer AS peak_viewers,
             NULL::double precision AS average_viewers
      FROM livestream_interaction
      UNION ALL
      SELECT seq, space_id, stream_id, NULL, title, host_id, occurred_at, NULL, NULL, NULL, NULL
      FROM livestream_started
      UNION ALL
      SELECT seq, space_id, stream_id, NULL, NULL, NULL, NULL, occurred_at, duration_seconds, peak_viewers,
             average_viewers
      FROM livestream_ended) s
GROUP BY space_id, stream_id
ORDER BY space_id, stream_id
ON CONFLICT (space_id, stream_id) DO UPDATE
SET title = coalesce(excluded.title, t.title),
    host_id = CASE WHEN excluded.started_at IS NULL THEN t.host_id ELSE excluded.host_id END,
    started_at = coalesce(excluded.started_at, t.started_at),
    ended_at = coalesce(excluded.ended_at, t.ended_at),
    duration_seconds = coalesce(excluded.duration_seconds, t.duration_seconds),
    peak_viewers = coalesce(excluded.peak_viewers, t.peak_viewers),
    average_viewers = coalesce(excluded.average_viewers, t.average_viewers),
    chats = t.chats + excluded.chats, reactions = t.reactions + excluded.reactions, votes = t.votes + excluded.votes,
    tips = t.tips + excluded.tips;

INSERT INTO stream_income AS t (space_id, stream_id, currency, tips, tip_amount, purchases, purchase_amount)
SELECT space_id, stream_id, currency, count(tip), coalesce(sum(tip), 0), count(purchase), coalesce(sum(purchase), 0)
FROM (SELECT space_id, stream_id, tip_currency AS currency, tip_amount AS tip, NULL::bigint AS purchase
      FROM livestream_interaction
      WHERE kind = 'TIP' AND tip_amount IS NOT NULL
      UNION ALL
      SELECT space_id, stream_id, currency, NULL, total
      FROM product_purchased
      WHERE stream_id IS NOT NULL) i
GROUP BY space_id, stream_id, currency
ORDER BY space_id, stream_id, currency
ON CONFLICT (space_id, stream_id, currency) DO UPDATE
SET tips = t.tips + excluded.tips, tip_amount = t.tip_amount + excluded.tip_amount,
    purchases = t.purchases + excluded.purchases, purchase_amount = t.purchase_amount + excluded.purchase_amount;

-- Who paid how much.
INSERT INTO supporter AS t (space_id, member_id, currency, payments, paid)
SELECT space_id, member_id, currency, count(*) FILTER (WHERE pays), sum(CASE WHEN pays THEN amount ELSE -amount END)
FROM (SELECT space_id, buyer_id AS member_id, currency, total AS amount, true AS pays FROM product_purchased
      UNION ALL
      SELECT space_id, buyer_id, currency, amount, false FROM purchase_refunded
      UNION ALL
      SELECT space_id, member_id, payment_currency, payment_amount, true FROM member_joined
      UNION ALL
      SELECT space_id, member_id, payment_currency, payment_amount, true FROM membership_upgraded
      UNION ALL
      SELECT space_id, member_id, payment_currency, payment_amount, true FROM membership_renewed
      UNION ALL
      SELECT space_id, member_id, tip_currency, tip_amount, true FROM livestream_interaction WHERE kind = 'TIP') p
WHERE amount IS NOT NULL AND currency IS NOT NULL
GROUP BY space_id, member_id, currency
ORDER BY space_id, member_id, currency
ON CONFLICT (space_id, member_id, currency) DO UPDATE
SET payments = t.payments + excluded.payments, paid = t.paid + excluded.paid;

-- The feed is appended to.
INSERT INTO activity (space_id, occurred_at, event_id, activity, member_id, subject_id, title, currency, amount)
SELECT space_id, occurred_at, event_id, 'space_created', owner_id, NULL::uuid, name, NULL, NULL::bigint
FROM space_created UNION ALL
SELECT space_id, occurred_at, event_id, 'product_published', NULL, product_id, title, price_currency, price_amount
FROM product_published UNION ALL
SELECT space_id, occurred_at, event_id, 'product_price_changed', NULL, product_id, NULL, price_currency, price_amount
FROM product_price_changed UNION ALL
SELECT space_id, occurred_at, event_id, 'product_purchased', buyer_id, purchase_id, NULL, currency, total
FROM product_purchased UNION ALL
SELECT space_id, occurred_at, event_id, 'purchase_refunded', buyer_id, purchase_id, NULL, currency, amount
FROM purchase_refunded UNION ALL
SELECT space_id, occurred_at, event_id, 'member_joined', member_id, NULL, NULL, payment_currency, payment_amount
FROM member_joined UNION ALL
SELECT space_id, occurred_at, event_id, 'membership_upgraded', member_id, NULL, NULL, payment_currency, payment_amount
FROM membership_upgraded UNION ALL
SELECT space_id, occurred_at, event_id, 'membership_downgraded', member_id, NULL, NULL, NULL, NULL
FROM membership_downgraded UNION ALL
SELECT space_id, occurred_at, event_id, 'membership_renewed', member_id, NULL, NULL, payment_currency, payment_amount
FROM membership_renewed UNION ALL
SELECT space_id, occurred_at, event_id, 'membership_cancelled', member_id, NULL, NULL, NULL, NULL
FROM membership_cancelled UNION ALL
SELECT space_id, occurred_at, event_id, 'livestream_started', host_id, stream_id, title, NULL, NULL
FROM livestream_started UNION ALL
SELECT space_id, occurred_at, event_id, 'livestream_ended', NULL, stream_id, NULL, NULL, NULL
FROM livestream_ended UNION ALL
SELECT space_id, occurred_at, event_id, 'tipped', member_id, stream_id, NULL, tip_currency, tip_amount
FROM livestream_interaction WHERE kind = 'TIP' UNION ALL
SELECT space_id, occurred_at, event_id, 'post_published', author_id, post_id, title, NULL, NULL
FROM post_published UNION ALL
SELECT space_id, occurred_at, event_id, 'post_commented', author_id, post_id, NULL, NULL, NULL
FROM post_commented;
