-- SPDX-License-Identifier: Apache-2.0
-- What analytics publishes: the facts, the hours, and days made of hours.

CREATE OR REPLACE VIEW analytics.commerce AS
SELECT event_id, space_id, occurred_at, action, member_id, purchase_id, product_id, currency, amount, discount,
       channel, stream_id, referrer_id
FROM commerce;
COMMENT ON VIEW analytics.commerce IS 'One row per event of commerce: products published, prices changed, purchases, refunds.';
COMMENT ON COLUMN analytics.commerce.event_id IS 'The event; unique within the Space.';
COMMENT ON COLUMN analytics.commerce.space_id IS 'The Space.';
COMMENT ON COLUMN analytics.commerce.occurred_at IS 'When it happened.';
COMMENT ON COLUMN analytics.commerce.action IS 'product_published, price_changed, purchase or refund.';
COMMENT ON COLUMN analytics.commerce.member_id IS 'The buyer.';
COMMENT ON COLUMN analytics.commerce.purchase_id IS 'The purchase made or refunded.';
COMMENT ON COLUMN analytics.commerce.product_id IS 'The product published or with a new price.';
COMMENT ON COLUMN analytics.commerce.currency IS 'ISO 4217 code.';
COMMENT ON COLUMN analytics.commerce.amount IS 'The total, the amount paid back, or the price, in minor units.';
COMMENT ON COLUMN analytics.commerce.discount IS 'What was taken off a purchase, in minor units.';
COMMENT ON COLUMN analytics.commerce.channel IS 'Where a purchase was made: WEB, APP, LIVESTREAM, IN_PERSON or UNKNOWN.';
COMMENT ON COLUMN analytics.commerce.stream_id IS 'The livestream during which a purchase was made.';
COMMENT ON COLUMN analytics.commerce.referrer_id IS 'The member whose link led to a purchase.';

CREATE OR REPLACE VIEW analytics.purchase_item AS
SELECT event_id, ordinal, space_id, occurred_at, product_id, quantity, unit_price,
       quantity::numeric * unit_price AS amount, currency
FROM purchase_item;
COMMENT ON VIEW analytics.purchase_item IS 'The lines of purchases.';
COMMENT ON COLUMN analytics.purchase_item.event_id IS 'The purchase event.';
COMMENT ON COLUMN analytics.purchase_item.ordinal IS 'The line, from 1.';
COMMENT ON COLUMN analytics.purchase_item.space_id IS 'The Space.';
COMMENT ON COLUMN analytics.purchase_item.occurred_at IS 'When the purchase happened.';
COMMENT ON COLUMN analytics.purchase_item.product_id IS 'The product.';
COMMENT ON COLUMN analytics.purchase_item.quantity IS 'How many of it.';
COMMENT ON COLUMN analytics.purchase_item.unit_price IS 'The price of one, in minor units.';
COMMENT ON COLUMN analytics.purchase_item.amount IS 'quantity times unit_price, before any discount.';
COMMENT ON COLUMN analytics.purchase_item.currency IS 'ISO 4217 code.';

CREATE OR REPLACE VIEW analytics.membership AS
SELECT event_id, space_id, occurred_at, action, member_id, from_tier, tier, currency, amount, reason, period_start,
       period_end, ends_at
FROM membership;
COMMENT ON VIEW analytics.membership IS 'One row per event of membership.';
COMMENT ON COLUMN analytics.membership.event_id IS 'The event; unique within the Space.';
COMMENT ON COLUMN analytics.membership.space_id IS 'The Space.';
COMMENT ON COLUMN analytics.membership.occurred_at IS 'When it happened.';
COMMENT ON COLUMN analytics.membership.action IS 'joined, upgraded, downgraded, renewed or cancelled.';
COMMENT ON COLUMN analytics.membership.member_id IS 'The member.';
COMMENT ON COLUMN analytics.membership.from_tier IS 'The tier before an upgrade or downgrade.';
COMMENT ON COLUMN analytics.membership.tier IS 'The tier after.';
COMMENT ON COLUMN analytics.membership.currency IS 'ISO 4217 code of the payment.';
COMMENT ON COLUMN analytics.membership.amount IS 'The payment in minor units; null where it was free.';
COMMENT ON COLUMN analytics.membership.reason IS 'Why it was cancelled.';
COMMENT ON COLUMN analytics.membership.period_start IS 'renewed: first day of the period paid for.';
COMMENT ON COLUMN analytics.membership.period_end IS 'renewed: first day after the period paid for.';
COMMENT ON COLUMN analytics.membership.ends_at IS 'cancelled: when access ends; null means at once.';

-- Within a Space and member by time. What somebody does who is no member makes them one, but cancelling.
CREATE OR REPLACE VIEW analytics.membership_period AS
SELECT space_id, member_id, occurred_at AS started_at, ended_at, first_started_at
FROM (SELECT space_id, member_id, occurred_at, is_member, lead(occurred_at) OVER w AS ended_at,
             first_value(occurred_at) OVER w AS first_started_at
      FROM (SELECT space_id, member_id, occurred_at, event_id, action <> 'cancelled' AS is_member,
                   lag(action <> 'cancelled', 1, false) OVER (PARTITION BY space_id, member_id
                                                              ORDER BY occurred_at, event_id) AS was_member
            FROM membership) m
      WHERE is_member <> was_member
      WINDOW w AS (PARTITION BY space_id, member_id ORDER BY occurred_at, event_id)) c
