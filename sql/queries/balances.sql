-- SPDX-License-Identifier: Apache-2.0
-- The accounts of a Space at a time: per currency what came in (clearing, negative), what the Space and the platform
-- earned, what all members together hold, and what is unexplained. They sum to zero. Amounts are in minor units, or in
-- credits where it says CREDIT.
--
-- reads: ledger
-- answer: list
-- param at timestamptz = infinity: what occurred before that time; now when left out
SELECT currency, account, sum(change)::bigint AS balance
FROM (SELECT m.currency, m.account, m.change
      FROM ledger.account_monthly m
      WHERE m.space_id = :space_id AND m.month < date_trunc('month', :at AT TIME ZONE 'UTC')::date
      UNION ALL
      SELECT e.currency, e.account, e.amount
      FROM ledger.entry e
      WHERE e.space_id = :space_id
        AND e.occurred_at >= date_trunc('month', :at AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' AND e.occurred_at < :at) c
GROUP BY currency, account
HAVING sum(change) <> 0
ORDER BY currency, account
