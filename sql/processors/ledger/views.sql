-- SPDX-License-Identifier: Apache-2.0
-- What the ledger publishes. Amounts are in minor units of their currency, or in credits where it says CREDIT.

CREATE OR REPLACE VIEW ledger.transfer AS
SELECT event_id, space_id, occurred_at, kind, currency, amount, member_id, counterparty_id, reference_id, problem
FROM transfer;
COMMENT ON VIEW ledger.transfer IS 'Every event that moved money or credits.';
COMMENT ON COLUMN ledger.transfer.event_id IS 'The event that caused it; unique within the Space.';
COMMENT ON COLUMN ledger.transfer.space_id IS 'The Space.';
COMMENT ON COLUMN ledger.transfer.occurred_at IS 'When it happened.';
COMMENT ON COLUMN ledger.transfer.kind IS 'purchase, refund, membership, tip, grant, spend, handover or expiry.';
COMMENT ON COLUMN ledger.transfer.currency IS 'ISO 4217 code, or CREDIT for the credits of the Space.';
COMMENT ON COLUMN ledger.transfer.amount IS 'The amount that the event names.';
COMMENT ON COLUMN ledger.transfer.member_id IS 'The member who paid, got money back, or gave, spent, got or lost credits.';
COMMENT ON COLUMN ledger.transfer.counterparty_id IS 'The referrer of a purchase, or the member who was handed credits.';
COMMENT ON COLUMN ledger.transfer.reference_id IS 'The purchase, livestream or thing that it is about.';
COMMENT ON COLUMN ledger.transfer.problem IS 'What contradicts earlier events, or null.';

CREATE OR REPLACE VIEW ledger.entry AS
SELECT event_id, leg, space_id, occurred_at, kind, account, owner_id, currency, amount
FROM entry;
COMMENT ON VIEW ledger.entry IS 'Double entry: the legs of every transfer. The entries of one transfer sum to zero.';
COMMENT ON COLUMN ledger.entry.event_id IS 'The event that caused the transfer.';
COMMENT ON COLUMN ledger.entry.leg IS 'Which leg of the transfer, from 1.';
COMMENT ON COLUMN ledger.entry.space_id IS 'The Space.';
COMMENT ON COLUMN ledger.entry.occurred_at IS 'When it happened.';
COMMENT ON COLUMN ledger.entry.kind IS 'The kind of the transfer.';
COMMENT ON COLUMN ledger.entry.account IS 'clearing, space, fee, suspense or member.';
COMMENT ON COLUMN ledger.entry.owner_id IS 'The member for a member account, else the Space.';
COMMENT ON COLUMN ledger.entry.currency IS 'ISO 4217 code, or CREDIT.';
COMMENT ON COLUMN ledger.entry.amount IS 'What the leg adds to the account; negative takes away.';

CREATE OR REPLACE VIEW ledger.account AS
SELECT space_id, account, owner_id, currency, balance
FROM account;
COMMENT ON VIEW ledger.account IS 'Every account with its balance.';
COMMENT ON COLUMN ledger.account.space_id IS 'The Space.';
COMMENT ON COLUMN ledger.account.account IS 'clearing (the world outside), space (earned by the Space), fee (earned by the platform), suspense (unexplained) or member (a referrer''s earnings, or the credits held).';
COMMENT ON COLUMN ledger.account.owner_id IS 'The member for a member account, else the Space.';
COMMENT ON COLUMN ledger.account.currency IS 'ISO 4217 code, or CREDIT.';
COMMENT ON COLUMN ledger.account.balance IS 'The sum of its entries.';

CREATE OR REPLACE VIEW ledger.trial_balance AS
SELECT currency, account, count(*) AS accounts,
       coalesce(sum(balance) FILTER (WHERE balance > 0), 0) AS credit,
       coalesce(-sum(balance) FILTER (WHERE balance < 0), 0) AS debit,
       sum(balance) AS balance
FROM account
GROUP BY currency, account
ORDER BY currency, account;
COMMENT ON VIEW ledger.trial_balance IS 'All accounts added up by kind; per currency the balances sum to zero.';
COMMENT ON COLUMN ledger.trial_balance.currency IS 'ISO 4217 code, or CREDIT.';
COMMENT ON COLUMN ledger.trial_balance.account IS 'clearing, space, fee, suspense or member.';
COMMENT ON COLUMN ledger.trial_balance.accounts IS 'How many accounts.';
COMMENT ON COLUMN ledger.trial_balance.credit IS 'Sum of the positive balances.';
COMMENT ON COLUMN ledger.trial_balance.debit IS 'Sum of the negative balances, without their sign.';
COMMENT ON COLUMN ledger.trial_balance.balance IS 'credit less debit.';

