-- SPDX-License-Identifier: Apache-2.0
--
-- Where the schema ids of this database come from: schemas/catalog.lock or a schema registry. Never from both, because one
-- number would then mean two schemas. `weir migrate` decides it once; `weir schema register --import` moves it over.

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
GRANT SELECT ON weir.schema_source TO weir_processor;

INSERT INTO weir.schema_source (source) SELECT 'catalog' WHERE EXISTS (SELECT FROM weir.schema);
