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
COMMENT ON COLUMN overview.space.settings IS 'Its settings by name: the first hundred names that were set.';
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

CREATE OR REPLACE VIEW overview.product AS
SELECT space_id, product_id, title, kind, currency, price, tags, published_at, price_changed_at
FROM product;
COMMENT ON VIEW overview.product IS 'One row per product of a Space.';
COMMENT ON COLUMN overview.product.space_id IS 'The Space.';
COMMENT ON COLUMN overview.product.product_id IS 'The product.';
COMMENT ON COLUMN overview.product.title IS 'Its title; null until ProductPublished is seen.';
COMMENT ON COLUMN overview.product.kind IS 'What kind of product it is.';
COMMENT ON COLUMN overview.product.currency IS 'ISO 4217 code of the price.';
COMMENT ON COLUMN overview.product.price IS 'The price now, in minor units.';
COMMENT ON COLUMN overview.product.tags IS 'Its tags.';
COMMENT ON COLUMN overview.product.published_at IS 'When it was published last.';
COMMENT ON COLUMN overview.product.price_changed_at IS 'When its price was changed last; null if never.';

CREATE OR REPLACE VIEW overview.product_sale AS
SELECT space_id, product_id, currency, purchases, sold, amount
FROM product_sale;
COMMENT ON VIEW overview.product_sale IS 'Sales of a product, by currency, refunds not counted.';
COMMENT ON COLUMN overview.product_sale.space_id IS 'The Space.';
COMMENT ON COLUMN overview.product_sale.product_id IS 'The product.';
COMMENT ON COLUMN overview.product_sale.currency IS 'ISO 4217 code.';
COMMENT ON COLUMN overview.product_sale.purchases IS 'Purchases with a line of it.';
COMMENT ON COLUMN overview.product_sale.sold IS 'Pieces sold.';
COMMENT ON COLUMN overview.product_sale.amount IS 'Pieces times their price, in minor units, before discounts.';

CREATE OR REPLACE VIEW overview.stream AS
SELECT space_id, stream_id, title, host_id, started_at, ended_at, duration_seconds, peak_viewers, average_viewers,
       chats, reactions, votes, tips
FROM stream;
COMMENT ON VIEW overview.stream IS 'One row per livestream.';
COMMENT ON COLUMN overview.stream.space_id IS 'The Space.';
COMMENT ON COLUMN overview.stream.stream_id IS 'The livestream.';
COMMENT ON COLUMN overview.stream.title IS 'Its title; null until LivestreamStarted is seen.';
COMMENT ON COLUMN overview.stream.host_id IS 'The host.';
COMMENT ON COLUMN overview.stream.started_at IS 'When it began.';
COMMENT ON COLUMN overview.stream.ended_at IS 'When it ended; null while it is on air.';
COMMENT ON COLUMN overview.stream.duration_seconds IS 'How long it was on air.';
COMMENT ON COLUMN overview.stream.peak_viewers IS 'Most viewers at one time.';
COMMENT ON COLUMN overview.stream.average_viewers IS 'Viewers on average.';
COMMENT ON COLUMN overview.stream.chats IS 'Chat messages.';
COMMENT ON COLUMN overview.stream.reactions IS 'Reactions.';
COMMENT ON COLUMN overview.stream.votes IS 'Votes in polls.';
COMMENT ON COLUMN overview.stream.tips IS 'Tips.';

CREATE OR REPLACE VIEW overview.stream_income AS
SELECT space_id, stream_id, currency, tips, tip_amount, purchases, purchase_amount
FROM stream_income;
COMMENT ON VIEW overview.stream_income IS 'What was paid during a livestream, by currency.';
COMMENT ON COLUMN overview.stream_income.space_id IS 'The Space.';
COMMENT ON COLUMN overview.stream_income.stream_id IS 'The livestream.';
COMMENT ON COLUMN overview.stream_income.currency IS 'ISO 4217 code.';
COMMENT ON COLUMN overview.stream_income.tips IS 'Tips.';
COMMENT ON COLUMN overview.stream_income.tip_amount IS 'Sum of the tips, in minor units.';
COMMENT ON COLUMN overview.stream_income.purchases IS 'Purchases made during it.';
COMMENT ON COLUMN overview.stream_income.purchase_amount IS 'Sum of these purchases, in minor units.';

CREATE OR REPLACE VIEW overview.supporter AS
SELECT space_id, member_id, currency, payments, paid
FROM supporter;
COMMENT ON VIEW overview.supporter IS 'Payments of each member to a Space for purchases, memberships and tips, less refunds, by currency.';
COMMENT ON COLUMN overview.supporter.space_id IS 'The Space.';
COMMENT ON COLUMN overview.supporter.member_id IS 'The member, or a guest.';
COMMENT ON COLUMN overview.supporter.currency IS 'ISO 4217 code.';
COMMENT ON COLUMN overview.supporter.payments IS 'How often the member paid.';
COMMENT ON COLUMN overview.supporter.paid IS 'Sum of what the member paid, less what was paid back, in minor units.';

CREATE OR REPLACE VIEW overview.activity AS
SELECT space_id, occurred_at, event_id, activity, member_id, subject_id, title, currency, amount
FROM activity;
COMMENT ON VIEW overview.activity IS 'Events of a Space, without chat, reactions, votes and credits.';
COMMENT ON COLUMN overview.activity.space_id IS 'The Space.';
COMMENT ON COLUMN overview.activity.occurred_at IS 'When it happened.';
COMMENT ON COLUMN overview.activity.event_id IS 'The event.';
COMMENT ON COLUMN overview.activity.activity IS 'The event by name, such as post_published; tipped for a tip.';
COMMENT ON COLUMN overview.activity.member_id IS 'Who did it; null for the Space itself.';
COMMENT ON COLUMN overview.activity.subject_id IS 'The product, purchase, livestream or post that it is about.';
COMMENT ON COLUMN overview.activity.title IS 'The title of the product, livestream or post, where the event names one.';
COMMENT ON COLUMN overview.activity.currency IS 'ISO 4217 code.';
COMMENT ON COLUMN overview.activity.amount IS 'What was paid or paid back, or the price, in minor units.';
