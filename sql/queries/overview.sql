-- SPDX-License-Identifier: Apache-2.0
-- A Space at a glance: who it is, what happened in it, and what it has earned in each currency, in minor units.
--
-- reads: overview, ledger
-- answer: object
SELECT s.space_id, s.name, s.owner_id, s.currency, s.category, s.settings, s.created_at, s.events, s.products,
       s.purchases, s.refunds, s.joined, s.cancelled, s.streams, s.interactions, s.posts, s.comments, s.reactions,
       s.last_activity, s.last_active_at,
       (SELECT coalesce(json_agg(json_build_object('currency', r.currency, 'gross', r.gross,
                                                   'platform_fee', r.platform_fee, 'referrals', r.referrals,
                                                   'net', r.net, 'suspense', r.suspense) ORDER BY r.currency), '[]')
        FROM ledger.revenue r
        WHERE r.space_id = s.space_id) AS revenue
FROM overview.space s
WHERE s.space_id = :space_id
