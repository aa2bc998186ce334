-- SPDX-License-Identifier: Apache-2.0
-- A livestream in numbers: when it was on air, viewers, what they did, and what they paid by currency, in minor units.
--
-- reads: overview
-- answer: object
-- param stream_id uuid: the livestream
SELECT l.stream_id, l.title, l.host_id, l.started_at, l.ended_at, l.duration_seconds, l.peak_viewers,
       l.average_viewers, l.chats, l.reactions, l.votes, l.tips,
       (SELECT coalesce(json_agg(json_build_object('currency', i.currency, 'tips', i.tips, 'tip_amount', i.tip_amount,
                                                   'purchases', i.purchases, 'purchase_amount', i.purchase_amount)
                                 ORDER BY i.currency), '[]')
        FROM overview.stream_income i
        WHERE i.space_id = l.space_id AND i.stream_id = l.stream_id) AS income
FROM overview.stream l
WHERE l.space_id = :space_id AND l.stream_id = :stream_id
