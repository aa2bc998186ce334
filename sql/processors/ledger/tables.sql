-- SPDX-License-Identifier: Apache-2.0
-- The ledger: one row per event that moves money or credits, with its legs inline, and balances kept beside it.
--
-- Every transfer stays inside one Space and one unit (a currency, or CREDIT for the Space's own credits), so no row
-- is shared between Spaces. Each Space has four accounts per unit, and one account per member who has had any:
--
--   clearing    the world outside: what came in through the payment provider is negative here, what went back
--               positive; in CREDIT the credits issued (negative) and expired (positive)
--   space       what the Space has earned; in CREDIT the credits that members paid it
--   fee         what the platform has earned on this Space
--   suspense    what cannot be explained: a refund larger than what is left of its purchase, a spend without funds.
--               Such an event is a fact: it is posted in full, and the part that does not fit stands here
--   member      money: what a referrer has earned; CREDIT: the credits a member holds, never below zero
--
-- The four accounts of a Space are the columns of one row of space_balance, so that a purchase costs one update and
-- not four. There is a row for each month (UTC) in which something moved, and the balance is their sum: that costs
-- batches nothing, and answers what a Space earned in a month, or held at a date, without reading its transfers.

CREATE TABLE transfer (
    event_id        uuid NOT NULL,
    space_id        uuid NOT NULL,
    occurred_at     timestamptz NOT NULL,
    kind            text COLLATE "C" NOT NULL,
    currency        text COLLATE "C" NOT NULL,
    amount          bigint NOT NULL,
    member_id       uuid,
    counterparty_id uuid,
    reference_id    uuid,
    clearing        bigint NOT NULL,
    space           bigint NOT NULL,
    fee             bigint NOT NULL,
    suspense        bigint NOT NULL,
    member          bigint NOT NULL,
    counterparty    bigint NOT NULL,
    problem         text COLLATE "C",
    CONSTRAINT transfer_balances CHECK (clearing + space + fee + suspense + member + counterparty = 0)
);

CREATE TABLE space_balance (
    space_id uuid NOT NULL,
    currency text COLLATE "C" NOT NULL,
    month    date NOT NULL,
    clearing bigint NOT NULL,
    space    bigint NOT NULL,
    fee      bigint NOT NULL,
    suspense bigint NOT NULL,
    refunded bigint NOT NULL,
    PRIMARY KEY (space_id, currency, month)
) WITH (fillfactor = 70);

CREATE TABLE member_balance (
    space_id  uuid NOT NULL,
    member_id uuid NOT NULL,
    currency  text COLLATE "C" NOT NULL,
    balance   bigint NOT NULL,
    PRIMARY KEY (space_id, member_id, currency)
) WITH (fillfactor = 70);

-- A transfer as double entry: one row per leg that is not zero.
CREATE VIEW entry AS
SELECT t.event_id, l.leg, t.space_id, t.occurred_at, t.kind, l.account, l.owner_id, t.currency, l.amount
FROM transfer t
CROSS JOIN LATERAL (VALUES
    (1, 'clearing', t.space_id, t.clearing),
    (2, 'space', t.space_id, t.space),
    (3, 'fee', t.space_id, t.fee),
    (4, 'suspense', t.space_id, t.suspense),
    (5, 'member', t.member_id, t.member),
    (6, 'member', t.counterparty_id, t.counterparty)) AS l (leg, account, owner_id, amount)
WHERE l.amount <> 0;

CREATE VIEW account AS
SELECT b.space_id, l.account, b.space_id AS owner_id, b.currency, l.balance
FROM (SELECT space_id, currency, sum(clearing)::bigint AS clearing, sum(space)::bigint AS space,
             sum(fee)::bigint AS fee, sum(suspense)::bigint AS suspense
      FROM space_balance
      GROUP BY space_id, currency) b
CROSS JOIN LATERAL (VALUES
    ('clearing', b.clearing),
    ('space', b.space),
    ('fee', b.fee),
    ('suspense', b.suspense)) AS l (account, balance)
UNION ALL
SELECT space_id, 'member', member_id, currency, balance
FROM member_balance;

COMMENT ON TABLE transfer IS 'One row per event that moves money or credits, with its legs inline; they sum to zero.';
COMMENT ON COLUMN transfer.event_id IS 'The event that caused it.';
COMMENT ON COLUMN transfer.space_id IS 'The Space in which it happened.';
COMMENT ON COLUMN transfer.occurred_at IS 'When it happened.';
COMMENT ON COLUMN transfer.kind IS 'purchase, refund, membership, tip, grant, spend, handover or expiry.';
COMMENT ON COLUMN transfer.currency IS 'ISO 4217 code, or CREDIT for the credits of the Space.';
COMMENT ON COLUMN transfer.amount IS 'The amount that the event names, in minor units or credits.';
COMMENT ON COLUMN transfer.member_id IS 'The member who paid, got money back, or gave, spent, got or lost credits.';
COMMENT ON COLUMN transfer.counterparty_id IS 'The other member: the referrer of a purchase, or who was handed credits.';
COMMENT ON COLUMN transfer.reference_id IS 'The purchase, livestream or thing that it is about.';
COMMENT ON COLUMN transfer.clearing IS 'Leg on the clearing account of the Space.';
COMMENT ON COLUMN transfer.space IS 'Leg on the account of what the Space has earned.';
COMMENT ON COLUMN transfer.fee IS 'Leg on the account of what the platform has earned on the Space.';
COMMENT ON COLUMN transfer.suspense IS 'Leg on the suspense account of the Space.';
COMMENT ON COLUMN transfer.member IS 'Leg on the account of the member.';
COMMENT ON COLUMN transfer.counterparty IS 'Leg on the account of the counterparty.';
COMMENT ON COLUMN transfer.problem IS 'What contradicts earlier events of the same topic, or null.';
COMMENT ON TABLE space_balance IS 'What moved on the four accounts of a Space in one unit, by month; the balance is the sum.';
COMMENT ON COLUMN space_balance.space_id IS 'The Space.';
COMMENT ON COLUMN space_balance.currency IS 'ISO 4217 code, or CREDIT.';
COMMENT ON COLUMN space_balance.month IS 'First day of the month in which it occurred, in UTC.';
COMMENT ON COLUMN space_balance.clearing IS 'Change of the clearing account.';
COMMENT ON COLUMN space_balance.space IS 'Change of what the Space has earned.';
COMMENT ON COLUMN space_balance.fee IS 'Change of what the platform has earned on the Space.';
COMMENT ON COLUMN space_balance.suspense IS 'Change of the suspense account.';
COMMENT ON COLUMN space_balance.refunded IS 'The part of clearing that refunds moved.';
COMMENT ON TABLE member_balance IS 'What a member has in one unit: money as a referrer, or credits.';
COMMENT ON COLUMN member_balance.space_id IS 'The Space.';
COMMENT ON COLUMN member_balance.member_id IS 'The member.';
COMMENT ON COLUMN member_balance.currency IS 'ISO 4217 code, or CREDIT.';
COMMENT ON COLUMN member_balance.balance IS 'The balance.';
COMMENT ON VIEW entry IS 'The transfers as double entry: one row per leg that is not zero.';
COMMENT ON COLUMN entry.event_id IS 'The event that caused the transfer.';
COMMENT ON COLUMN entry.leg IS 'Which leg of the transfer.';
COMMENT ON COLUMN entry.space_id IS 'The Space.';
COMMENT ON COLUMN entry.occurred_at IS 'When it happened.';
COMMENT ON COLUMN entry.kind IS 'The kind of the transfer.';
COMMENT ON COLUMN entry.account IS 'clearing, space, fee, suspense or member.';
COMMENT ON COLUMN entry.owner_id IS 'The member for a member account, else the Space.';
COMMENT ON COLUMN entry.currency IS 'ISO 4217 code, or CREDIT.';
COMMENT ON COLUMN entry.amount IS 'What the leg adds to the account.';
COMMENT ON VIEW account IS 'Every account with its balance.';
COMMENT ON COLUMN account.space_id IS 'The Space.';
COMMENT ON COLUMN account.account IS 'clearing, space, fee, suspense or member.';
COMMENT ON COLUMN account.owner_id IS 'The member for a member account, else the Space.';
COMMENT ON COLUMN account.currency IS 'ISO 4217 code, or CREDIT.';
COMMENT ON COLUMN account.balance IS 'The balance: the sum of its entries.';
