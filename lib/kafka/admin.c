/* SPDX-License-Identifier: Apache-2.0
 *
 * Uses the metadata of the whole cluster and never that of one named topic, because a broker with
 * auto.create.topics.enable would make a topic by being asked for it, with the wrong settings.
 *
 * Requests to the admin API are answered on a queue of this client; each waits for its own answer.
 */
#include "lib/kafka/admin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/kafka/client.h"

/* The settings of every topic of a domain. */
static const struct topic_setting {
    const char *name;
    const char *value;
} pinned[] = {{"message.timestamp.type", "LogAppendTime"},
              {"retention.ms", "-1"},
              {"retention.bytes", "-1"},
              {"cleanup.policy", "delete"},
              {NULL, NULL}};

struct kafka_admin {
    rd_kafka_t *kafka;
    rd_kafka_queue_t *queue;
    char *brokers;
};

int kafka_admin_open(const struct config *config, struct kafka_admin **ret_admin,
                     struct error *error)
{
    rd_kafka_conf_t *conf;
    char reason[512];
    if (kafka_conf_new(config, &conf, error) != 0)
        return -1;
    rd_kafka_t *kafka = rd_kafka_new(RD_KAFKA_PRODUCER, conf, reason, sizeof reason);
    if (!kafka) {
        rd_kafka_conf_destroy(conf);
        return error_set(error, ERROR_USAGE, "bad-kafka-property", "Kafka client: %s", reason);
    }
    struct kafka_admin *admin = xcalloc(1, sizeof *admin);
    admin->kafka = kafka;
    admin->queue = rd_kafka_queue_new(kafka);
    admin->brokers = xstrdup(config_text(config, OPT_KAFKA_BROKERS));
    *ret_admin = admin;
    return 0;
}

void kafka_admin_free(struct kafka_admin *admin)
{
    if (!admin)
        return;
    rd_kafka_queue_destroy(admin->queue);
    rd_kafka_destroy(admin->kafka);
    free(admin->brokers);
    free(admin);
}

static int whole_metadata(struct kafka_admin *admin, int timeout_ms,
                          const struct rd_kafka_metadata **ret_metadata, struct error *error)
{
    rd_kafka_resp_err_t code = rd_kafka_metadata(admin->kafka, 1, NULL, ret_metadata, timeout_ms);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        return error_set(error, ERROR_RETRY, rd_kafka_err2name(code),
                         "no broker answered at %s within %d s (%s): is Kafka up, and is "
                         "--kafka-brokers right?",
                         admin->brokers, (timeout_ms + 999) / 1000, rd_kafka_err2str(code));
    return 0;
}

int kafka_admin_cluster(struct kafka_admin *admin, int timeout_ms,
                        struct cluster_status *ret_status, struct error *error)
{
    const struct rd_kafka_metadata *metadata;
    if (whole_metadata(admin, timeout_ms, &metadata, error) != 0)
        return -1;
    *ret_status = (struct cluster_status){.brokers = metadata->broker_cnt};
    if (metadata->broker_cnt > 0)
        snprintf(ret_status->first_broker, sizeof ret_status->first_broker, "%s:%d",
                 metadata->brokers[0].host, metadata->brokers[0].port);
    rd_kafka_metadata_destroy(metadata);
    char *id = rd_kafka_clusterid(admin->kafka, 0);
    if (id) {
        snprintf(ret_status->id, sizeof ret_status->id, "%s", id);
        rd_kafka_mem_free(admin->kafka, id);
    }
    ret_status->controller = rd_kafka_controllerid(admin->kafka, 0);
    return 0;
}

int kafka_admin_partitions(struct kafka_admin *admin, int timeout_ms, const char *const *topics,
                           size_t count, int32_t *ret_partitions, struct error *error)
{
    const struct rd_kafka_metadata *metadata;
    if (whole_metadata(admin, timeout_ms, &metadata, error) != 0)
        return -1;
    for (size_t i = 0; i < count; i++) {
        ret_partitions[i] = 0;
        for (int j = 0; j < metadata->topic_cnt; j++)
            if (strcmp(metadata->topics[j].topic, topics[i]) == 0)
                ret_partitions[i] = metadata->topics[j].partition_cnt;
    }
    rd_kafka_metadata_destroy(metadata);
    return 0;
}

