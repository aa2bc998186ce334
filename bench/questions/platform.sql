-- SPDX-License-Identifier: Apache-2.0
-- A creator platform's past, made up inside Postgres: about so many events over so many months, folded by the very
-- procedures that the engine calls, so that tables and indexes look as they would after years of traffic. Without a
-- broker, because what is measured here is reading.
--
--   CALL synthetic.make(5000000, 2000, '2025-01-01 00:00:00+00', 18);      -- events, Spaces, start, months
--   CALL synthetic.fold('ledger');                                          -- and each other processor
--
-- Everything is derived from numbers by hash, so that the same call makes the same events. Spaces by Zipf's law; a
-- platform that grows; members who join, pay monthly and leave; purchases with refunds days later; streams with their
-- viewers' interactions while they are on air; posts with comments and reactions.

CREATE SCHEMA synthetic;

-- 0 ≤ x < 1, from a number and what it is for.
CREATE FUNCTION synthetic.share(number bigint, salt bigint) RETURNS double precision
LANGUAGE sql IMMUTABLE AS $$ SELECT (hashint8extended(number, salt) & 9007199254740991) / 9007199254740992.0::float8 $$;

CREATE FUNCTION synthetic.id(kind text, number bigint) RETURNS uuid
LANGUAGE sql IMMUTABLE AS $$ SELECT md5(kind || number)::uuid $$;

-- A member is a number within a Space; 0 is nobody.
CREATE FUNCTION synthetic.member_id(space integer, member integer) RETURNS uuid
LANGUAGE sql IMMUTABLE AS $$ SELECT CASE WHEN member > 0 THEN md5('member' || space || '/' || member)::uuid END $$;

-- Version 7: in the order of time.
CREATE FUNCTION synthetic.event_id(at timestamptz, number bigint) RETURNS uuid
LANGUAGE sql IMMUTABLE AS $$
    SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7000b000'
            || lpad(to_hex(number), 12, '0'))::uuid $$;

CREATE FUNCTION synthetic.currency(space integer) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
    SELECT (ARRAY['EUR', 'USD', 'EUR', 'GBP', 'EUR', 'USD', 'EUR', 'GBP', 'USD', 'JPY'])[1 + space % 10] $$;

-- Whoever of the Space had joined by then; a platform that grows evenly has share² of its members after that share.
CREATE FUNCTION synthetic.somebody(joined integer, past double precision, chance double precision) RETURNS integer
LANGUAGE sql IMMUTABLE AS $$ SELECT 1 + floor(greatest(joined * past * past, 3) * chance ^ 1.5)::integer $$;

CREATE UNLOGGED TABLE synthetic.event (
    number   bigint,
    at       timestamptz NOT NULL,
    relation text NOT NULL,
    space    integer NOT NULL,
    member   integer NOT NULL DEFAULT 0,
    other    integer NOT NULL DEFAULT 0,
    thing    bigint,
    amount   bigint,
    label    text
);

CREATE PROCEDURE synthetic.make(events bigint, spaces integer, start timestamptz, months integer)
LANGUAGE plpgsql AS $$
DECLARE
    span   interval := start + months * interval '1 month' - start;
    finish timestamptz := start + months * interval '1 month';
