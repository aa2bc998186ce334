-- SPDX-License-Identifier: Apache-2.0
-- A member of a Space, or a guest: tier and status, what the member did, paid (less refunds) and earned as a referrer
-- by currency, in minor units, and the credits held.
--
-- reads: overview, ledger
-- answer: object
-- param member_id uuid: the member
SELECT m.member_id, m.display_name, m.tier, m.status, m.joined_at, m.events, m.purchases, m.refunds, m.interactions,
       m.posts, m.comments, m.reactions, m.last_activity, m.last_active_at,
       (SELECT coalesce(json_agg(json_build_object('currency', s.currency, 'payments', s.payments, 'paid', s.paid)
                                 ORDER BY s.currency), '[]')
        FROM overview.supporter s
        WHERE s.space_id = m.space_id AND s.member_id = m.member_id) AS paid,
       (SELECT coalesce(json_agg(json_build_object('currency', b.currency, 'balance', b.balance)
                                 ORDER BY b.currency), '[]')
        FROM ledger.member_balance b
        WHERE b.space_id = m.space_id AND b.member_id = m.member_id AND b.currency <> 'CREDIT') AS earned,
       coalesce((SELECT b.balance
                 FROM ledger.member_balance b
                 WHERE b.space_id = m.space_id AND b.member_id = m.member_id AND b.currency = 'CREDIT'), 0) AS credits
FROM overview.member m
WHERE m.space_id = :space_id AND m.member_id = :member_id