int kafka_admin_end(struct kafka_admin *admin, int timeout_ms, const char *topic, int32_t partition,
                    int64_t *ret_offset, struct error *error)
{
    int64_t low;
    rd_kafka_resp_err_t code = rd_kafka_query_watermark_offsets(admin->kafka, topic, partition,
                                                                &low, ret_offset, timeout_ms);
    if (!code)
        return 0;
    return error_set(error, ERROR_RETRY, rd_kafka_err2name(code), "%s partition %d: %s", topic,
                     partition, rd_kafka_err2str(code));
}

/* The answer of one request, or NULL with the error set. The caller destroys the event. */
static rd_kafka_event_t *wait_answer(struct kafka_admin *admin, const char *what,
                                     struct error *error)
{
    rd_kafka_event_t *event = rd_kafka_queue_poll(admin->queue, ADMIN_TIMEOUT_MS + 1000);
    if (!event) {
        kafka_error(error, RD_KAFKA_RESP_ERR__TIMED_OUT, what, NULL);
        return NULL;
    }
    if (rd_kafka_event_error(event)) {
        kafka_error(error, rd_kafka_event_error(event), what, rd_kafka_event_error_string(event));
        rd_kafka_event_destroy(event);
        return NULL;
    }
    return event;
}

static rd_kafka_AdminOptions_t *new_options(struct kafka_admin *admin,
                                            rd_kafka_admin_op_t operation)
{
    char reason[128];
    rd_kafka_AdminOptions_t *options = rd_kafka_AdminOptions_new(admin->kafka, operation);
    rd_kafka_AdminOptions_set_request_timeout(options, ADMIN_TIMEOUT_MS, reason, sizeof reason);
    return options;
}

/* Adds a difference to the report of one topic. */
static void add_difference(struct topic_status *topic, const char *name, const char *is,
                           const char *pinned_to)
{
    size_t used = strlen(topic->difference);
    topic->state = TOPIC_DIFFERS;
    snprintf(topic->difference + used, sizeof topic->difference - used, "%s%s is %s, pinned to %s",
             used ? "; " : "", name, is, pinned_to);
}

static void check_partitions(const struct rd_kafka_metadata *metadata, int32_t partitions,
                             struct topic_status *topic)
{
    topic->state = TOPIC_MISSING;
    topic->partitions = 0;
    topic->replication = 0;
    topic->difference[0] = '\0';
    for (int i = 0; i < metadata->topic_cnt; i++) {
        const rd_kafka_metadata_topic_t *found = &metadata->topics[i];
        if (strcmp(found->topic, topic->name) != 0 ||
            found->err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART)
            continue;
        topic->state = TOPIC_OK;
        topic->partitions = found->partition_cnt;
        if (found->partition_cnt > 0)
            topic->replication = found->partitions[0].replica_cnt;
        if (found->partition_cnt != partitions) {
            char is[16];
            char wanted[16];
            snprintf(is, sizeof is, "%d", found->partition_cnt);
            snprintf(wanted, sizeof wanted, "%d", partitions);
            add_difference(topic, "partitions", is, wanted);
        }
    }
}

static void check_settings(const rd_kafka_ConfigResource_t *resource, struct topic_status *topic)
{
    size_t count;
    const rd_kafka_ConfigEntry_t **entries = rd_kafka_ConfigResource_configs(resource, &count);
    for (const struct topic_setting *setting = pinned; setting->name; setting++)
        for (size_t i = 0; i < count; i++) {
            const char *value = rd_kafka_ConfigEntry_value(entries[i]);
            if (strcmp(rd_kafka_ConfigEntry_name(entries[i]), setting->name) == 0 &&
                (!value || strcmp(value, setting->value) != 0))
                add_difference(topic, setting->name, value ? value : "(hidden)", setting->value);
        }
}

static int describe_settings(struct kafka_admin *admin, struct topic_status *topics, size_t count,
                             struct error *error)
{
    rd_kafka_ConfigResource_t *asked[ADMIN_TOPICS_MAX];
    size_t asked_count = 0;
    for (size_t i = 0; i < count; i++)
        if (topics[i].state != TOPIC_MISSING)
            asked[asked_count++] =
                rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, topics[i].name);
    if (asked_count == 0)
        return 0;
    rd_kafka_AdminOptions_t *options = new_options(admin, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS);
    rd_kafka_DescribeConfigs(admin->kafka, asked, asked_count, options, admin->queue);
    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_ConfigResource_destroy_array(asked, asked_count);
    rd_kafka_event_t *event = wait_answer(admin, "asking for the topics' settings", error);
    if (!event)
        return -1;
    size_t found_count;
    const rd_kafka_ConfigResource_t **found = rd_kafka_DescribeConfigs_result_resources(
        rd_kafka_event_DescribeConfigs_result(event), &found_count);
    int result = 0;
    for (size_t i = 0; result == 0 && i < found_count; i++)
        for (size_t j = 0; result == 0 && j < count; j++) {
            if (strcmp(rd_kafka_ConfigResource_name(found[i]), topics[j].name) != 0)
                continue;
            rd_kafka_resp_err_t code = rd_kafka_ConfigResource_error(found[i]);
            if (code)
                result = kafka_error(error, code, topics[j].name,
                                     rd_kafka_ConfigResource_error_string(found[i]));
            else
                check_settings(found[i], &topics[j]);
        }
    rd_kafka_event_destroy(event);
    return result;
}

