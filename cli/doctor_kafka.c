/* SPDX-License-Identifier: Apache-2.0
 *
 * What `weir doctor` finds out about Kafka: whether a broker answers, and whether the topics are as
 * pinned. */
#include <stdio.h>

#include "cli/doctor.h"
#include "cli/support.h"
#include "lib/kafka/admin.h"

enum { KAFKA_TIMEOUT_MS = 5000 };

static void examine_topics(const struct config *config, struct kafka_admin *admin,
                           struct report *report)
{
    static struct topic_names names;
    static struct topic_status topics[TOPIC_NAMES_MAX];
    struct error error = {0};
    int32_t partitions = (int32_t)config_int(config, OPT_PARTITIONS);
    size_t good = 0;
    if (topic_names_open(config, &names, &error) != 0)
        return; /* the catalog's own finding says so */
    for (size_t i = 0; i < names.count; i++)
        topics[i].name = names.names[i];
    if (kafka_admin_check(admin, partitions, topics, names.count, &error) != 0) {
        report_add(report, FINDING_FAIL, "topics", "may this client describe topics?", "%s",
                   error.message);
        return;
    }
    for (size_t i = 0; i < names.count; i++) {
        char subject[sizeof report->items->subject];
        snprintf(subject, sizeof subject, "topic %s", topics[i].name);
        if (topics[i].state == TOPIC_MISSING)
            report_add(report, FINDING_FAIL, subject, "`weir topics create` makes it",
                       "is missing");
        else if (topics[i].state == TOPIC_DIFFERS)
            report_add(report, FINDING_FAIL, subject,
                       "alter the topic, or --partitions if that is what is wrong", "%s",
                       topics[i].difference);
        else
            good++;
    }
    if (good)
        report_add(report, FINDING_OK, "topics", NULL, "%zu of %zu as pinned, %d partitions each",
                   good, names.count, partitions);
}

void doctor_kafka(const struct config *config, struct report *report)
{
    struct kafka_admin *admin;
    struct cluster_status cluster;
    struct error error = {0};
    if (kafka_admin_open(config, &admin, &error) != 0) {
        report_add(report, FINDING_FAIL, "kafka", "correct --kafka or --kafka-brokers", "%s",
                   error.message);
        return;
    }
    if (kafka_admin_cluster(admin, KAFKA_TIMEOUT_MS, &cluster, &error) != 0) {
        report_add(report, FINDING_FAIL, "kafka",
                   "start it (`./dev services up` in a checkout), or correct --kafka-brokers", "%s",
                   error.message);
    } else {
        report_add(report, FINDING_OK, "kafka", NULL,
                   "%d broker%s, cluster %s, controller %d, first %s", cluster.brokers,
                   cluster.brokers == 1 ? "" : "s", cluster.id, cluster.controller,
                   cluster.first_broker);
        examine_topics(config, admin, report);
    }
    kafka_admin_free(admin);
}
