-- SPDX-License-Identifier: Apache-2.0
--
-- Which files of sql/control/ this database has. Run before all others, each time.

CREATE SCHEMA IF NOT EXISTS weir;
COMMENT ON SCHEMA weir IS 'Weir: control tables';

CREATE TABLE IF NOT EXISTS weir.migration (
    path       text COLLATE "C" PRIMARY KEY,
    sha256     text COLLATE "C" NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE weir.migration IS 'Files of sql/control/ that were applied to this database';
COMMENT ON COLUMN weir.migration.path IS 'The file';
COMMENT ON COLUMN weir.migration.sha256 IS 'SHA-256 of the text that was applied, hexadecimal';
COMMENT ON COLUMN weir.migration.applied_at IS 'When it was applied last';
