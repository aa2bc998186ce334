-- SPDX-License-Identifier: Apache-2.0
-- What moved money or credits in a Space, the latest first. Amounts are in minor units of the currency, or in credits
-- where it says CREDIT; `problem` says what contradicts earlier events.
--
-- reads: ledger
-- answer: page of 50, at most 200
-- param before timestamptz = infinity: only what occurred before
-- after occurred_at timestamptz = infinity
-- after event_id uuid = ffffffff-ffff-ffff-ffff-ffffffffffff
SELECT event_id, occurred_at, kind, currency, amount, member_id, counterparty_id, reference_id, problem
FROM ledger.transfer
WHERE space_id = :space_id
  AND occurred_at < :before
  AND (occurred_at, event_id) < (:after_occurred_at, :after_event_id)
ORDER BY occurred_at DESC, event_id DESC
