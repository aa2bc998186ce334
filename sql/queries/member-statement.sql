-- SPDX-License-Identifier: Apache-2.0
-- What came into and went out of the account of a member, the oldest first, each with the balance behind it: credits, or
-- what a referrer earned in a currency, in minor units.
--
-- reads: ledger
-- answer: page of 50, at most 200
-- param member_id uuid: the member
-- param currency text = CREDIT: CREDIT, or an ISO 4217 code
-- param from timestamptz = -infinity: begin with this time
-- param to timestamptz = infinity: end before that time
-- after occurred_at timestamptz = -infinity
-- after event_id uuid = 00000000-0000-0000-0000-000000000000
SELECT event_id, occurred_at, kind, amount, reference_id, balance
FROM (SELECT e.event_id, e.occurred_at, e.kind, e.amount, e.reference_id,
             (sum(e.amount) OVER (ORDER BY e.occurred_at, e.event_id ROWS UNBOUNDED PRECEDING))::bigint AS balance
      FROM (SELECT event_id, occurred_at, kind, reference_id, sum(amount) AS amount
            FROM ledger.member_entry
            WHERE space_id = :space_id AND member_id = :member_id AND currency = :currency AND occurred_at < :to
            GROUP BY event_id, occurred_at, kind, reference_id) e) b
WHERE occurred_at >= :from
  AND (occurred_at, event_id) > (:after_occurred_at, :after_event_id)
ORDER BY occurred_at, event_id