int kafka_admin_check(struct kafka_admin *admin, int32_t partitions, struct topic_status *topics,
                      size_t count, struct error *error)
{
    const struct rd_kafka_metadata *metadata;
    if (count > ADMIN_TOPICS_MAX)
        return error_set(error, ERROR_USAGE, "too-many-topics", "%zu topics, but at most %d", count,
                         ADMIN_TOPICS_MAX);
    if (whole_metadata(admin, ADMIN_TIMEOUT_MS, &metadata, error) != 0)
        return -1;
    for (size_t i = 0; i < count; i++)
        check_partitions(metadata, partitions, &topics[i]);
    rd_kafka_metadata_destroy(metadata);
    return describe_settings(admin, topics, count, error);
}

static rd_kafka_NewTopic_t *new_topic(const char *name, int32_t partitions, int32_t replication,
                                      struct error *error)
{
    char reason[256];
    rd_kafka_NewTopic_t *topic =
        rd_kafka_NewTopic_new(name, partitions, replication, reason, sizeof reason);
    if (!topic) {
        error_set(error, ERROR_USAGE, "bad-topic", "%s: %s", name, reason);
        return NULL;
    }
    for (const struct topic_setting *setting = pinned; setting->name; setting++)
        rd_kafka_NewTopic_set_config(topic, setting->name, setting->value);
    return topic;
}

/* Marks what was created. A topic that exists by now was made by somebody else in between. */
static int read_created(rd_kafka_event_t *event, struct topic_status *topics, size_t count,
                        int32_t partitions, int *ret_raced, struct error *error)
{
    size_t result_count;
    const rd_kafka_topic_result_t **results = rd_kafka_CreateTopics_result_topics(
        rd_kafka_event_CreateTopics_result(event), &result_count);
    for (size_t i = 0; i < result_count; i++) {
        rd_kafka_resp_err_t code = rd_kafka_topic_result_error(results[i]);
        const char *name = rd_kafka_topic_result_name(results[i]);
        if (code == RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS)
            *ret_raced = 1;
        else if (code)
            return kafka_error(error, code, name, rd_kafka_topic_result_error_string(results[i]));
        for (size_t j = 0; !code && j < count; j++)
            if (strcmp(topics[j].name, name) == 0) {
                topics[j].state = TOPIC_CREATED;
                topics[j].partitions = partitions;
            }
    }
    return 0;
}

int kafka_admin_create(struct kafka_admin *admin, int32_t partitions, int32_t replication,
                       struct topic_status *topics, size_t count, struct error *error)
{
    rd_kafka_NewTopic_t *wanted[ADMIN_TOPICS_MAX];
    size_t wanted_count = 0;
    int result = 0;
    int raced = 0;
    for (size_t i = 0; result == 0 && i < count; i++)
        if (topics[i].state == TOPIC_MISSING) {
            wanted[wanted_count] = new_topic(topics[i].name, partitions, replication, error);
            if (wanted[wanted_count])
                wanted_count++;
            else
                result = -1;
        }
    if (result == 0 && wanted_count > 0) {
        char reason[128];
        rd_kafka_AdminOptions_t *options = new_options(admin, RD_KAFKA_ADMIN_OP_CREATETOPICS);
        rd_kafka_AdminOptions_set_operation_timeout(options, ADMIN_TIMEOUT_MS, reason,
                                                    sizeof reason);
        rd_kafka_CreateTopics(admin->kafka, wanted, wanted_count, options, admin->queue);
        rd_kafka_AdminOptions_destroy(options);
        rd_kafka_event_t *event = wait_answer(admin, "creating topics", error);
        result = event ? read_created(event, topics, count, partitions, &raced, error) : -1;
        if (event)
            rd_kafka_event_destroy(event);
    }
    rd_kafka_NewTopic_destroy_array(wanted, wanted_count);
    if (result == 0 && raced)
        return kafka_admin_check(admin, partitions, topics, count, error);
    return result;
}
