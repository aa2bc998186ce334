-- SPDX-License-Identifier: Apache-2.0
-- Facts are appended, and what was appended is added up into the hours, in one statement: each event is read once.

WITH commerce_fact AS (
    INSERT INTO commerce (event_id, space_id, occurred_at, action, member_id, purchase_id, product_id, currency,
                          amount, discount, channel, stream_id, referrer_id)
    SELECT event_id, space_id, occurred_at, 'purchase', buyer_id, purchase_id, NULL::uuid, currency, total, discount,
           channel, stream_id, referrer_id
    FROM product_purchased
    UNION ALL
    SELECT event_id, space_id, occurred_at, 'refund', buyer_id, purchase_id, NULL, currency, amount, NULL, NULL, NULL,
           NULL
    FROM purchase_refunded
    UNION ALL
    SELECT event_id, space_id, occurred_at, 'product_published', NULL, NULL, product_id, price_currency, price_amount,
           NULL, NULL, NULL, NULL
    FROM product_published
    UNION ALL
    SELECT event_id, space_id, occurred_at, 'price_changed', NULL, NULL, product_id, price_currency, price_amount,
           NULL, NULL, NULL, NULL
    FROM product_price_changed
    RETURNING space_id, occurred_at, action, currency, amount
), membership_fact AS (
    INSERT INTO membership (event_id, space_id, occurred_at, action, member_id, from_tier, tier, currency, amount,
                            reason, period_start, period_end, ends_at)
    SELECT event_id, space_id, occurred_at, 'joined', member_id, NULL, tier, payment_currency, payment_amount, NULL,
           NULL::date, NULL::date, NULL::timestamptz
    FROM member_joined
    UNION ALL
    SELECT event_id, space_id, occurred_at, 'upgraded', member_id, from_tier, to_tier, payment_currency,
           payment_amount, NULL, NULL, NULL, NULL
    FROM membership_upgraded
    UNION ALL
    SELECT event_id, space_id, occurred_at, 'downgraded', member_id, from_tier, to_tier, NULL, NULL, NULL, NULL, NULL,
           NULL
    FROM membership_downgraded
    UNION ALL
    SELECT event_id, space_id, occurred_at, 'renewed', member_id, NULL, tier, payment_currency, payment_amount, NULL,
           period_start, period_end, NULL
    FROM membership_renewed
    UNION ALL
    SELECT event_id, space_id, occurred_at, 'cancelled', member_id, NULL, NULL, NULL, NULL, reason, NULL, NULL,
           ends_at
    FROM membership_cancelled
    RETURNING space_id, occurred_at, action, currency, amount
), livestream_fact AS (
    INSERT INTO livestream (event_id, space_id, occurred_at, action, stream_id, member_id, currency, amount, reaction,
                            poll_id, choice, duration_seconds, peak_viewers, average_viewers)
    SELECT event_id, space_id, occurred_at, lower(kind COLLATE "C"), stream_id, member_id, tip_currency, tip_amount,
           reaction, poll_id, choice, NULL::integer, NULL::integer, NULL::double precision
    FROM livestream_interaction
    UNION ALL
    SELECT event_id, space_id, occurred_at, 'stream_started', stream_id, host_id, NULL, NULL, NULL, NULL, NULL, NULL,
           NULL, NULL
    FROM livestream_started
    UNION ALL
    SELECT event_id, space_id, occurred_at, 'stream_ended', stream_id, NULL, NULL, NULL, NULL, NULL, NULL,
           duration_seconds, peak_viewers, average_viewers
    FROM livestream_ended
    RETURNING space_id, occurred_at, action, currency, amount
), community_fact AS (
    INSERT INTO community (event_id, space_id, occurred_at, action, post_id, member_id, comment_id, reaction, tags)
    SELECT event_id, space_id, occurred_at, 'post', post_id, author_id, NULL::uuid, NULL, tags
    FROM post_published
    UNION ALL
    SELECT event_id, space_id, occurred_at, 'comment', post_id, author_id, comment_id, NULL, NULL
    FROM post_commented
    UNION ALL
    SELECT event_id, space_id, occurred_at, 'post_reaction', post_id, member_id, NULL, reaction, NULL
    FROM post_reacted
    RETURNING space_id, occurred_at, action
), credit_fact AS (
    INSERT INTO credit (event_id, space_id, occurred_at, action, member_id, to_member_id, credits, purpose)
    SELECT event_id, space_id, occurred_at, 'credits_granted', member_id, NULL::uuid, credits, reason
    FROM credits_granted
    UNION ALL
    SELECT event_id, space_id, occurred_at, 'credits_spent', member_id, NULL, credits, purpose
    FROM credits_spent
    UNION ALL
    SELECT event_id, space_id, occurred_at, 'credits_transferred', from_member_id, to_member_id, credits, NULL
    FROM credits_transferred
    UNION ALL
    SELECT event_id, space_id, occurred_at, 'credits_expired', member_id, NULL, credits, NULL
    FROM credits_expired
    RETURNING space_id, occurred_at, action, credits
)
INSERT INTO hourly AS h (space_id, hour, action, currency, events, amount)
SELECT space_id, hour, action, currency, count(*) AS events, coalesce(sum(amount), 0) AS amount
FROM (SELECT space_id, date_bin('1 hour', occurred_at, '2000-01-01 00:00:00+00') AS hour, action,
             coalesce(currency, '') AS currency, amount
      FROM (SELECT space_id, occurred_at, action, currency, amount FROM commerce_fact
            UNION ALL
            SELECT space_id, occurred_at, action, currency, amount FROM membership_fact
            UNION ALL
            SELECT space_id, occurred_at, action, currency, amount FROM livestream_fact
            UNION ALL
            SELECT space_id, occurred_at, action, NULL, NULL FROM community_fact
            UNION ALL
            SELECT space_id, occurred_at, action, 'CREDIT', credits FROM credit_fact) fact) f
GROUP BY space_id, hour, action, currency
ORDER BY space_id, hour, action, currency
ON CONFLICT (space_id, hour, action, currency) DO UPDATE
SET events = h.events + excluded.events, amount = h.amount + excluded.amount;

INSERT INTO purchase_item (event_id, ordinal, space_id, occurred_at, product_id, quantity, unit_price, currency)
SELECT p.event_id, i.ordinal, p.space_id, p.occurred_at, i.product_id, i.quantity, i.unit_price, p.currency
FROM product_purchased_items i
JOIN product_purchased p ON p.seq = i.seq;
