-- SPDX-License-Identifier: Apache-2.0
--
-- Records on their way to Kafka. What writes here commits with what it tells of.

CREATE TABLE weir.outbox (
    outbox_id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    topic           text COLLATE "C" NOT NULL,
    kafka_partition integer NOT NULL,
    key             bytea,
    value           bytea,
    headers         weir.header[] NOT NULL DEFAULT '{}',
    created_at      timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE weir.outbox IS 'Records that are to be published because their transaction committed; deleted once the broker has them';
COMMENT ON COLUMN weir.outbox.outbox_id IS 'Order of publication';
COMMENT ON COLUMN weir.outbox.topic IS 'Topic to publish to';
COMMENT ON COLUMN weir.outbox.kafka_partition IS 'Partition to publish to';
COMMENT ON COLUMN weir.outbox.key IS 'Key of the record';
COMMENT ON COLUMN weir.outbox.value IS 'Value of the record';
COMMENT ON COLUMN weir.outbox.headers IS 'Headers of the record';
COMMENT ON COLUMN weir.outbox.created_at IS 'When it was written';

GRANT SELECT, INSERT, UPDATE, DELETE ON weir.outbox TO weir_processor;