WHERE is_member;
COMMENT ON VIEW analytics.membership_period IS 'Times of membership: one row for each time, from joining to cancelling.';
COMMENT ON COLUMN analytics.membership_period.space_id IS 'The Space.';
COMMENT ON COLUMN analytics.membership_period.member_id IS 'The member.';
COMMENT ON COLUMN analytics.membership_period.started_at IS 'When the membership began.';
COMMENT ON COLUMN analytics.membership_period.ended_at IS 'When it was cancelled; null while it lasts.';
COMMENT ON COLUMN analytics.membership_period.first_started_at IS 'When the member''s first membership of the Space began.';

CREATE OR REPLACE VIEW analytics.membership_term AS
SELECT space_id, member_id, tier, currency, amount, amount / months AS monthly, occurred_at AS started_at,
       least(due_at, next_at) AS ended_at
FROM (SELECT space_id, member_id, tier, currency, amount, occurred_at,
             CASE WHEN period_end IS NULL THEN (occurred_at AT TIME ZONE 'UTC' + interval '1 month') AT TIME ZONE 'UTC'
                  ELSE period_end::timestamp AT TIME ZONE 'UTC' END AS due_at,
             greatest(round((period_end - period_start) / 30.4375), 1) AS months,
             lead(occurred_at) OVER (PARTITION BY space_id, member_id ORDER BY occurred_at, event_id) AS next_at
      FROM membership
      WHERE amount IS NOT NULL OR action = 'cancelled') t
WHERE amount IS NOT NULL;
COMMENT ON VIEW analytics.membership_term IS 'Payments for memberships and how long each lasts: for its period (a month, if the event names none), or until the next payment or the cancellation.';
COMMENT ON COLUMN analytics.membership_term.space_id IS 'The Space.';
COMMENT ON COLUMN analytics.membership_term.member_id IS 'The member.';
COMMENT ON COLUMN analytics.membership_term.tier IS 'The tier paid for.';
COMMENT ON COLUMN analytics.membership_term.currency IS 'ISO 4217 code.';
COMMENT ON COLUMN analytics.membership_term.amount IS 'What was paid, in minor units.';
COMMENT ON COLUMN analytics.membership_term.monthly IS 'The part of it that falls to one month.';
COMMENT ON COLUMN analytics.membership_term.started_at IS 'When it was paid.';
COMMENT ON COLUMN analytics.membership_term.ended_at IS 'The end of its period, the next payment, or the cancellation, whichever comes first.';

CREATE OR REPLACE VIEW analytics.livestream AS
SELECT event_id, space_id, occurred_at, action, stream_id, member_id, currency, amount, reaction, poll_id, choice,
       duration_seconds, peak_viewers, average_viewers
FROM livestream;
COMMENT ON VIEW analytics.livestream IS 'One row per event of a livestream.';
COMMENT ON COLUMN analytics.livestream.event_id IS 'The event; unique within the Space.';
COMMENT ON COLUMN analytics.livestream.space_id IS 'The Space.';
COMMENT ON COLUMN analytics.livestream.occurred_at IS 'When it happened.';
COMMENT ON COLUMN analytics.livestream.action IS 'stream_started, stream_ended, chat, reaction, tip or poll_vote.';
COMMENT ON COLUMN analytics.livestream.stream_id IS 'The livestream.';
COMMENT ON COLUMN analytics.livestream.member_id IS 'The viewer or host.';
COMMENT ON COLUMN analytics.livestream.currency IS 'ISO 4217 code of a tip.';
COMMENT ON COLUMN analytics.livestream.amount IS 'A tip, in minor units.';
COMMENT ON COLUMN analytics.livestream.reaction IS 'Which reaction.';
COMMENT ON COLUMN analytics.livestream.poll_id IS 'The poll voted in.';
COMMENT ON COLUMN analytics.livestream.choice IS 'The option chosen, from 0.';
COMMENT ON COLUMN analytics.livestream.duration_seconds IS 'stream_ended: how long it was on air.';
COMMENT ON COLUMN analytics.livestream.peak_viewers IS 'stream_ended: most viewers at one time.';
COMMENT ON COLUMN analytics.livestream.average_viewers IS 'stream_ended: viewers on average.';

CREATE OR REPLACE VIEW analytics.community AS
SELECT event_id, space_id, occurred_at, action, post_id, member_id, comment_id, reaction, tags
FROM community;
COMMENT ON VIEW analytics.community IS 'One row per event of the community: posts, comments, reactions.';
COMMENT ON COLUMN analytics.community.event_id IS 'The event; unique within the Space.';
COMMENT ON COLUMN analytics.community.space_id IS 'The Space.';
COMMENT ON COLUMN analytics.community.occurred_at IS 'When it happened.';
COMMENT ON COLUMN analytics.community.action IS 'post, comment or post_reaction.';
COMMENT ON COLUMN analytics.community.post_id IS 'The post.';
COMMENT ON COLUMN analytics.community.member_id IS 'Who wrote or reacted.';
COMMENT ON COLUMN analytics.community.comment_id IS 'The comment.';
COMMENT ON COLUMN analytics.community.reaction IS 'Which reaction.';
COMMENT ON COLUMN analytics.community.tags IS 'The tags of a post.';

