-- SPDX-License-Identifier: Apache-2.0
-- Each event becomes one transfer, and the transfers are added up into the balances: first the purchases, which are the
-- most and refer to nothing, then the rest.
--
-- A rule looks only at earlier events of the same Space and topic, because only their order is promised: in the table
-- for those of earlier batches, by seq for those of this one. The rules are written as running sums, so that a batch
-- of any size gives what one event at a time gives:
--   refunds   of a purchase are met until its total is used up, and what is more goes to suspense
--   credits   go out of a member's account as far as they are there, what is missing comes from suspense, and
--             whoever is paid gets the full amount. The shortfall up to an event is how far the running sum fell
--             below zero.
-- Lookups compare space_id by IS NOT DISTINCT FROM, which no index serves: a plan made on empty tables might else take
-- the index by Space, and read all of a Space for one purchase.
-- Amounts beyond 10^14 or below 0, and currencies that are not three capitals, are recorded with legs of zero.

-- The first valid purchase of an id takes its place in transfer_purchase. Those that found it taken by an earlier batch are
-- looked for only when there are any; those behind another one of this batch are known. In the order of that index, because
-- purchase ids are random: a fifth less CPU in large batches. ON CONFLICT names no index, because a rebuild's first batch has
-- none of them yet. That one is inserted in the order of events.
WITH again AS (
    -- Those behind another one of this batch, which only matters where no index tells.
    SELECT seq
    FROM (SELECT seq, row_number() OVER (PARTITION BY purchase_id, space_id ORDER BY seq) AS nth
          FROM product_purchased
          WHERE total BETWEEN 0 AND 100000000000000 AND currency ~ '^[A-Z]{3}$'
            AND fee_bps >= 0 AND referral_bps >= 0 AND fee_bps::bigint + referral_bps <= 10000) n
    WHERE nth > 1 AND (SELECT count(DISTINCT purchase_id) < count(*) FROM product_purchased)
), posted AS (
    INSERT INTO transfer (event_id, space_id, occurred_at, kind, currency, amount, member_id, counterparty_id,
                          reference_id, clearing, space, fee, suspense, member, counterparty, problem)
    SELECT event_id, space_id, occurred_at, 'purchase', currency, total, buyer_id, referrer_id, purchase_id,
           CASE WHEN sound THEN -total ELSE 0 END,
           CASE WHEN valid THEN total - fee - referral ELSE 0 END,
           CASE WHEN valid THEN fee ELSE 0 END,
           CASE WHEN sound AND NOT valid THEN total ELSE 0 END,
           0,
           CASE WHEN valid THEN referral ELSE 0 END,
           CASE WHEN NOT sound THEN 'invalid amount' WHEN NOT valid THEN 'purchase id used twice' END
    FROM (SELECT s.*, CASE WHEN sound THEN total * fee_bps / 10000 END AS fee,
                 CASE WHEN NOT sound OR referrer_id IS NULL THEN 0 ELSE total * referral_bps / 10000 END AS referral,
                 sound AND (NOT batch.is_first OR seq NOT IN (SELECT seq FROM again)) AS valid
          FROM (SELECT e.seq, e.event_id, e.space_id, e.occurred_at, e.currency, e.total, e.buyer_id, e.referrer_id,
                       e.purchase_id, e.fee_bps, e.referral_bps,
                       e.total BETWEEN 0 AND 100000000000000 AND e.currency ~ '^[A-Z]{3}$'
                       AND e.fee_bps >= 0 AND e.referral_bps >= 0
                       AND e.fee_bps::bigint + e.referral_bps <= 10000 AS sound
                FROM product_purchased e, batch
                ORDER BY CASE WHEN NOT batch.is_first THEN e.purchase_id END, e.seq
                OFFSET 0) s, batch
          OFFSET 0) p
    ON CONFLICT DO NOTHING
    RETURNING event_id, space_id, occurred_at, currency, counterparty_id, clearing, space, fee, suspense, counterparty
), repeated AS (
    INSERT INTO transfer (event_id, space_id, occurred_at, kind, currency, amount, member_id, counterparty_id,
                          reference_id, clearing, space, fee, suspense, member, counterparty, problem)
    SELECT event_id, space_id, occurred_at, 'purchase', currency, total, buyer_id, referrer_id, purchase_id,
           -total, 0, 0, total, 0, 0, 'purchase id used twice'
    FROM product_purchased e
    WHERE (SELECT count(*) FROM posted) < (SELECT count(*) FROM product_purchased)
      AND (e.event_id, e.space_id) NOT IN (SELECT event_id, space_id FROM posted)
    RETURNING space_id, occurred_at, currency, clearing, suspense
), space_change AS (
    INSERT INTO space_balance AS b (space_id, currency, month, clearing, space, fee, suspense, refunded)
    SELECT space_id, currency, month, clearing, space, fee, suspense, 0
    FROM (SELECT space_id, currency, date_trunc('month', occurred_at AT TIME ZONE 'UTC')::date AS month,
                 sum(clearing)::bigint AS clearing, sum(space)::bigint AS space, sum(fee)::bigint AS fee,
                 sum(suspense)::bigint AS suspense
          FROM (SELECT space_id, occurred_at, currency, clearing, space, fee, suspense FROM posted
                UNION ALL
                SELECT space_id, occurred_at, currency, clearing, 0, 0, suspense FROM repeated) p
          GROUP BY 1, 2, 3
          OFFSET 0) s
    ORDER BY space_id, currency, month
    ON CONFLICT (space_id, currency, month) DO UPDATE
    SET clearing = b.clearing + excluded.clearing, space = b.space + excluded.space, fee = b.fee + excluded.fee,
        suspense = b.suspense + excluded.suspense
)
INSERT INTO member_balance AS b (space_id, member_id, currency, balance)
SELECT space_id, counterparty_id, currency, sum(counterparty)::bigint
FROM posted
WHERE counterparty <> 0
GROUP BY space_id, counterparty_id, currency
ORDER BY space_id, counterparty_id, currency
ON CONFLICT (space_id, member_id, currency) DO UPDATE
SET balance = b.balance + excluded.balance;

