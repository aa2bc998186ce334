/* SPDX-License-Identifier: Apache-2.0
 *
 * What Linux knows about the running process, under the names that Prometheus' own client libraries
 * use. Part of metrics_write. */
#ifndef WEIR_OBSERVE_PROCESS_H
#define WEIR_OBSERVE_PROCESS_H

#include "lib/base/buf.h"

/* Appends process_* and weir_build_info. What cannot be read is left out. */
void process_write_metrics(struct buf *out);

#endif
