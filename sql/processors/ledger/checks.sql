-- SPDX-License-Identifier: Apache-2.0
-- Each query returns the rows that break its rule.

-- name: entries of a transfer sum to zero (I1)
SELECT space_id, event_id, currency, clearing + space + fee + suspense + member + counterparty AS amount
FROM transfer
WHERE clearing + space + fee + suspense + member + counterparty <> 0;

-- name: entries of a Space and currency sum to zero (I1)
SELECT space_id, currency, sum(clearing + space + fee + suspense + member + counterparty) AS amount
FROM transfer
GROUP BY space_id, currency
HAVING sum(clearing + space + fee + suspense + member + counterparty) <> 0;

-- name: each balance is the sum of its entries (I9)
SELECT space_id, account, owner_id, currency, a.balance, e.balance AS entries
FROM account a
FULL JOIN (SELECT t.space_id, l.account, t.space_id AS owner_id, t.currency, l.balance
           FROM (SELECT space_id, currency, sum(clearing) AS clearing, sum(space) AS space, sum(fee) AS fee,
                        sum(suspense) AS suspense
                 FROM transfer GROUP BY space_id, currency) t
           CROSS JOIN LATERAL (VALUES
               ('clearing', t.clearing),
               ('space', t.space),
               ('fee', t.fee),
               ('suspense', t.suspense)) AS l (account, balance)
           UNION ALL
           SELECT space_id, 'member', owner_id, currency, sum(amount)
           FROM (SELECT space_id, member_id AS owner_id, currency, member AS amount FROM transfer WHERE member <> 0
                 UNION ALL
                 SELECT space_id, counterparty_id, currency, counterparty FROM transfer WHERE counterparty <> 0) m
           GROUP BY space_id, owner_id, currency) e
    USING (space_id, account, owner_id, currency)
WHERE coalesce(a.balance, 0) <> coalesce(e.balance, 0) OR (a.balance IS NULL AND e.balance <> 0);

-- name: each month holds what its transfers add up to (I11)
SELECT space_id, currency, month, b.clearing, b.space, b.fee, b.suspense, b.refunded
FROM space_balance b
FULL JOIN (SELECT space_id, currency, date_trunc('month', occurred_at AT TIME ZONE 'UTC')::date AS month,
                  sum(clearing) AS clearing, sum(space) AS space, sum(fee) AS fee, sum(suspense) AS suspense,
                  coalesce(sum(clearing) FILTER (WHERE kind = 'refund'), 0) AS refunded
           FROM transfer GROUP BY 1, 2, 3) t
    USING (space_id, currency, month)
WHERE (b.clearing, b.space, b.fee, b.suspense, b.refunded)
      IS DISTINCT FROM (t.clearing, t.space, t.fee, t.suspense, t.refunded);

-- name: nobody holds fewer than no credits
SELECT space_id, member_id, balance
FROM member_balance
WHERE currency = 'CREDIT' AND balance < 0;

-- name: no more is paid back of a purchase than was paid
SELECT p.space_id, p.reference_id AS purchase_id, p.amount, sum(r.clearing + r.suspense) AS paid_back
FROM transfer p
JOIN transfer r ON r.reference_id = p.reference_id AND r.space_id = p.space_id AND r.kind = 'refund'
WHERE p.kind = 'purchase' AND p.problem IS NULL
GROUP BY p.space_id, p.reference_id, p.amount
HAVING sum(r.clearing + r.suspense) NOT BETWEEN 0 AND p.amount;

-- name: nothing is in suspense without a reason
SELECT space_id, event_id, suspense
FROM transfer
WHERE suspense <> 0 AND problem IS NULL;