WITH asked AS (
    -- Each refund with its purchase: one by one through the index, so that a plan made on small tables stays good when they
    -- have grown; all at once where there is no index.
    SELECT r.*, t.event_id AS bought_by, t.currency AS bought_in, t.amount AS total, t.fee, t.counterparty AS referral,
           t.counterparty_id AS referrer_id
    FROM batch, purchase_refunded r
    LEFT JOIN LATERAL (SELECT * FROM transfer x
                       WHERE x.reference_id = r.purchase_id AND x.space_id IS NOT DISTINCT FROM r.space_id
                         AND x.kind = 'purchase' AND x.problem IS NULL
                       LIMIT 1) t ON true
    WHERE NOT batch.is_first
    UNION ALL
    SELECT r.*, t.event_id, t.currency, t.amount, t.fee, t.counterparty, t.counterparty_id
    FROM batch, purchase_refunded r
    LEFT JOIN transfer t ON t.reference_id = r.purchase_id AND t.space_id = r.space_id AND t.kind = 'purchase'
        AND t.problem IS NULL
    WHERE batch.is_first
), refund AS (
    -- How much of the purchase is paid back before and after each refund. The first batch has no earlier ones.
    SELECT s.*, least(s.total, s.asked_before) AS before, least(s.total, s.asked_before + s.wanted) AS after
    FROM (SELECT w.*,
                 w.accepted + sum(w.wanted) OVER (PARTITION BY w.purchase_id, w.space_id ORDER BY w.seq) - w.wanted
                     AS asked_before
          FROM (SELECT m.*, CASE WHEN m.problem IS NULL THEN m.amount ELSE 0 END AS wanted,
                       CASE WHEN batch.is_first THEN 0 ELSE
                           (SELECT coalesce(sum(x.clearing + x.suspense), 0) FROM transfer x
                            WHERE x.reference_id = m.purchase_id AND x.space_id IS NOT DISTINCT FROM m.space_id
                              AND x.kind = 'refund') END AS accepted
                FROM batch, (SELECT r.seq, r.event_id, r.space_id, r.occurred_at, r.currency, r.amount, r.buyer_id,
                             r.purchase_id, r.total, r.fee, r.referral, r.referrer_id,
                             CASE WHEN r.amount NOT BETWEEN 0 AND 100000000000000 OR r.currency !~ '^[A-Z]{3}$'
                                      THEN 'invalid amount'
                                  WHEN r.bought_by IS NULL OR later.event_id IS NOT NULL THEN 'refund of an unknown purchase'
                                  WHEN r.currency COLLATE "C" <> r.bought_in
                                      THEN 'refund in another currency' END AS problem
                      FROM asked r
                      LEFT JOIN product_purchased later ON later.event_id = r.bought_by
                          AND later.space_id = r.space_id AND later.seq > r.seq) m) w) s
), payment AS (
    SELECT p.*, p.amount BETWEEN 0 AND 100000000000000 AND p.currency ~ '^[A-Z]{3}$'
                AND p.fee_bps BETWEEN 0 AND 10000 AS sound
    FROM (SELECT event_id, space_id, occurred_at, 'membership' AS kind, payment_currency AS currency,
                 payment_amount AS amount, member_id, NULL::uuid AS reference_id, fee_bps
          FROM member_joined WHERE payment_amount IS NOT NULL
          UNION ALL
          SELECT event_id, space_id, occurred_at, 'membership', payment_currency, payment_amount, member_id, NULL,
                 fee_bps
          FROM membership_upgraded WHERE payment_amount IS NOT NULL
          UNION ALL
          SELECT event_id, space_id, occurred_at, 'membership', payment_currency, payment_amount, member_id, NULL,
                 fee_bps
          FROM membership_renewed WHERE payment_amount IS NOT NULL
          UNION ALL
          SELECT event_id, space_id, occurred_at, 'tip', tip_currency, tip_amount, member_id, stream_id, fee_bps
          FROM livestream_interaction WHERE kind = 'TIP' AND tip_amount IS NOT NULL) p
), movement AS (
    -- Each side of each movement of credits, the side that gives first. The first side posts the transfer.
    SELECT seq, 0 AS side, event_id, space_id, occurred_at, 'spend' AS kind, member_id AS holder_id, -1 AS sign,
           credits, NULL::uuid AS counterparty_id, reference_id
    FROM credits_spent
    UNION ALL
    SELECT seq, 0, event_id, space_id, occurred_at, 'expiry', member_id, -1, credits, NULL, granted_event_id
    FROM credits_expired
    UNION ALL
    SELECT seq, 0, event_id, space_id, occurred_at, 'grant', member_id, 1, credits, NULL, NULL
    FROM credits_granted
    UNION ALL
    SELECT seq, 0, event_id, space_id, occurred_at, 'handover', from_member_id, -1, credits, to_member_id, NULL
    FROM credits_transferred
    UNION ALL
    SELECT seq, 1, event_id, space_id, occurred_at, 'handover', to_member_id, 1, credits, NULL, NULL
    FROM credits_transferred
), credit AS (
    SELECT s.*,
           CASE WHEN s.holder_id IS NULL OR s.sign > 0 THEN 0 ELSE
               greatest(0, -s.opening - min(s.running) OVER (w ROWS UNBOUNDED PRECEDING))
               - greatest(0, -s.opening - coalesce(min(s.running)
                   OVER (w ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0)) END AS short
    FROM (SELECT v.*, sum(v.sign * v.moved) OVER w AS running,
                 CASE WHEN batch.is_first THEN 0 ELSE
                     coalesce((SELECT b.balance FROM member_balance b
                               WHERE b.space_id = v.space_id AND b.member_id = v.holder_id AND b.currency = 'CREDIT'), 0)
                 END AS opening
          FROM batch,
               (SELECT m.*, m.credits BETWEEN 0 AND 100000000000000 AS sound,
                       CASE WHEN m.credits BETWEEN 0 AND 100000000000000 THEN m.credits ELSE 0 END AS moved
                FROM movement m) v
          WINDOW w AS (PARTITION BY v.space_id, v.holder_id ORDER BY v.seq, v.side)) s
    WINDOW w AS (PARTITION BY s.space_id, s.holder_id ORDER BY s.seq, s.side)
), posted AS (
    INSERT INTO transfer (event_id, space_id, occurred_at, kind, currency, amount, member_id, counterparty_id,
                          reference_id, clearing, space, fee, suspense, member, counterparty, problem)
    SELECT event_id, space_id, occurred_at, 'refund', currency, amount, buyer_id,
           CASE WHEN problem IS NULL THEN referrer_id END, purchase_id,
           CASE WHEN problem = 'invalid amount' THEN 0 ELSE amount END,
           CASE WHEN problem IS NULL THEN -(after - before - fee_back - referral_back) ELSE 0 END,
           CASE WHEN problem IS NULL THEN -fee_back ELSE 0 END,
           CASE WHEN problem = 'invalid amount' THEN 0 WHEN problem IS NULL THEN after - before - amount
                ELSE -amount END,
           0,
           CASE WHEN problem IS NULL THEN -referral_back ELSE 0 END,
           CASE WHEN problem IS NULL AND after - before < amount THEN 'refund larger than what is left'
                ELSE problem END
    FROM (SELECT r.*,
                 coalesce(div(r.fee * r.after, nullif(r.total, 0)) - div(r.fee * r.before, nullif(r.total, 0)), 0)
                     AS fee_back,
                 coalesce(div(r.referral * r.after, nullif(r.total, 0))
                     - div(r.referral * r.before, nullif(r.total, 0)), 0) AS referral_back
          FROM refund r) r
    UNION ALL
    SELECT event_id, space_id, occurred_at, kind, currency, amount, member_id, NULL, reference_id,
           CASE WHEN sound THEN -amount ELSE 0 END,
           CASE WHEN sound THEN amount - amount * fee_bps / 10000 ELSE 0 END,
           CASE WHEN sound THEN amount * fee_bps / 10000 ELSE 0 END,
           0, 0, 0,
           CASE WHEN NOT sound THEN 'invalid amount' END
    FROM payment
    UNION ALL
    SELECT event_id, space_id, occurred_at, kind, 'CREDIT', credits, holder_id, counterparty_id, reference_id,
           CASE WHEN kind = 'grant' OR holder_id IS NULL THEN -moved WHEN kind = 'expiry' THEN moved ELSE 0 END,
           CASE WHEN kind = 'spend' THEN moved ELSE 0 END,
           0,
           -short,
           CASE WHEN holder_id IS NULL THEN 0 ELSE sign * moved + short END,
           CASE WHEN kind = 'handover' THEN moved ELSE 0 END,
           CASE WHEN NOT sound THEN 'invalid amount' WHEN short > 0 THEN kind || ' without funds' END
    FROM credit WHERE side = 0
    RETURNING space_id, occurred_at, kind, currency, member_id, counterparty_id, clearing, space, fee, suspense, member,
              counterparty
), space_change AS (
    INSERT INTO space_balance AS b (space_id, currency, month, clearing, space, fee, suspense, refunded)
    SELECT space_id, currency, date_trunc('month', occurred_at AT TIME ZONE 'UTC')::date, sum(clearing)::bigint,
           sum(space)::bigint, sum(fee)::bigint, sum(suspense)::bigint,
           coalesce(sum(clearing) FILTER (WHERE kind = 'refund'), 0)::bigint
    FROM posted
    GROUP BY 1, 2, 3
    ORDER BY 1, 2, 3
    ON CONFLICT (space_id, currency, month) DO UPDATE
    SET clearing = b.clearing + excluded.clearing, space = b.space + excluded.space, fee = b.fee + excluded.fee,
        suspense = b.suspense + excluded.suspense, refunded = b.refunded + excluded.refunded
)
INSERT INTO member_balance AS b (space_id, member_id, currency, balance)
SELECT space_id, member_id, currency, sum(amount)::bigint
FROM (SELECT space_id, member_id, currency, member AS amount FROM posted WHERE member <> 0
      UNION ALL
      SELECT space_id, counterparty_id, currency, counterparty FROM posted WHERE counterparty <> 0) m
GROUP BY space_id, member_id, currency
ORDER BY space_id, member_id, currency
ON CONFLICT (space_id, member_id, currency) DO UPDATE
SET balance = b.balance + excluded.balance;
