/* SPDX-License-Identifier: Apache-2.0
 *
 * Two generations are comparable at one offset vector only. The live one is locked where it is, the
 * rest is folded, and a snapshot is taken in which both are at that vector; then the live one goes
 * on, while the snapshot is looked at for as long as it takes. */

#include "lib/base/timestamp.h"
#include "processors/fold/verify.h"
#include "processors/rebuild/rebuild_parts.h"

int rebuild_hold(struct rebuild *rebuild, struct error *error)
{
    struct vector target = {0};
    if (pg_runf(rebuild->conn, error, "BEGIN; SET LOCAL lock_timeout = %d", REBUILD_HOLD_MS) != 0)
        return -1;
    rebuild->holding = 1;
    int code = vector_load(&rebuild->at_live, rebuild->conn, rebuild->processor->name,
                           rebuild->live.number, 1, error);
    if (code == 0)
        code = rebuild_note_deferred(rebuild, error);
    if (code == 0) {
        target = vector_copy(&rebuild->at_live);
        vector_raise(&target, &rebuild->own);
        code = rebuild_fold(rebuild, &target, error);
    }
    vector_free(&target);
    return code;
}

static void release(struct rebuild *rebuild)
{
    pg_run(rebuild->conn, "ROLLBACK", NULL);
    rebuild->holding = 0;
}

/* Opens the snapshot in which both generations hold the same events. *ret_behind: the live one has
 * not come as far. */
static int open_snapshot(struct rebuild *rebuild, PGconn *conn, int *ret_behind,
                         struct error *error)
{
    struct vector live = vector_copy(&rebuild->own);
    struct vector next = vector_copy(&rebuild->own);
    /* Helpers would take the cores that live events need. */
    int code =
        pg_runf(conn, error,
                "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL work_mem = "
                "'256MB'; SET LOCAL jit = off%s",
                rebuild->low_priority ? "; SET LOCAL max_parallel_workers_per_gather = 0" : "");
    if (code == 0)
        code = vector_load(&live, conn, rebuild->processor->name, rebuild->live.number, 0, error);
    if (code == 0)
        code = vector_load(&next, conn, rebuild->processor->name, rebuild->next.number, 0, error);
    *ret_behind = code == 0 && !vector_equal(&live, &next);
    vector_free(&live);
    vector_free(&next);
    return code;
}

static int hold_and_snapshot(struct rebuild *rebuild, PGconn *conn, int *ret_behind,
                             struct error *error)
{
    int code = -1;
    for (int i = 0; code != 0 && i < REBUILD_SWAP_TRIES; i++) {
        code = rebuild_hold(rebuild, error);
        if (code == 0)
            code = open_snapshot(rebuild, conn, ret_behind, error);
        release(rebuild);
        if (code == 0 || error->class != ERROR_RETRY || *rebuild->options->stop)
            return code;
        pg_run(conn, "ROLLBACK", NULL);
        rebuild_sleep(REBUILD_SWAP_PAUSE_MS);
    }
    return code;
}

static int compare(struct rebuild *rebuild, PGconn *conn, int behind, struct error *error)
{
    json_t *findings = json_object_get(rebuild->report, "findings");
    size_t before = json_array_size(findings);
    int tables = 0;
    if (rebuild->to_end) {
        json_object_set_new(rebuild->report, "verified",
                            json_string("not compared: the live generation does not know what the "
                                        "topics do"));
        return 0;
    }
    if (behind || rebuild->live.version != rebuild->next.version) {
        json_object_set_new(
            rebuild->report, "verified",
            json_string(behind ? "not compared: the live generation has not come as far; is `weir "
                                 "process` running?"
                               : "not compared: the versions differ, and equality is claimed "
                                 "within one version"));
        return behind ? error_set(error, ERROR_RETRY, "live-behind",
                                  "%s generation %d is behind what was rebuilt, so the two cannot "
                                  "be compared: start `weir process %s`, or leave out --verify",
                                  rebuild->processor->name, rebuild->live.number,
                                  rebuild->processor->name)
                      : 0;
    }
    if (verify_equal(conn, &(struct verify_side){"live", rebuild->live.installed.schema},
                     &(struct verify_side){"rebuilt", rebuild->next.installed.schema},
                     rebuild->options->space, findings, &tables, error) != 0)
        return -1;
    int equal = json_array_size(findings) == before;
    json_object_set_new(rebuild->report, "verified", json_string(equal ? "equal" : "different"));
    json_object_set_new(rebuild->report, "tables", json_integer(tables));
    rebuild->different |= !equal;
    return 0;
}

int rebuild_verify(struct rebuild *rebuild, struct error *error)
{
    PGconn *conn = NULL;
    json_t *findings = json_object_get(rebuild->report, "findings");
    int behind = 0;
    int checks = 0;
    int64_t deadline_us = monotonic_now_us() + REBUILD_BEHIND_MS * INT64_C(1000);
    rebuild_phase(rebuild, "verify", rebuild->total);
    if (pg_connect(config_text(rebuild->options->config, OPT_DATABASE), "weir rebuild verify",
                   &conn, error) != 0)
        return -1;
    int code = hold_and_snapshot(rebuild, conn, &behind, error);
    while (code == 0 && behind && !rebuild->to_end && rebuild->options->verify &&
           monotonic_now_us() < deadline_us) {
        pg_run(conn, "ROLLBACK", NULL);
        rebuild_sleep(REBUILD_SWAP_PAUSE_MS);
        code = hold_and_snapshot(rebuild, conn, &behind, error);
    }
    if (code == 0)
        code = verify_checks(conn, rebuild->processor, rebuild->next.installed.schema, findings,
                             &checks, error);
    json_object_set_new(rebuild->report, "checks", json_integer(checks));
    rebuild->different |= json_array_size(findings) > 0;
    if (code == 0 && rebuild->options->verify)
        code = compare(rebuild, conn, behind, error);
    PQfinish(conn);
    return code;
}
