-- SPDX-License-Identifier: Apache-2.0
-- Each query returns the rows that break its rule.

-- name: entries of a transfer sum to zero (I1)
SELECT space_id, event_id, currency, sum(amount) AS amount
FROM entry
GROUP BY space_id, event_id, currency
HAVING sum(amount) <> 0;

-- name: entries of a Space and currency sum to zero (I1)
SELECT space_id, currency, sum(amount) AS amount
FROM entry
GROUP BY space_id, currency
HAVING sum(amount) <> 0;

-- name: each balance is the sum of its entries (I9)
SELECT space_id, account, owner_id, currency, a.balance, e.balance AS entries
FROM account a
FULL JOIN (SELECT space_id, account, owner_id, currency, sum(amount) AS balance
           FROM entry GROUP BY space_id, account, owner_id, currency) e
    USING (space_id, account, owner_id, currency)
WHERE coalesce(a.balance, 0) <> coalesce(e.balance, 0) OR (a.balance IS NULL AND e.balance <> 0);

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
