-- SPDX-License-Identifier: Apache-2.0
-- The five Spaces that earned most, in minor units.
SELECT s.name, r.currency, r.gross, r.platform_fee, r.referrals, r.net, r.suspense, s.purchases, s.joined AS members
FROM ledger.revenue r
LEFT JOIN overview.space s USING (space_id)
ORDER BY r.gross DESC, r.space_id, r.currency
LIMIT 5;
