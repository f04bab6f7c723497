/* Bytes and datagrams on their way from one end to the other: what was sent arrives, in order, once, and nothing else does. */
#include "model.h"

#define DATAGRAM_HEADER 8u
#define LOSSY_MEMORY 4096u

struct flow *flow_new(void)
{
    struct flow *flow = memory_new(sizeof(*flow));

    memset(flow, 0, sizeof(*flow));
    flow->refs = 1;
    flow->id = ++world->flow_ids;
    return flow;
}

static void drop_first(struct flow *flow)
{
    struct sent *sent = flow->first;

    flow->first = sent->next;
    if (flow->first == NULL)
        flow->last = NULL;
    memory_free(sent, sizeof(*sent));
}

void flow_unref(struct flow *flow)
{
    if (flow == NULL || --flow->refs > 0)
        return;
    while (flow->first != NULL)
        drop_first(flow);
    free(flow->bytes);
    memory_free(flow, sizeof(*flow));
}

static unsigned char byte_at(const struct flow *flow, uint32_t id, size_t offset)
{
    uint32_t x = flow->id * 2654435761u + id * 40503u + (uint32_t)offset * 2246822519u;

    return (unsigned char)((x ^ x >> 15) * 2654435761u >> 24);
}

static uint32_t get32(const unsigned char *data)
{
    uint32_t value;

    memcpy(&value, data, sizeof(value));
    return value;
}

void flow_fill(const struct flow *flow, unsigned char *data, size_t offset, size_t length)
{
    const uint32_t words[2] = {flow->sends + 1, flow->id};
    unsigned char header[sizeof(words)];

    memcpy(header, words, sizeof(words));
    for (size_t i = 0; i < length; i++) {
        if (flow->datagrams && offset + i < sizeof(header))
            data[i] = header[offset + i];
        else
            data[i] = byte_at(flow, flow->sends + 1, offset + i);
    }
}

struct sent *flow_send(struct flow *flow, size_t length)
{
    struct sent *sent = memory_new(sizeof(*sent));

    memset(sent, 0, sizeof(*sent));
    sent->id = ++flow->sends;
    sent->length = length;
    if (flow->last != NULL)
        flow->last->next = sent;
    else
        flow->first = sent;
    flow->last = sent;
    flow->pending++;
    return sent;
}

/* Compares what has arrived with what was sent, as far as is known how much of each write was sent. */
static void compare(struct flow *flow)
{
    size_t used = 0;

    if (flow->uncounted) {
        flow->count = 0;
        return;
    }
    while (flow->first != NULL && flow->first->done) {
        struct sent *sent = flow->first;

        for (; sent->checked < sent->bytes && used < flow->count; sent->checked++, used++)
            CHECK(flow->bytes[used] == byte_at(flow, sent->id, sent->checked),
                  "flow %u: byte %zu of write %u arrived wrong", flow->id, sent->checked, sent->id);
        if (sent->checked < sent->bytes)
            break;
        drop_first(flow);
    }
    if (used > 0) {
        memmove(flow->bytes, flow->bytes + used, flow->count - used);
        flow->count -= used;
    }
}

static void check_eof(struct flow *flow)
{
    if (!flow->eof_seen || flow->pending > 0 || flow->torn || flow->datagrams || flow->uncounted)
        return;
    CHECK(flow->received_total == flow->sent_total, "flow %u ended after %llu of %llu bytes", flow->id,
          (unsigned long long)flow->received_total, (unsigned long long)flow->sent_total);
}

static void trim_datagrams(struct flow *flow)
{
    while (flow->first != NULL && flow->first->done &&
           (flow->first->received || !flow->first->good ||
            (flow->lossy && flow->last->id - flow->first->id > LOSSY_MEMORY)))
        drop_first(flow);
}

/*
 * The write may have been with the system, which forgets with it how much of it was read. Whether its turn had come cannot be seen:
 * those before it may be over, and have no callback.
 */
