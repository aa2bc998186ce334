-- SPDX-License-Identifier: Apache-2.0
-- The statement of one account of a Space, the oldest entry first, each with the balance behind it. Amounts are in minor
-- units of the currency, or in credits where it is CREDIT.
--
-- reads: ledger
-- answer: page of 50, at most 200
-- param account text = space, one of space fee clearing suspense: which account
-- param currency text: ISO 4217 code, or CREDIT
-- param from timestamptz = -infinity: begin with this time
-- param to timestamptz = infinity: end before that time
-- after occurred_at timestamptz = -infinity
-- after event_id uuid = 00000000-0000-0000-0000-000000000000
SELECT e.event_id, e.occurred_at, e.kind, e.amount,
       (o.balance + sum(e.amount) OVER (ORDER BY e.occurred_at, e.event_id ROWS UNBOUNDED PRECEDING))::bigint AS balance
FROM ledger.entry e
CROSS JOIN (SELECT coalesce(sum(change), 0) AS balance
            FROM (SELECT m.change
                  FROM ledger.account_monthly m
                  WHERE m.space_id = :space_id AND m.currency = :currency AND m.account = :account
                    AND m.month < date_trunc('month', greatest(:from, :after_occurred_at) AT TIME ZONE 'UTC')::date
                  UNION ALL
                  SELECT b.amount
                  FROM ledger.entry b
                  WHERE b.space_id = :space_id AND b.currency = :currency AND b.account = :account
                    AND b.occurred_at >= date_trunc('month', greatest(:from, :after_occurred_at) AT TIME ZONE 'UTC')
                                         AT TIME ZONE 'UTC'
                    AND b.occurred_at <= greatest(:from, :after_occurred_at)
                    AND (b.occurred_at < :from
                         OR (b.occurred_at, b.event_id) <= (:after_occurred_at, :after_event_id))) c) o
WHERE e.space_id = :space_id AND e.currency = :currency AND e.account = :account
  AND e.occurred_at >= :from AND e.occurred_at < :to
  AND (e.occurred_at, e.event_id) > (:after_occurred_at, :after_event_id)
ORDER BY e.occurred_at, e.event_id
