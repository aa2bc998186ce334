-- SPDX-License-Identifier: Apache-2.0
--
-- The catalog of events as this database knows it, and where its schema ids come from: schemas/catalog.lock or a schema
-- registry. Never from both, because one number would then mean two schemas. `weir migrate` decides it once;
-- `weir schema register --import` moves it over.

CREATE SCHEMA weir_event;
COMMENT ON SCHEMA weir_event IS 'One composite type per version of an event: the shape of its rows in a batch';
GRANT USAGE ON SCHEMA weir_event TO PUBLIC; -- shapes, no data

CREATE TABLE weir.schema (
    schema_id   integer PRIMARY KEY,
    event       text COLLATE "C" NOT NULL,
    domain      text COLLATE "C" NOT NULL,
    version     integer NOT NULL,
    fingerprint text COLLATE "C" NOT NULL,
    definition  text NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (event, version)
);
COMMENT ON TABLE weir.schema IS 'The catalog as builds recorded it, so that an older build can decode a newer event';
COMMENT ON COLUMN weir.schema.schema_id IS 'Number in the five bytes before each event';
COMMENT ON COLUMN weir.schema.event IS 'Name of the event, such as ProductPurchased';
COMMENT ON COLUMN weir.schema.domain IS 'Domain of the event; its topic is weir.<domain>';
COMMENT ON COLUMN weir.schema.version IS 'Version of the event, from 1';
COMMENT ON COLUMN weir.schema.fingerprint IS 'SHA-256 of the schema file, hexadecimal';
COMMENT ON COLUMN weir.schema.definition IS 'The Avro schema';
COMMENT ON COLUMN weir.schema.recorded_at IS 'When a build recorded it first';

CREATE TABLE weir.schema_source (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    source text NOT NULL CHECK (source IN ('catalog', 'registry')),
    url    text CHECK ((url IS NOT NULL) = (source = 'registry')),
    since  timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE weir.schema_source IS 'The one source of the schema ids in this database and in the topics';
COMMENT ON COLUMN weir.schema_source.single IS 'Always true: there is one row';
COMMENT ON COLUMN weir.schema_source.source IS 'catalog: schemas/catalog.lock; registry: a schema registry';
COMMENT ON COLUMN weir.schema_source.url IS 'The registry, as it was named when the source was set';
COMMENT ON COLUMN weir.schema_source.since IS 'When the source was set';

GRANT SELECT ON weir.schema, weir.schema_source TO weir_processor;
