-- SPDX-License-Identifier: Apache-2.0
--
-- Of processors/processor_test.
-- role: weir_processor

-- What this transaction has done so far, by table of the author's.
-- name: changed_rows
SELECT relname, n_tup_ins, n_tup_upd, n_tup_del
FROM pg_catalog.pg_stat_xact_user_tables
WHERE schemaname = $1 AND relname <> 'applied_run'
ORDER BY 1;