CREATE OR REPLACE VIEW ledger.suspense AS
SELECT space_id, event_id, occurred_at, kind, problem, currency, amount, suspense, member_id, reference_id
FROM transfer
WHERE problem IS NOT NULL;
COMMENT ON VIEW ledger.suspense IS 'Events that contradict earlier ones. They have happened and are posted; the unexplained amount stays on the suspense account of the Space until somebody corrects it.';
COMMENT ON COLUMN ledger.suspense.space_id IS 'The Space.';
COMMENT ON COLUMN ledger.suspense.event_id IS 'The event.';
COMMENT ON COLUMN ledger.suspense.occurred_at IS 'When it happened.';
COMMENT ON COLUMN ledger.suspense.kind IS 'The kind of the transfer.';
COMMENT ON COLUMN ledger.suspense.problem IS 'What is wrong with it.';
COMMENT ON COLUMN ledger.suspense.currency IS 'ISO 4217 code, or CREDIT.';
COMMENT ON COLUMN ledger.suspense.amount IS 'The amount that the event names.';
COMMENT ON COLUMN ledger.suspense.suspense IS 'Amount posted to suspense; 0 when an amount is beyond all bounds.';
COMMENT ON COLUMN ledger.suspense.member_id IS 'The member whom it concerns.';
COMMENT ON COLUMN ledger.suspense.reference_id IS 'The purchase or thing that it is about.';

CREATE OR REPLACE VIEW ledger.revenue AS
SELECT space_id, currency, (-sum(clearing))::bigint AS gross, sum(fee)::bigint AS platform_fee,
       (-sum(clearing + fee + space + suspense))::bigint AS referrals, sum(space)::bigint AS net,
       sum(suspense)::bigint AS suspense
FROM space_balance
WHERE currency <> 'CREDIT'
GROUP BY space_id, currency;
COMMENT ON VIEW ledger.revenue IS 'What each Space has earned so far, after refunds. gross = platform_fee + referrals + net + suspense.';
COMMENT ON COLUMN ledger.revenue.space_id IS 'The Space.';
COMMENT ON COLUMN ledger.revenue.currency IS 'ISO 4217 code.';
COMMENT ON COLUMN ledger.revenue.gross IS 'What members paid, less what was paid back.';
COMMENT ON COLUMN ledger.revenue.platform_fee IS 'The platform''s share.';
COMMENT ON COLUMN ledger.revenue.referrals IS 'The share of members whose links led to purchases.';
COMMENT ON COLUMN ledger.revenue.net IS 'The share of the Space.';
COMMENT ON COLUMN ledger.revenue.suspense IS 'What could not be explained.';

CREATE OR REPLACE VIEW ledger.payment AS
SELECT event_id, space_id, occurred_at, kind, currency, member_id, reference_id, -clearing AS gross,
       fee AS platform_fee, member + counterparty AS referral, space AS net, suspense, problem
FROM transfer
WHERE currency <> 'CREDIT';
COMMENT ON VIEW ledger.payment IS 'Every event that moved money, and how it was shared: gross = platform_fee + referral + net + suspense. A refund is negative.';
COMMENT ON COLUMN ledger.payment.event_id IS 'The event that caused it; unique within the Space.';
COMMENT ON COLUMN ledger.payment.space_id IS 'The Space.';
COMMENT ON COLUMN ledger.payment.occurred_at IS 'When it happened.';
COMMENT ON COLUMN ledger.payment.kind IS 'purchase, refund, membership or tip.';
COMMENT ON COLUMN ledger.payment.currency IS 'ISO 4217 code.';
COMMENT ON COLUMN ledger.payment.member_id IS 'Who paid, or got money back.';
COMMENT ON COLUMN ledger.payment.reference_id IS 'The purchase or livestream.';
COMMENT ON COLUMN ledger.payment.gross IS 'What the member paid; negative what was paid back.';
COMMENT ON COLUMN ledger.payment.platform_fee IS 'The platform''s share.';
COMMENT ON COLUMN ledger.payment.referral IS 'The share of the member whose link led to a purchase.';
COMMENT ON COLUMN ledger.payment.net IS 'The share of the Space.';
COMMENT ON COLUMN ledger.payment.suspense IS 'What could not be explained.';
COMMENT ON COLUMN ledger.payment.problem IS 'What contradicts earlier events, or null.';

CREATE OR REPLACE VIEW ledger.revenue_monthly AS
SELECT space_id, month, currency, refunded - clearing AS paid, refunded, fee AS platform_fee,
       -clearing - fee - space - suspense AS referrals, space AS net, suspense
