-- SPDX-License-Identifier: Apache-2.0
-- Facts: one row per event, a table per domain (and one for the lines of purchases), partitioned by month of
-- occurred_at, with a default partition for what lies outside the months made here. Rollup: `hourly`, one row per
-- Space, hour (UTC), action and currency. An event that comes late goes into the hour in which it occurred.

CREATE TABLE commerce (
    event_id    uuid NOT NULL,
    space_id    uuid NOT NULL,
    occurred_at timestamptz NOT NULL,
    action      text COLLATE "C" NOT NULL,
    member_id   uuid,
    purchase_id uuid,
    product_id  uuid,
    currency    text COLLATE "C" NOT NULL,
    amount      bigint NOT NULL,
    discount    bigint,
    channel     text COLLATE "C",
    stream_id   uuid,
    referrer_id uuid
) PARTITION BY RANGE (occurred_at);

CREATE TABLE purchase_item (
    event_id    uuid NOT NULL,
    ordinal     integer NOT NULL,
    space_id    uuid NOT NULL,
    occurred_at timestamptz NOT NULL,
    product_id  uuid NOT NULL,
    quantity    integer NOT NULL,
    unit_price  bigint NOT NULL,
    currency    text COLLATE "C" NOT NULL
) PARTITION BY RANGE (occurred_at);

CREATE TABLE membership (
    event_id     uuid NOT NULL,
    space_id     uuid NOT NULL,
    occurred_at  timestamptz NOT NULL,
    action       text COLLATE "C" NOT NULL,
    member_id    uuid NOT NULL,
    from_tier    text COLLATE "C",
    tier         text COLLATE "C",
    currency     text COLLATE "C",
    amount       bigint,
    reason       text COLLATE "C",
    period_start date,
    period_end   date,
    ends_at      timestamptz
) PARTITION BY RANGE (occurred_at);

CREATE TABLE livestream (
    event_id         uuid NOT NULL,
    space_id         uuid NOT NULL,
    occurred_at      timestamptz NOT NULL,
    action           text COLLATE "C" NOT NULL,
    stream_id        uuid NOT NULL,
    member_id        uuid,
    currency         text COLLATE "C",
    amount           bigint,
    reaction         text COLLATE "C",
    poll_id          uuid,
    choice           integer,
    duration_seconds integer,
    peak_viewers     integer,
    average_viewers  double precision
) PARTITION BY RANGE (occurred_at);

CREATE TABLE community (
    event_id    uuid NOT NULL,
    space_id    uuid NOT NULL,
    occurred_at timestamptz NOT NULL,
    action      text COLLATE "C" NOT NULL,
    post_id     uuid NOT NULL,
    member_id   uuid NOT NULL,
    comment_id  uuid,
    reaction    text COLLATE "C",
    tags        text[]
) PARTITION BY RANGE (occurred_at);

CREATE TABLE credit (
    event_id     uuid NOT NULL,
    space_id     uuid NOT NULL,
    occurred_at  timestamptz NOT NULL,
    action       text COLLATE "C" NOT NULL,
    member_id    uuid,
    to_member_id uuid,
    credits      bigint NOT NULL,
    purpose      text COLLATE "C"
) PARTITION BY RANGE (occurred_at);

-- Fixed months, in UTC whatever the time zone of whoever runs this: a rebuild must make the same tables.
DO $$
DECLARE
    fact  text;
    month date;
BEGIN
    FOREACH fact IN ARRAY ARRAY['commerce', 'purchase_item', 'membership', 'livestream', 'community', 'credit'] LOOP
        EXECUTE format('CREATE TABLE %I PARTITION OF %I DEFAULT', fact || '_default', fact);
        month := DATE '2025-01-01';
        WHILE month < DATE '2028-01-01' LOOP
            EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)',
                           fact || '_' || to_char(month, 'YYYY_MM'), fact,
                           to_char(month, 'YYYY-MM-DD') || ' 00:00:00+00',
                           to_char(month + INTERVAL '1 month', 'YYYY-MM-DD') || ' 00:00:00+00');
            month := month + INTERVAL '1 month';
        END LOOP;
    END LOOP;
END
$$;

CREATE TABLE hourly (
    space_id uuid NOT NULL,
    hour     timestamptz NOT NULL,
    action   text COLLATE "C" NOT NULL,
    currency text COLLATE "C" NOT NULL,
    events   bigint NOT NULL,
    amount   numeric NOT NULL,
    PRIMARY KEY (space_id, hour, action, currency)
) WITH (fillfactor = 80);

