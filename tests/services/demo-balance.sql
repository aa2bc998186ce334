-- SPDX-License-Identifier: Apache-2.0
-- The ledger's trial balance, and its last line per currency: a double entry sums to zero.
SELECT t.currency, coalesce(t.account, 'TOTAL') AS account, sum(accounts) AS accounts, sum(debit) AS debit,
       sum(credit) AS credit, sum(balance) AS balance
FROM ledger.trial_balance t
GROUP BY GROUPING SETS ((t.currency, t.account), (t.currency))
ORDER BY t.currency, grouping(t.account), t.account;