FROM space_balance
WHERE currency <> 'CREDIT';
COMMENT ON VIEW ledger.revenue_monthly IS 'What each Space earned per month (UTC). paid - refunded = platform_fee + referrals + net + suspense.';
COMMENT ON COLUMN ledger.revenue_monthly.space_id IS 'The Space.';
COMMENT ON COLUMN ledger.revenue_monthly.month IS 'First day of the month, in UTC; a refund counts in the month in which it was made.';
COMMENT ON COLUMN ledger.revenue_monthly.currency IS 'ISO 4217 code.';
COMMENT ON COLUMN ledger.revenue_monthly.paid IS 'What members paid.';
COMMENT ON COLUMN ledger.revenue_monthly.refunded IS 'What was paid back.';
COMMENT ON COLUMN ledger.revenue_monthly.platform_fee IS 'The platform''s share, less what it gave back.';
COMMENT ON COLUMN ledger.revenue_monthly.referrals IS 'The share of members whose links led to purchases, likewise.';
COMMENT ON COLUMN ledger.revenue_monthly.net IS 'The share of the Space, likewise.';
COMMENT ON COLUMN ledger.revenue_monthly.suspense IS 'What could not be explained.';

-- A transfer sums to zero, so what the four accounts of the Space lack is what its members got.
CREATE OR REPLACE VIEW ledger.account_monthly AS
SELECT b.space_id, l.account, b.currency, b.month, l.change
FROM space_balance b
CROSS JOIN LATERAL (VALUES
    ('clearing', b.clearing),
    ('space', b.space),
    ('fee', b.fee),
    ('suspense', b.suspense),
    ('member', -b.clearing - b.space - b.fee - b.suspense)) AS l (account, change)
WHERE l.change <> 0;
COMMENT ON VIEW ledger.account_monthly IS 'Change of each account of a Space per month (UTC); the sum of all earlier months is the balance at the start of a month.';
COMMENT ON COLUMN ledger.account_monthly.space_id IS 'The Space.';
COMMENT ON COLUMN ledger.account_monthly.account IS 'clearing, space, fee, suspense, or member (all members together).';
COMMENT ON COLUMN ledger.account_monthly.currency IS 'ISO 4217 code, or CREDIT.';
COMMENT ON COLUMN ledger.account_monthly.month IS 'First day of the month, in UTC.';
COMMENT ON COLUMN ledger.account_monthly.change IS 'The sum of the month''s entries.';

CREATE OR REPLACE VIEW ledger.credit_balance AS
SELECT space_id, member_id, balance AS credits
FROM member_balance
WHERE currency = 'CREDIT';
COMMENT ON VIEW ledger.credit_balance IS 'The credits that each member holds.';
COMMENT ON COLUMN ledger.credit_balance.space_id IS 'The Space whose credits they are.';
COMMENT ON COLUMN ledger.credit_balance.member_id IS 'The member.';
COMMENT ON COLUMN ledger.credit_balance.credits IS 'How many; never below zero.';

CREATE OR REPLACE VIEW ledger.member_balance AS
SELECT space_id, member_id, currency, balance
FROM member_balance;
COMMENT ON VIEW ledger.member_balance IS 'Balance of each member: credits, or the earnings of a referrer.';
COMMENT ON COLUMN ledger.member_balance.space_id IS 'The Space.';
COMMENT ON COLUMN ledger.member_balance.member_id IS 'The member.';
COMMENT ON COLUMN ledger.member_balance.currency IS 'ISO 4217 code, or CREDIT.';
COMMENT ON COLUMN ledger.member_balance.balance IS 'The sum of the member''s entries.';

-- The conditions are those of the indexes by member.
CREATE OR REPLACE VIEW ledger.member_entry AS
SELECT space_id, member_id, occurred_at, event_id, kind, currency, member AS amount, reference_id
FROM transfer
WHERE member <> 0
UNION ALL
SELECT space_id, counterparty_id, occurred_at, event_id, kind, currency, counterparty, reference_id
FROM transfer
WHERE counterparty <> 0;
COMMENT ON VIEW ledger.member_entry IS 'The entries of member accounts alone, found by member.';
COMMENT ON COLUMN ledger.member_entry.space_id IS 'The Space.';
COMMENT ON COLUMN ledger.member_entry.member_id IS 'The member.';
COMMENT ON COLUMN ledger.member_entry.occurred_at IS 'When it happened.';
COMMENT ON COLUMN ledger.member_entry.event_id IS 'The event that caused the transfer.';
COMMENT ON COLUMN ledger.member_entry.kind IS 'The kind of the transfer.';
COMMENT ON COLUMN ledger.member_entry.currency IS 'ISO 4217 code, or CREDIT.';
COMMENT ON COLUMN ledger.member_entry.amount IS 'What came in; negative what went out.';
COMMENT ON COLUMN ledger.member_entry.reference_id IS 'The purchase, livestream or thing that it is about.';