BEGIN
    PERFORM set_config('work_mem', '128MB', true), set_config('TimeZone', 'UTC', true);
    CREATE TEMP TABLE made (LIKE synthetic.event INCLUDING DEFAULTS) ON COMMIT DROP;
    -- Seeds of everything: when, in which Space.
    CREATE TEMP TABLE seed ON COMMIT DROP AS
    SELECT i, kind, start + span * sqrt(synthetic.share(i, 1)) AS at, sqrt(synthetic.share(i, 1)) AS past,
           floor(spaces::float8 ^ synthetic.share(i, 2))::integer AS space
    FROM (SELECT i, width_bucket(synthetic.share(i, 3), ARRAY[0, .17, .67, .68, .76, .85, .92, .96]) AS kind
          FROM generate_series(1, (events * 0.29)::bigint) i) s;
    CREATE TEMP TABLE joined ON COMMIT DROP AS
    SELECT i, at, space, row_number() OVER (PARTITION BY space ORDER BY at)::integer AS member,
           -ln(1 - synthetic.share(i, 11)) * interval '8 months' AS stays,
           CASE WHEN synthetic.share(i, 12) < 0.3 THEN CASE WHEN synthetic.share(i, 13) < 0.2 THEN 'gold' ELSE 'silver' END
                ELSE 'free' END AS tier
    FROM seed WHERE kind = 1;
    CREATE TEMP TABLE crowd ON COMMIT DROP AS
    SELECT space, coalesce(max(member), 0) AS joined
    FROM generate_series(1, spaces) space LEFT JOIN joined USING (space) GROUP BY space;
    ANALYZE crowd;

    INSERT INTO made (at, relation, space) SELECT start, 'space_created', space FROM crowd;

    -- 1: members. A tier is paid for when joining, and each month from then on.
    INSERT INTO made (at, relation, space, member, amount, label)
    SELECT at, 'member_joined', space, member, CASE tier WHEN 'gold' THEN 1500 WHEN 'silver' THEN 500 END, tier FROM joined
    UNION ALL
    SELECT at + k * interval '1 month', 'membership_renewed', space, member,
           CASE tier WHEN 'gold' THEN 1500 ELSE 500 END, tier
    FROM joined, generate_series(1, months) k
    WHERE tier <> 'free' AND k * interval '1 month' < stays
    UNION ALL
    SELECT at + stays / 3, 'membership_upgraded', space, member, 1500, 'gold'
    FROM joined WHERE tier = 'free' AND synthetic.share(i, 14) < 0.08
    UNION ALL
    SELECT at + stays, 'membership_cancelled', space, member, NULL, 'BY_MEMBER' FROM joined;

    -- 2: purchases, of which one in twelve is paid back later, half of those in part.
    INSERT INTO made (at, relation, space, member, other, thing, amount, label)
    SELECT at, 'product_purchased', space, synthetic.somebody(joined, past, synthetic.share(i, 21)),
           CASE WHEN synthetic.share(i, 22) < 0.1 THEN 1 + (i % 7)::integer ELSE 0 END, i,
           (300 + 4700 * synthetic.share(i, 23) ^ 2)::bigint * (1 + i % 3),
           (ARRAY['WEB', 'APP', 'LIVESTREAM'])[1 + i % 3]
    FROM seed JOIN crowd USING (space) WHERE kind = 2
    UNION ALL
    SELECT at + synthetic.share(i, 24) * interval '20 days', 'purchase_refunded', space,
           synthetic.somebody(joined, past, synthetic.share(i, 21)), 0, i,
           (300 + 4700 * synthetic.share(i, 23) ^ 2)::bigint * (1 + i % 3) / (1 + i % 2), NULL
    FROM seed JOIN crowd USING (space) WHERE kind = 2 AND synthetic.share(i, 25) < 0.08;

    -- 3: streams. Most viewers come early; one interaction in forty is a tip.
    INSERT INTO made (at, relation, space, member, thing, amount, label)
    SELECT s.at, 'livestream_started', s.space, 1, s.i, NULL, NULL FROM seed s WHERE kind = 3
    UNION ALL
    SELECT s.at + d.lasts, 'livestream_ended', s.space, 0, s.i, (d.crowd / 3)::bigint, extract(epoch FROM d.lasts)::text
    FROM seed s, LATERAL (SELECT (30 + 120 * synthetic.share(s.i, 31)) * interval '1 minute' AS lasts,
                                 -ln(1 - synthetic.share(s.i, 32)) * 120 AS crowd) d WHERE kind = 3
    UNION ALL
    SELECT s.at + d.lasts * synthetic.share(s.i, 40 + k) ^ 1.5, 'livestream_interaction', s.space,
           synthetic.somebody(c.joined, s.past, synthetic.share(s.i, 5000 + k)), s.i,
           CASE WHEN k % 40 = 0 THEN 100 * (1 + k % 9) END, (ARRAY['CHAT', 'REACTION'])[1 + k % 2]
    FROM seed s JOIN crowd c USING (space),
         LATERAL (SELECT (30 + 120 * synthetic.share(s.i, 31)) * interval '1 minute' AS lasts,
                         -ln(1 - synthetic.share(s.i, 32)) * 120 AS crowd) d,
         LATERAL generate_series(1, d.crowd::integer) k WHERE kind = 3;

    -- 4: posts, with comments and reactions in the days after.
    INSERT INTO made (at, relation, space, member, thing)
    SELECT at, 'post_published', space, 1, i FROM seed WHERE kind = 4
    UNION ALL
    SELECT s.at - ln(1 - synthetic.share(s.i, 50 + k)) * interval '2 days',
           CASE WHEN k % 3 = 0 THEN 'post_commented' ELSE 'post_reacted' END, s.space,
           synthetic.somebody(c.joined, s.past, synthetic.share(s.i, 100 + k)), s.i
    FROM seed s JOIN crowd c USING (space),
         LATERAL generate_series(1, (-ln(1 - synthetic.share(s.i, 51)) * 13)::integer) k WHERE kind = 4;

    -- 5 to 8: credits given and spent, products published and priced anew.
    INSERT INTO made (at, relation, space, member, thing, amount)
    SELECT at, (ARRAY['credits_transferred', 'credits_spent', 'product_published', 'product_price_changed'])[kind - 4],
           space, 1 + (i % greatest(joined / 20, 3))::integer, i % 20,
           CASE kind WHEN 5 THEN 100 WHEN 6 THEN 60 ELSE 500 + i % 4000 END
    FROM seed JOIN crowd USING (space) WHERE kind BETWEEN 5 AND 8;

    INSERT INTO synthetic.event
    SELECT row_number() OVER (ORDER BY at), at, relation, space, member, other, thing, amount, label
    FROM made WHERE at < finish
    ORDER BY at;
    CREATE INDEX ON synthetic.event USING brin (number) WITH (pages_per_range = 16);
    ANALYZE synthetic.event;
