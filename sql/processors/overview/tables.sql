-- SPDX-License-Identifier: Apache-2.0
-- Read models: one row per Space, member, product and livestream, what members paid, and the feed. Counters add up in any order; what a later event
-- overwrites (name, tier, status) comes from one topic only, where order is promised; the latest activity, which
-- comes from all topics, is the greatest (occurred_at, event_id), whichever arrived last. The defaults are neutral
-- values: every row is counted in the batch that makes it.

CREATE TABLE space (
    space_id        uuid NOT NULL PRIMARY KEY,
    name            text,
    owner_id        uuid,
    currency        text,
    category        text,
    settings        jsonb NOT NULL DEFAULT '{}',
    created_at      timestamptz,
    events          bigint NOT NULL DEFAULT 0,
    products        bigint NOT NULL DEFAULT 0,
    purchases       bigint NOT NULL DEFAULT 0,
    refunds         bigint NOT NULL DEFAULT 0,
    joined          bigint NOT NULL DEFAULT 0,
    cancelled       bigint NOT NULL DEFAULT 0,
    streams         bigint NOT NULL DEFAULT 0,
    interactions    bigint NOT NULL DEFAULT 0,
    posts           bigint NOT NULL DEFAULT 0,
    comments        bigint NOT NULL DEFAULT 0,
    reactions       bigint NOT NULL DEFAULT 0,
    last_activity   text COLLATE "C" NOT NULL DEFAULT '',
    last_active_at  timestamptz NOT NULL DEFAULT '-infinity',
    last_event_id   uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000'
) WITH (fillfactor = 70);

CREATE TABLE member (
    space_id        uuid NOT NULL,
    member_id       uuid NOT NULL,
    display_name    text,
    tier            text,
    status          text COLLATE "C" NOT NULL DEFAULT 'guest',
    joined_at       timestamptz,
    events          bigint NOT NULL DEFAULT 0,
    purchases       bigint NOT NULL DEFAULT 0,
    refunds         bigint NOT NULL DEFAULT 0,
    interactions    bigint NOT NULL DEFAULT 0,
    posts           bigint NOT NULL DEFAULT 0,
    comments        bigint NOT NULL DEFAULT 0,
    reactions       bigint NOT NULL DEFAULT 0,
    last_activity   text COLLATE "C" NOT NULL DEFAULT '',
    last_active_at  timestamptz NOT NULL DEFAULT '-infinity',
    last_event_id   uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    PRIMARY KEY (space_id, member_id)
) WITH (fillfactor = 70);

CREATE TABLE product (
    space_id         uuid NOT NULL,
    product_id       uuid NOT NULL,
    title            text,
    kind             text COLLATE "C",
    currency         text COLLATE "C",
    price            bigint,
    tags             jsonb,
    published_at     timestamptz,
    price_changed_at timestamptz,
    PRIMARY KEY (space_id, product_id)
) WITH (fillfactor = 80);

CREATE TABLE product_sale (
    space_id   uuid NOT NULL,
    product_id uuid NOT NULL,
    currency   text COLLATE "C" NOT NULL,
    purchases  bigint NOT NULL,
    sold       bigint NOT NULL,
    amount     numeric NOT NULL,
    PRIMARY KEY (space_id, product_id, currency)
) WITH (fillfactor = 70);

CREATE TABLE stream (
    space_id         uuid NOT NULL,
    stream_id        uuid NOT NULL,
    title            text,
    host_id          uuid,
    started_at       timestamptz,
    ended_at         timestamptz,
    duration_seconds integer,
    peak_viewers     integer,
    average_viewers  double precision,
    chats            bigint NOT NULL DEFAULT 0,
    reactions        bigint NOT NULL DEFAULT 0,
    votes            bigint NOT NULL DEFAULT 0,
    tips             bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (space_id, stream_id)
) WITH (fillfactor = 70);

CREATE TABLE stream_income (
    space_id        uuid NOT NULL,
    stream_id       uuid NOT NULL,
    currency        text COLLATE "C" NOT NULL,
    tips            bigint NOT NULL,
    tip_amount      numeric NOT NULL,
    purchases       bigint NOT NULL,
    purchase_amount numeric NOT NULL,
    PRIMARY KEY (space_id, stream_id, currency)
) WITH (fillfactor = 70);

