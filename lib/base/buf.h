/* SPDX-License-Identifier: Apache-2.0
 *
 * A growing byte buffer that is reset, not freed, between uses. Writers for big-endian integers
 * (Postgres' and Kafka's order) are inline because rows are built with them. Running out of memory
 * aborts the program: there is no sensible way on, and every buffer has a limit that its owner
 * checks. */
#ifndef WEIR_BASE_BUF_H
#define WEIR_BASE_BUF_H

#include <endian.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct buf {
    char *data;
    size_t size;
    size_t capacity;
};

/* Makes room for `extra` more bytes behind `size`. */
void buf_grow(struct buf *buf, size_t extra);
void buf_free(struct buf *buf);
/* Appends formatted text without its NUL; buf->data[buf->size] is a NUL afterwards, outside the
 * size. */
void buf_printf(struct buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Allocation that aborts instead of failing. */
void *xmalloc(size_t size);
void *xcalloc(size_t count, size_t size);
void *xrealloc(void *old, size_t size);
char *xstrdup(const char *text);
char *xstrndup(const char *text, size_t size);
char *xasprintf(const char *format, ...) __attribute__((format(printf, 1, 2)));

static inline void buf_reset(struct buf *buf)
{
    buf->size = 0;
}

static inline char *buf_reserve(struct buf *buf, size_t extra)
{
    if (buf->capacity - buf->size < extra)
        buf_grow(buf, extra);
    return buf->data + buf->size;
}

static inline void buf_put(struct buf *buf, const void *data, size_t size)
{
    if (size == 0)
        return;
    memcpy(buf_reserve(buf, size), data, size);
    buf->size += size;
}

static inline void buf_put_text(struct buf *buf, const char *text)
{
    buf_put(buf, text, strlen(text));
}

/* The bytes as a C string; valid until the next change. */
static inline const char *buf_text(struct buf *buf)
{
    *buf_reserve(buf, 1) = '\0';
    return buf->data;
}

static inline void buf_put_u8(struct buf *buf, uint8_t value)
{
    buf_put(buf, &value, sizeof value);
}

static inline void buf_put_be16(struct buf *buf, uint16_t value)
{
    value = htobe16(value);
    buf_put(buf, &value, sizeof value);
}

static inline void buf_put_be32(struct buf *buf, uint32_t value)
{
    value = htobe32(value);
    buf_put(buf, &value, sizeof value);
}

/* The same the other way, from bytes anywhere. */
static inline uint32_t buf_get_be32(const char *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return be32toh(value);
}

static inline uint64_t buf_get_be64(const char *at)
{
    uint64_t value;
    memcpy(&value, at, sizeof value);
    return be64toh(value);
}

static inline void buf_set_be32(struct buf *buf, size_t at, uint32_t value)
{
    value = htobe32(value);
    memcpy(buf->data + at, &value, sizeof value);
}

#endif