END
$$;

-- The columns of a batch's relations that are set, as expressions over a row of synthetic.event; the rest is null.
CREATE FUNCTION synthetic.columns() RETURNS jsonb LANGUAGE sql AS $$
SELECT jsonb_build_object(
    'space_created', jsonb_build_object('name', $q$'Space ' || space$q$, 'currency', 'synthetic.currency(space)',
        'owner_id', 'synthetic.member_id(space, 1)'),
    'product_published', money || jsonb_build_object('product_id', product),
    'product_price_changed', money || jsonb_build_object('product_id', product),
    'product_purchased', jsonb_build_object('purchase_id', purchase, 'buyer_id', member, 'total', 'amount',
        'currency', 'synthetic.currency(space)', 'discount', '0', 'fee_bps', '500', 'referral_bps', '1000',
        'referrer_id', 'synthetic.member_id(space, other)', 'channel', 'label'),
    'product_purchased_items', jsonb_build_object('ordinal', '1', 'product_id', $q$synthetic.id('product', space * 20 + thing % 20)$q$,
        'quantity', '1 + thing % 3', 'unit_price', 'amount / (1 + thing % 3)'),
    'purchase_refunded', jsonb_build_object('purchase_id', purchase, 'buyer_id', member, 'amount', 'amount',
        'currency', 'synthetic.currency(space)'),
    'member_joined', payment || jsonb_build_object('display_name', $q$'Member ' || member$q$, 'tier', 'label'),
    'membership_upgraded', payment || jsonb_build_object('from_tier', $q$'free'$q$, 'to_tier', 'label'),
    'membership_renewed', payment || jsonb_build_object('tier', 'label',
        'period_start', $q$(at AT TIME ZONE 'UTC')::date$q$,
        'period_end', $q$(at AT TIME ZONE 'UTC' + interval '1 month')::date$q$),
    'membership_cancelled', jsonb_build_object('member_id', member, 'reason', 'label'),
    'livestream_started', jsonb_build_object('stream_id', stream, 'host_id', member),
    'livestream_interaction', jsonb_build_object('stream_id', stream, 'member_id', member, 'fee_bps', '500',
        'kind', $q$CASE WHEN amount IS NULL THEN label ELSE 'TIP' END$q$, 'tip_amount', 'amount',
        'tip_currency', 'CASE WHEN amount IS NOT NULL THEN synthetic.currency(space) END'),
    'livestream_ended', jsonb_build_object('stream_id', stream, 'duration_seconds', 'label::numeric',
        'peak_viewers', 'amount', 'average_viewers', 'amount / 2'),
    'post_published', jsonb_build_object('post_id', post, 'author_id', member, 'tags', $q$'{}'$q$),
    'post_commented', jsonb_build_object('post_id', post, 'author_id', member,
        'comment_id', $q$synthetic.id('comment', number)$q$),
    'post_reacted', jsonb_build_object('post_id', post, 'member_id', member, 'reaction', $q$'heart'$q$),
    'credits_transferred', jsonb_build_object('to_member_id', member, 'credits', 'amount'),
    'credits_spent', jsonb_build_object('member_id', member, 'credits', 'amount', 'purpose', $q$'a song'$q$))