CREATE OR REPLACE VIEW analytics.credit AS
SELECT event_id, space_id, occurred_at, action, member_id, to_member_id, credits, purpose
FROM credit;
COMMENT ON VIEW analytics.credit IS 'One row per event of credits.';
COMMENT ON COLUMN analytics.credit.event_id IS 'The event; unique within the Space.';
COMMENT ON COLUMN analytics.credit.space_id IS 'The Space whose credits they are.';
COMMENT ON COLUMN analytics.credit.occurred_at IS 'When it happened.';
COMMENT ON COLUMN analytics.credit.action IS 'credits_granted, credits_spent, credits_transferred or credits_expired.';
COMMENT ON COLUMN analytics.credit.member_id IS 'The member who got, spent, gave or lost them; null when the Space itself gave.';
COMMENT ON COLUMN analytics.credit.to_member_id IS 'Who was given them.';
COMMENT ON COLUMN analytics.credit.credits IS 'How many.';
COMMENT ON COLUMN analytics.credit.purpose IS 'What they were granted for or spent on.';

CREATE OR REPLACE VIEW analytics.hourly AS
SELECT space_id, hour, action, nullif(currency, '') AS currency, events, amount
FROM hourly;
COMMENT ON VIEW analytics.hourly IS 'Events and amounts per Space, hour, action and currency, kept up to date with every batch.';
COMMENT ON COLUMN analytics.hourly.space_id IS 'The Space.';
COMMENT ON COLUMN analytics.hourly.hour IS 'Start of the hour, in UTC.';
COMMENT ON COLUMN analytics.hourly.action IS 'The action of the fact views.';
COMMENT ON COLUMN analytics.hourly.currency IS 'ISO 4217 code, CREDIT for credits, null where nothing was paid.';
COMMENT ON COLUMN analytics.hourly.events IS 'How many events.';
COMMENT ON COLUMN analytics.hourly.amount IS 'Sum of their amounts, in minor units or credits.';

CREATE OR REPLACE VIEW analytics.daily AS
SELECT space_id, (hour AT TIME ZONE 'UTC')::date AS day, action, nullif(currency, '') AS currency,
       sum(events)::bigint AS events, sum(amount) AS amount
FROM hourly
GROUP BY 1, 2, 3, 4;
COMMENT ON VIEW analytics.daily IS 'The hours added up to days (UTC).';
COMMENT ON COLUMN analytics.daily.space_id IS 'The Space.';
COMMENT ON COLUMN analytics.daily.day IS 'The day, in UTC.';
COMMENT ON COLUMN analytics.daily.action IS 'The action of the fact views.';
COMMENT ON COLUMN analytics.daily.currency IS 'ISO 4217 code, CREDIT for credits, null where nothing was paid.';
COMMENT ON COLUMN analytics.daily.events IS 'How many events.';
COMMENT ON COLUMN analytics.daily.amount IS 'Sum of their amounts, in minor units or credits.';

CREATE OR REPLACE VIEW analytics.revenue_daily AS
SELECT space_id, (hour AT TIME ZONE 'UTC')::date AS day, currency,
       coalesce(sum(amount) FILTER (WHERE action = 'purchase'), 0) AS purchases,
       coalesce(sum(amount) FILTER (WHERE action IN ('joined', 'upgraded', 'renewed')), 0) AS memberships,
       coalesce(sum(amount) FILTER (WHERE action = 'tip'), 0) AS tips,
       coalesce(sum(amount) FILTER (WHERE action = 'refund'), 0) AS refunds,
       sum(CASE WHEN action = 'refund' THEN -amount ELSE amount END) AS revenue
FROM hourly
WHERE action IN ('purchase', 'joined', 'upgraded', 'renewed', 'tip', 'refund') AND currency <> ''
GROUP BY 1, 2, 3;
COMMENT ON VIEW analytics.revenue_daily IS 'Payments of members to each Space per day (UTC), by source, as the events say; the ledger says how they were shared.';
COMMENT ON COLUMN analytics.revenue_daily.space_id IS 'The Space.';
COMMENT ON COLUMN analytics.revenue_daily.day IS 'The day, in UTC.';
COMMENT ON COLUMN analytics.revenue_daily.currency IS 'ISO 4217 code.';
COMMENT ON COLUMN analytics.revenue_daily.purchases IS 'Paid for products, in minor units.';
COMMENT ON COLUMN analytics.revenue_daily.memberships IS 'Paid for memberships.';
COMMENT ON COLUMN analytics.revenue_daily.tips IS 'Tips.';
COMMENT ON COLUMN analytics.revenue_daily.refunds IS 'Paid back.';
COMMENT ON COLUMN analytics.revenue_daily.revenue IS 'purchases, memberships and tips, less refunds.';