static bool is_uncounted(const struct flow *flow, const struct sent *sent)
{
    return !system_can.counts_cancelled && flow->pipe && sent->bytes != sent->length;
}

void flow_sent(struct flow *flow, struct sent *sent, size_t bytes, bool good)
{
    CHECK(!sent->done, "a write completed twice");
    CHECK(bytes <= sent->length, "%zu of %zu bytes were sent", bytes, sent->length);
    sent->done = true;
    sent->bytes = bytes;
    sent->good = good;
    flow->pending--;
    if (flow->datagrams) {
        CHECK(good || !sent->received, "flow %u: datagram %u arrived, which was not sent", flow->id, sent->id);
        flow->sent_total += good;
        trim_datagrams(flow);
        return;
    }
    flow->sent_total += bytes;
    if (is_uncounted(flow, sent))
        flow->uncounted = true;
    compare(flow);
    check_eof(flow);
}

void flow_received(struct flow *flow, const unsigned char *data, size_t length)
{
    size_t in_flight = 0;

    if (flow->count + length > flow->room) {
        flow->room = (flow->count + length) * 2;
        flow->bytes = realloc(flow->bytes, flow->room);
        CHECK(flow->bytes != NULL, "no memory for the test");
    }
    memcpy(flow->bytes + flow->count, data, length);
    flow->count += length;
    flow->received_total += length;
    compare(flow);
    if (flow->count == 0)
        return;
    for (struct sent *sent = flow->first; sent != NULL; sent = sent->next)
        in_flight += sent->done ? sent->bytes - sent->checked : sent->length - sent->checked;
    CHECK(flow->count <= in_flight, "flow %u: %zu bytes arrived that nobody sent", flow->id, flow->count - in_flight);
}

bool flow_received_datagram(struct flow *flow, const unsigned char *data, size_t length, size_t room, bool truncated,
                            int channel)
{
    struct sent *sent = flow->first;
    uint32_t id;

    CHECK(length <= room, "%zu bytes in %zu", length, room);
    CHECK(length >= DATAGRAM_HEADER, "flow %u: a datagram of %zu bytes", flow->id, length);
    id = get32(data);
    if (flow->lossy && get32(data + 4) != flow->id)
        return false; /* for another socket, which had the port before */
    while (sent != NULL && sent->id != id)
        sent = sent->next;
    if (sent == NULL) {
        CHECK(flow->lossy && flow->first != NULL && id < flow->first->id,
              "flow %u: datagram %u was not sent, or before", flow->id, id);
        return true;
    }
    CHECK(!sent->received, "flow %u: datagram %u arrived twice", flow->id, id);
    CHECK(!sent->done || sent->good, "flow %u: datagram %u arrived, which was not sent", flow->id, id);
    CHECK(flow->lossy || id > flow->last_id[channel], "flow %u: datagram %u after %u", flow->id, id,
          flow->last_id[channel]);
    CHECK(truncated ? length == room && room < sent->length : length == sent->length,
          "flow %u: %zu of %zu bytes, room %zu, truncated %d", flow->id, length, sent->length, room, truncated);
    for (size_t i = DATAGRAM_HEADER; i < length; i++)
        CHECK(data[i] == byte_at(flow, id, i), "flow %u: byte %zu of datagram %u is wrong", flow->id, i, id);
    flow->last_id[channel] = id;
    flow->received_total++;
    sent->received = true;
    trim_datagrams(flow);
    return true;
}

void flow_eof(struct flow *flow)
{
    CHECK(flow->ended || flow->closed, "flow %u ended, but its sender did not end it", flow->id);
    flow->eof_seen = true;
    check_eof(flow);
}

void flow_check_settled(const struct flow *flow)
{
    if (!flow->immediate || flow->lossy || flow->torn || flow->uncounted || flow->pending > 0 || flow->reader_gone)
        return;
    CHECK(flow->received_total == flow->sent_total, "flow %u: %llu were sent and %llu received, and none is on its way",
          flow->id, (unsigned long long)flow->sent_total, (unsigned long long)flow->received_total);
}