FROM (SELECT 'synthetic.member_id(space, member)' AS member, $q$synthetic.id('purchase', thing)$q$ AS purchase,
             $q$synthetic.id('product', space * 20 + thing % 20)$q$ AS product,
             $q$synthetic.id('stream', thing)$q$ AS stream, $q$synthetic.id('post', thing)$q$ AS post,
             jsonb_build_object('price_amount', 'amount', 'price_currency', 'synthetic.currency(space)') AS money,
             jsonb_build_object('member_id', 'synthetic.member_id(space, member)', 'payment_amount', 'amount',
                 'payment_currency', 'CASE WHEN amount IS NOT NULL THEN synthetic.currency(space) END',
                 'fee_bps', '500') AS payment) x
$$;

-- One argument of the procedure: the batch's rows of a relation as an array of its type; empty for everything else.
-- $1 and $2 are the first number and the one behind the last.
CREATE FUNCTION synthetic.argument(type regtype) RETURNS text LANGUAGE sql AS $$
    SELECT CASE WHEN max(r.columns::text) IS NULL THEN format('''{}''::%s', type) ELSE
        format('ARRAY(SELECT ROW(%s)::%s FROM synthetic.event WHERE number >= $1 AND number < $2 AND relation = %L '
               'ORDER BY number)',
               string_agg(coalesce('(' || (r.columns ->> a.attname) || ')::' || format_type(a.atttypid, a.atttypmod), 'NULL'),
                          ', ' ORDER BY a.attnum),
               e.oid::regtype, max(regexp_replace(r.relation, '_items$', ''))) END
    FROM pg_type t
    JOIN pg_type e ON e.oid = t.typelem
    JOIN pg_attribute a ON a.attrelid = e.typrelid AND a.attnum > 0
    LEFT JOIN (SELECT c.key AS relation,
                      c.value || '{"seq": "number - $1", "space_id": "synthetic.id(''space'', space)",
                                   "event_id": "synthetic.event_id(at, number)", "occurred_at": "at"}' AS columns
               FROM jsonb_each(synthetic.columns()) c) r
        ON e.typnamespace = 'weir_event'::regnamespace AND r.relation = regexp_replace(e.typname, '_\d+$', '')
    WHERE t.oid = type
    GROUP BY e.oid $$;

-- Folds everything into the live generation of a processor, batch by batch, with the settings of the engine's session.
CREATE PROCEDURE synthetic.fold(folding text, batch integer DEFAULT 20000)
LANGUAGE plpgsql AS $$
DECLARE
    home  text;
    first bigint;
BEGIN
    SELECT processor || '_' || generation INTO STRICT home FROM weir.processor WHERE processor = folding;
    PERFORM set_config('search_path', 'pg_catalog', true); -- names of types are written in full
    EXECUTE (SELECT format('CREATE OR REPLACE PROCEDURE synthetic.step(bigint, bigint) LANGUAGE plpgsql AS '
                           '$step$ DECLARE %s BEGIN CALL %s.%I(%s); END $step$',
                           string_agg(format('a%s %s := %s;', a.place, a.type::regtype, synthetic.argument(a.type)), ' '),
                           home, p.proname, string_agg('a' || a.place, ', ' ORDER BY a.place))
             FROM pg_proc p, unnest(p.proargtypes) WITH ORDINALITY a (type, place)
             WHERE p.pronamespace = home::regnamespace AND p.proname LIKE 'apply\_%'
             GROUP BY p.oid
             ORDER BY p.oid DESC LIMIT 1);
    FOR first IN SELECT generate_series(1, (SELECT max(number) FROM synthetic.event), batch) LOOP
        PERFORM set_config('search_path', home || ', pg_catalog', true), set_config('jit', 'off', true),
                set_config('enable_seqscan', 'off', true), set_config('plan_cache_mode', 'force_generic_plan', true),
                set_config('work_mem', '32MB', true), set_config('synchronous_commit', 'off', true);
        CALL synthetic.step(first, first + batch);
        COMMIT;
    END LOOP;
    DROP PROCEDURE synthetic.step;
END
$$;
