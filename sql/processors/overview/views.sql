-- SPDX-License-Identifier: Apache-2.0
-- What the overview publishes.

CREATE OR REPLACE VIEW overview.space AS
SELECT space_id, name, owner_id, currency, category, settings, created_at, events, products, purchases, refunds,
       joined, cancelled, streams, interactions, posts, comments, reactions, last_activity, last_active_at,
       last_event_id
FROM space;
COMMENT ON VIEW overview.space IS 'One row per Space.';
COMMENT ON COLUMN overview.space.space_id IS 'The Space.';
COMMENT ON COLUMN overview.space.name IS 'Its name; null until SpaceCreated is seen.';
COMMENT ON COLUMN overview.space.owner_id IS 'The creator who owns it.';
COMMENT ON COLUMN overview.space.currency IS 'Its home currency.';
COMMENT ON COLUMN overview.space.category IS 'What it is about.';
COMMENT ON COLUMN overview.space.settings IS 'Its settings by name.';
COMMENT ON COLUMN overview.space.created_at IS 'When it was opened.';
COMMENT ON COLUMN overview.space.events IS 'Events of the Space.';
COMMENT ON COLUMN overview.space.products IS 'Products published.';
COMMENT ON COLUMN overview.space.purchases IS 'Purchases.';
COMMENT ON COLUMN overview.space.refunds IS 'Refunds.';
COMMENT ON COLUMN overview.space.joined IS 'Times that somebody joined.';
COMMENT ON COLUMN overview.space.cancelled IS 'Memberships cancelled.';
COMMENT ON COLUMN overview.space.streams IS 'Livestreams started.';
COMMENT ON COLUMN overview.space.interactions IS 'Interactions in livestreams.';
COMMENT ON COLUMN overview.space.posts IS 'Posts published.';
COMMENT ON COLUMN overview.space.comments IS 'Comments on posts.';
COMMENT ON COLUMN overview.space.reactions IS 'Reactions to posts.';
COMMENT ON COLUMN overview.space.last_activity IS 'The latest event by name, such as post_commented.';
COMMENT ON COLUMN overview.space.last_active_at IS 'When the latest event occurred.';
COMMENT ON COLUMN overview.space.last_event_id IS 'The latest event.';

CREATE OR REPLACE VIEW overview.member AS
SELECT space_id, member_id, display_name, tier, status, joined_at, events, purchases, refunds, interactions, posts,
       comments, reactions, last_activity, last_active_at, last_event_id
FROM member;
COMMENT ON VIEW overview.member IS 'One row per member of a Space, and per guest who did something in it.';
COMMENT ON COLUMN overview.member.space_id IS 'The Space.';
COMMENT ON COLUMN overview.member.member_id IS 'The member.';
COMMENT ON COLUMN overview.member.display_name IS 'The name the member goes by in the Space (identifies a person).';
COMMENT ON COLUMN overview.member.tier IS 'The tier of the membership.';
COMMENT ON COLUMN overview.member.status IS 'active, cancelled, or guest for somebody who never joined.';
COMMENT ON COLUMN overview.member.joined_at IS 'When the member last joined.';
COMMENT ON COLUMN overview.member.events IS 'Events that the member caused.';
COMMENT ON COLUMN overview.member.purchases IS 'Purchases.';
COMMENT ON COLUMN overview.member.refunds IS 'Refunds.';
COMMENT ON COLUMN overview.member.interactions IS 'Interactions in livestreams.';
COMMENT ON COLUMN overview.member.posts IS 'Posts published.';
COMMENT ON COLUMN overview.member.comments IS 'Comments on posts.';
COMMENT ON COLUMN overview.member.reactions IS 'Reactions to posts.';
COMMENT ON COLUMN overview.member.last_activity IS 'The latest event by name, such as post_commented.';
COMMENT ON COLUMN overview.member.last_active_at IS 'When the latest event occurred.';
COMMENT ON COLUMN overview.member.last_event_id IS 'The latest event.';

CREATE OR REPLACE VIEW overview.membership AS
SELECT space_id, coalesce(tier, 'none') AS tier, status, count(*) AS members
FROM member
GROUP BY 1, 2, 3;
COMMENT ON VIEW overview.membership IS 'How many members each Space has, by tier and status.';
COMMENT ON COLUMN overview.membership.space_id IS 'The Space.';
COMMENT ON COLUMN overview.membership.tier IS 'The tier, or none.';
COMMENT ON COLUMN overview.membership.status IS 'active, cancelled or guest.';
COMMENT ON COLUMN overview.membership.members IS 'How many.';
