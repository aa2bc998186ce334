/* SPDX-License-Identifier: Apache-2.0
 *
 * How far each processor is: its positions in Postgres beside the ends of the log in Kafka. Only
 * reads. */
#ifndef WEIR_AUDIT_POSITIONS_H
#define WEIR_AUDIT_POSITIONS_H

#include <stddef.h>
#include <stdint.h>

#include "lib/kafka/reader.h"
#include "lib/pg/pg.h"

enum { AUDIT_POSITIONS_MAX = 65536, AUDIT_HALTS_MAX = 256 };

struct audit_position {
    char processor[64];
    int generation;
    int live; /* it is the generation that is published */
    char topic[250];
    int32_t partition;
    int64_t position_id; /* 0: nobody has claimed the partition yet */
    int64_t next_offset; /* the first offset that nobody has dealt with */
    int64_t epoch;
    int64_t anchor_offset; /* -1: none */
    char owner[128];
    int owner_alive; /* the owner's database session is there */
    char updated_at[40];
    int64_t low; /* of the log */
    int64_t high;
};

struct audit_halt {
    char processor[64];
    int generation;
    char code[64];
    char message[600];
    char halted_at[40];
};

struct audit_positions {
    struct audit_position *rows; /* by processor, generation, topic, partition */
    size_t count;
    struct audit_halt *halts;
    size_t halt_count;
};

/* Reads positions and halts of one processor, or of all when `processor` is NULL. Run it in the
 * transaction whose view is wanted. The ends of the log are asked for afterwards, by
 * audit_positions_extents. */
int audit_positions_load(PGconn *conn, const char *processor, struct audit_positions *ret_positions,
                         struct error *error);

/* Adds a topic that the generation consumes, when it has no position there yet. It counts as live.
 * Call it before audit_positions_extents. */
void audit_positions_expect(struct audit_positions *positions, const char *processor,
                            int generation, const char *topic);

/* Fills low and high, and adds the partitions of known topics that nobody has claimed. A topic that
 * is gone has no extent: high is -1. */
int audit_positions_extents(struct audit_positions *positions, struct kafka_reader *reader,
                            struct error *error);

void audit_positions_free(struct audit_positions *positions);

/* Records that are not dealt with; 0 for a position beyond the log. */
int64_t audit_lag(const struct audit_position *position);

#endif