COMMENT ON TABLE commerce IS 'Facts of commerce: products published, prices changed, purchases, refunds.';
COMMENT ON COLUMN commerce.event_id IS 'The event; unique within the Space.';
COMMENT ON COLUMN commerce.space_id IS 'The Space.';
COMMENT ON COLUMN commerce.occurred_at IS 'When it happened.';
COMMENT ON COLUMN commerce.action IS 'product_published, price_changed, purchase or refund.';
COMMENT ON COLUMN commerce.member_id IS 'The buyer.';
COMMENT ON COLUMN commerce.purchase_id IS 'The purchase made or refunded.';
COMMENT ON COLUMN commerce.product_id IS 'The product published or with a new price.';
COMMENT ON COLUMN commerce.currency IS 'ISO 4217 code.';
COMMENT ON COLUMN commerce.amount IS 'The total, the amount paid back, or the price, in minor units.';
COMMENT ON COLUMN commerce.discount IS 'What was taken off a purchase, in minor units.';
COMMENT ON COLUMN commerce.channel IS 'Where a purchase was made.';
COMMENT ON COLUMN commerce.stream_id IS 'The livestream during which a purchase was made.';
COMMENT ON COLUMN commerce.referrer_id IS 'The member whose link led to a purchase.';
COMMENT ON TABLE purchase_item IS 'The lines of purchases.';
COMMENT ON COLUMN purchase_item.event_id IS 'The purchase event.';
COMMENT ON COLUMN purchase_item.ordinal IS 'The line, from 1.';
COMMENT ON COLUMN purchase_item.space_id IS 'The Space.';
COMMENT ON COLUMN purchase_item.occurred_at IS 'When the purchase happened.';
COMMENT ON COLUMN purchase_item.product_id IS 'The product.';
COMMENT ON COLUMN purchase_item.quantity IS 'How many of it.';
COMMENT ON COLUMN purchase_item.unit_price IS 'The price of one, in minor units.';
COMMENT ON COLUMN purchase_item.currency IS 'ISO 4217 code.';
COMMENT ON TABLE membership IS 'Facts of membership.';
COMMENT ON COLUMN membership.event_id IS 'The event; unique within the Space.';
COMMENT ON COLUMN membership.space_id IS 'The Space.';
COMMENT ON COLUMN membership.occurred_at IS 'When it happened.';
COMMENT ON COLUMN membership.action IS 'joined, upgraded, downgraded, renewed or cancelled.';
COMMENT ON COLUMN membership.member_id IS 'The member.';
COMMENT ON COLUMN membership.from_tier IS 'The tier before.';
COMMENT ON COLUMN membership.tier IS 'The tier after.';
COMMENT ON COLUMN membership.currency IS 'ISO 4217 code of the payment.';
COMMENT ON COLUMN membership.amount IS 'The payment in minor units; null where it was free.';
COMMENT ON COLUMN membership.reason IS 'Why it was cancelled.';
COMMENT ON COLUMN membership.period_start IS 'renewed: first day paid for.';
COMMENT ON COLUMN membership.period_end IS 'renewed: first day after the period paid for.';
COMMENT ON COLUMN membership.ends_at IS 'cancelled: when access ends, if later.';
COMMENT ON TABLE livestream IS 'Facts of livestreams.';
COMMENT ON COLUMN livestream.event_id IS 'The event; unique within the Space.';
COMMENT ON COLUMN livestream.space_id IS 'The Space.';
COMMENT ON COLUMN livestream.occurred_at IS 'When it happened.';
COMMENT ON COLUMN livestream.action IS 'stream_started, stream_ended, chat, reaction, tip or poll_vote.';
COMMENT ON COLUMN livestream.stream_id IS 'The livestream.';
COMMENT ON COLUMN livestream.member_id IS 'The viewer or host.';
COMMENT ON COLUMN livestream.currency IS 'ISO 4217 code of a tip.';
COMMENT ON COLUMN livestream.amount IS 'A tip, in minor units.';
COMMENT ON COLUMN livestream.reaction IS 'Which reaction.';
COMMENT ON COLUMN livestream.poll_id IS 'The poll voted in.';
COMMENT ON COLUMN livestream.choice IS 'The option chosen, from 0.';
COMMENT ON COLUMN livestream.duration_seconds IS 'stream_ended: how long it was on air.';
COMMENT ON COLUMN livestream.peak_viewers IS 'stream_ended: most viewers at one time.';
COMMENT ON COLUMN livestream.average_viewers IS 'stream_ended: viewers on average.';
COMMENT ON TABLE community IS 'Facts of the community: posts, comments, reactions.';
COMMENT ON COLUMN community.event_id IS 'The event; unique within the Space.';
COMMENT ON COLUMN community.space_id IS 'The Space.';
COMMENT ON COLUMN community.occurred_at IS 'When it happened.';
COMMENT ON COLUMN community.action IS 'post, comment or post_reaction.';
COMMENT ON COLUMN community.post_id IS 'The post.';
COMMENT ON COLUMN community.member_id IS 'Who wrote or reacted.';
COMMENT ON COLUMN community.comment_id IS 'The comment.';
COMMENT ON COLUMN community.reaction IS 'Which reaction.';
COMMENT ON COLUMN community.tags IS 'The tags of a post.';
COMMENT ON TABLE credit IS 'Facts of credits.';
COMMENT ON COLUMN credit.event_id IS 'The event; unique within the Space.';
COMMENT ON COLUMN credit.space_id IS 'The Space whose credits they are.';
COMMENT ON COLUMN credit.occurred_at IS 'When it happened.';
COMMENT ON COLUMN credit.action IS 'credits_granted, credits_spent, credits_transferred or credits_expired.';
COMMENT ON COLUMN credit.member_id IS 'Who got, spent, gave or lost them; null where the Space itself gave.';
COMMENT ON COLUMN credit.to_member_id IS 'Who was given them.';
COMMENT ON COLUMN credit.credits IS 'How many.';
COMMENT ON COLUMN credit.purpose IS 'What they were granted for or spent on.';
COMMENT ON TABLE hourly IS 'Events and amounts per Space, hour, action and currency.';
COMMENT ON COLUMN hourly.space_id IS 'The Space.';
COMMENT ON COLUMN hourly.hour IS 'Start of the hour, in UTC.';
COMMENT ON COLUMN hourly.action IS 'The action of the fact tables.';
COMMENT ON COLUMN hourly.currency IS 'ISO 4217 code, CREDIT for credits, empty where nothing was paid.';
COMMENT ON COLUMN hourly.events IS 'How many events.';
COMMENT ON COLUMN hourly.amount IS 'Sum of their amounts, in minor units or credits.';
