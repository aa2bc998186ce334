-- SPDX-License-Identifier: Apache-2.0
-- What happened in a Space, the latest first, without chat, reactions, votes and credits. `subject_id` is the product,
-- purchase, livestream or post that it is about; amounts are in minor units.
--
-- reads: overview
-- answer: page of 50, at most 200
-- param before timestamptz = infinity: only what occurred before
-- after occurred_at timestamptz = infinity
-- after event_id uuid = ffffffff-ffff-ffff-ffff-ffffffffffff
SELECT a.event_id, a.occurred_at, a.activity, a.member_id,
       (SELECT m.display_name FROM overview.member m
        WHERE m.space_id = a.space_id AND m.member_id = a.member_id) AS display_name,
       a.subject_id, a.title, a.currency, a.amount
FROM overview.activity a
WHERE a.space_id = :space_id
  AND a.occurred_at < :before
  AND (a.occurred_at, a.event_id) < (:after_occurred_at, :after_event_id)
ORDER BY a.occurred_at DESC, a.event_id DESC
