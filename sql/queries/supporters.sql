-- SPDX-License-Identifier: Apache-2.0
-- Who paid a Space most, in one currency: purchases, memberships and tips, less refunds, in minor units.
--
-- reads: overview
-- answer: page of 10, at most 200
-- param currency text = null: ISO 4217 code; the Space's own when left out
-- after paid numeric = infinity
-- after member_id uuid = ffffffff-ffff-ffff-ffff-ffffffffffff
SELECT s.member_id,
       (SELECT m.display_name FROM overview.member m
        WHERE m.space_id = s.space_id AND m.member_id = s.member_id) AS display_name,
       s.currency, s.paid, s.payments
FROM overview.supporter s
WHERE s.space_id = :space_id
  AND s.currency = coalesce(:currency, (SELECT o.currency FROM overview.space o WHERE o.space_id = :space_id))
  AND s.paid > 0
  AND (s.paid, s.member_id) < (:after_paid, :after_member_id)
ORDER BY s.paid DESC, s.member_id DESC
