-- SPDX-License-Identifier: Apache-2.0
-- Where the consumers of this folder go on, moved in the transaction of the rows.
CREATE TABLE consumer_offset (
    kafka_partition integer PRIMARY KEY,
    next_offset     bigint NOT NULL
);
COMMENT ON TABLE consumer_offset IS 'One row per partition of the topic.';
COMMENT ON COLUMN consumer_offset.kafka_partition IS 'The partition.';
COMMENT ON COLUMN consumer_offset.next_offset IS 'Every record below it has its row, none from it on.';