-- What a member paid, less what was paid back, of all kinds.
CREATE TABLE supporter (
    space_id  uuid NOT NULL,
    member_id uuid NOT NULL,
    currency  text COLLATE "C" NOT NULL,
    payments  bigint NOT NULL,
    paid      numeric NOT NULL,
    PRIMARY KEY (space_id, member_id, currency)
) WITH (fillfactor = 70);

-- Without what comes by the thousand: chat, reactions, votes, credits.
CREATE TABLE activity (
    space_id    uuid NOT NULL,
    occurred_at timestamptz NOT NULL,
    event_id    uuid NOT NULL,
    activity    text COLLATE "C" NOT NULL,
    member_id   uuid,
    subject_id  uuid,
    title       text,
    currency    text COLLATE "C",
    amount      bigint
);

COMMENT ON TABLE space IS 'One row per Space.';
COMMENT ON COLUMN space.space_id IS 'The Space.';
COMMENT ON COLUMN space.name IS 'Its name; null until SpaceCreated is seen.';
COMMENT ON COLUMN space.owner_id IS 'The creator who owns it.';
COMMENT ON COLUMN space.currency IS 'Its home currency.';
COMMENT ON COLUMN space.category IS 'What it is about.';
COMMENT ON COLUMN space.settings IS 'Its settings by name; of more than a hundred names the first that were set.';
COMMENT ON COLUMN space.created_at IS 'When it was opened.';
COMMENT ON COLUMN space.events IS 'Events of the Space.';
COMMENT ON COLUMN space.products IS 'Products published.';
COMMENT ON COLUMN space.purchases IS 'Purchases.';
COMMENT ON COLUMN space.refunds IS 'Refunds.';
COMMENT ON COLUMN space.joined IS 'Times that somebody joined.';
COMMENT ON COLUMN space.cancelled IS 'Memberships cancelled.';
COMMENT ON COLUMN space.streams IS 'Livestreams started.';
COMMENT ON COLUMN space.interactions IS 'Interactions in livestreams.';
COMMENT ON COLUMN space.posts IS 'Posts published.';
COMMENT ON COLUMN space.comments IS 'Comments on posts.';
COMMENT ON COLUMN space.reactions IS 'Reactions to posts.';
COMMENT ON COLUMN space.last_activity IS 'The relation of the latest event, such as post_commented.';
COMMENT ON COLUMN space.last_active_at IS 'When the latest event occurred.';
COMMENT ON COLUMN space.last_event_id IS 'The latest event.';
COMMENT ON TABLE member IS 'One row per member of a Space, and per guest who did something in it.';
COMMENT ON COLUMN member.space_id IS 'The Space.';
COMMENT ON COLUMN member.member_id IS 'The member.';
COMMENT ON COLUMN member.display_name IS 'The name the member goes by in the Space (identifies a person).';
COMMENT ON COLUMN member.tier IS 'The tier of the membership.';
COMMENT ON COLUMN member.status IS 'active, cancelled, or guest for somebody who never joined.';
COMMENT ON COLUMN member.joined_at IS 'When the member last joined.';
COMMENT ON COLUMN member.events IS 'Events that the member caused.';
COMMENT ON COLUMN member.purchases IS 'Purchases.';
COMMENT ON COLUMN member.refunds IS 'Refunds.';
COMMENT ON COLUMN member.interactions IS 'Interactions in livestreams.';
COMMENT ON COLUMN member.posts IS 'Posts published.';
COMMENT ON COLUMN member.comments IS 'Comments on posts.';
COMMENT ON COLUMN member.reactions IS 'Reactions to posts.';
COMMENT ON COLUMN member.last_activity IS 'The relation of the latest event, such as post_commented.';
COMMENT ON COLUMN member.last_active_at IS 'When the latest event occurred.';
COMMENT ON COLUMN member.last_event_id IS 'The latest event.';
COMMENT ON TABLE product IS 'One row per product of a Space.';
COMMENT ON COLUMN product.space_id IS 'The Space.';
COMMENT ON COLUMN product.product_id IS 'The product.';
COMMENT ON COLUMN product.title IS 'Its title; null until ProductPublished is seen.';
COMMENT ON COLUMN product.kind IS 'What kind of product it is.';
COMMENT ON COLUMN product.currency IS 'ISO 4217 code of the price.';
COMMENT ON COLUMN product.price IS 'The price now, in minor units.';
COMMENT ON COLUMN product.tags IS 'Its tags.';
COMMENT ON COLUMN product.published_at IS 'When it was published last.';
COMMENT ON COLUMN product.price_changed_at IS 'When its price was changed last; null if never.';
COMMENT ON TABLE product_sale IS 'What was sold of a product, by currency, refunds not counted.';
COMMENT ON COLUMN product_sale.space_id IS 'The Space.';
COMMENT ON COLUMN product_sale.product_id IS 'The product.';
COMMENT ON COLUMN product_sale.currency IS 'ISO 4217 code.';
COMMENT ON COLUMN product_sale.purchases IS 'Purchases with a line of it.';
COMMENT ON COLUMN product_sale.sold IS 'Pieces sold.';
COMMENT ON COLUMN product_sale.amount IS 'Pieces times their price, in minor units, before discounts.';
COMMENT ON TABLE stream IS 'One row per livestream.';
COMMENT ON COLUMN stream.space_id IS 'The Space.';
COMMENT ON COLUMN stream.stream_id IS 'The livestream.';
COMMENT ON COLUMN stream.title IS 'Its title; null until LivestreamStarted is seen.';
COMMENT ON COLUMN stream.host_id IS 'The host.';
COMMENT ON COLUMN stream.started_at IS 'When it began.';
COMMENT ON COLUMN stream.ended_at IS 'When it ended; null while it is on air.';
COMMENT ON COLUMN stream.duration_seconds IS 'How long it was on air.';
COMMENT ON COLUMN stream.peak_viewers IS 'Most viewers at one time.';
COMMENT ON COLUMN stream.average_viewers IS 'Viewers on average.';
COMMENT ON COLUMN stream.chats IS 'Chat messages.';
COMMENT ON COLUMN stream.reactions IS 'Reactions.';
COMMENT ON COLUMN stream.votes IS 'Votes in polls.';
COMMENT ON COLUMN stream.tips IS 'Tips.';
COMMENT ON TABLE stream_income IS 'What was paid during a livestream, by currency.';
COMMENT ON COLUMN stream_income.space_id IS 'The Space.';
COMMENT ON COLUMN stream_income.stream_id IS 'The livestream.';
COMMENT ON COLUMN stream_income.currency IS 'ISO 4217 code.';
COMMENT ON COLUMN stream_income.tips IS 'Tips.';
COMMENT ON COLUMN stream_income.tip_amount IS 'Sum of the tips, in minor units.';
COMMENT ON COLUMN stream_income.purchases IS 'Purchases made during it.';
COMMENT ON COLUMN stream_income.purchase_amount IS 'Sum of these purchases, in minor units.';
COMMENT ON TABLE supporter IS 'What each member paid a Space for purchases, memberships and tips, less refunds, by currency.';
COMMENT ON COLUMN supporter.space_id IS 'The Space.';
COMMENT ON COLUMN supporter.member_id IS 'The member, or a guest.';
COMMENT ON COLUMN supporter.currency IS 'ISO 4217 code.';
COMMENT ON COLUMN supporter.payments IS 'How often the member paid.';
COMMENT ON COLUMN supporter.paid IS 'Sum of what the member paid, less what was paid back, in minor units.';
COMMENT ON TABLE activity IS 'What happened in a Space, without chat, reactions, votes and credits.';
COMMENT ON COLUMN activity.space_id IS 'The Space.';
COMMENT ON COLUMN activity.occurred_at IS 'When it happened.';
COMMENT ON COLUMN activity.event_id IS 'The event.';
COMMENT ON COLUMN activity.activity IS 'The event by name, such as post_published; tipped for a tip.';
COMMENT ON COLUMN activity.member_id IS 'Who did it; null for the Space itself.';
COMMENT ON COLUMN activity.subject_id IS 'The product, purchase, livestream or post that it is about.';
COMMENT ON COLUMN activity.title IS 'The title of the product, livestream or post, where the event names one.';
COMMENT ON COLUMN activity.currency IS 'ISO 4217 code.';
COMMENT ON COLUMN activity.amount IS 'What was paid or paid back, or the price, in minor units.';
