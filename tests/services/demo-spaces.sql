-- SPDX-License-Identifier: Apache-2.0
-- The five Spaces that earned most, in minor units.
SELECT space_id, currency, gross, platform_fee, referrals, net, suspense
FROM ledger.revenue
ORDER BY gross DESC, space_id, currency
LIMIT 5;
