-- SPDX-License-Identifier: Apache-2.0
-- Read models: one row per Space and one per member of a Space. Counters add up in any order; what a later event
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

COMMENT ON TABLE space IS 'One row per Space.';
COMMENT ON COLUMN space.space_id IS 'The Space.';
COMMENT ON COLUMN space.name IS 'Its name; null until SpaceCreated is seen.';
COMMENT ON COLUMN space.owner_id IS 'The creator who owns it.';
COMMENT ON COLUMN space.currency IS 'Its home currency.';
COMMENT ON COLUMN space.category IS 'What it is about.';
COMMENT ON COLUMN space.settings IS 'Its settings by name.';
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
