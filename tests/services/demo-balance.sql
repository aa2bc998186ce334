-- SPDX-License-Identifier: Apache-2.0
-- The ledger's trial balance, and its last line per currency: a double entry sums to zero.
SELECT currency, coalesce(account, 'TOTAL') AS account, sum(accounts) AS accounts, sum(debit) AS debit,
       sum(credit) AS credit, sum(balance) AS balance
FROM ledger.trial_balance
GROUP BY GROUPING SETS ((currency, account), (currency))
ORDER BY currency, account NULLS LAST;
