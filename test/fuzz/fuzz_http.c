/*
 * The parser of the HTTP example. What it calls complete must be a request of RFC 9112 as this file understands it; what it says
 * of the beginning of a head must not change with what follows.
 */
#include "fuzz.h"

#include "http_parser.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

static bool is_token_char(unsigned char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c != 0 && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static bool is_value_char(unsigned char c)
{
    return c == '\t' || (c >= ' ' && c != 0x7f);
}

static bool same(const struct http_request *a, const struct http_request *b, ptrdiff_t distance)
{
    return a->method - b->method == distance && a->method_length == b->method_length &&
           a->target - b->target == distance && a->target_length == b->target_length &&
           a->keep_alive == b->keep_alive && a->chunked == b->chunked && a->body_length == b->body_length &&
           a->head_length == b->head_length;
}

/* In memory of its own, so that a sanitizer sees reads past its end. */
static enum http_result parse_copy(const char *text, size_t length, struct http_request *request, ptrdiff_t *distance)
{
    char *copy = malloc(length > 0 ? length : 1);
    enum http_result result;

    REQUIRE(copy != NULL);
    if (length > 0)
        memcpy(copy, text, length);
    result = http_parse(copy, length, request);
    *distance = copy - text;
    if (result == HTTP_COMPLETE) {
        REQUIRE(http_query(request, "n", 7) < 1UL << 35);
        REQUIRE(http_query(request, "", 7) < 1UL << 35);
    }
    free(copy);
    return result;
}

/* One field line without its end. */
static void check_field(const char *line, size_t length, const struct http_request *request, bool *has_length)
{
    const char *colon = memchr(line, ':', length);
    size_t name_length;

    REQUIRE(colon != NULL && colon != line);
    name_length = (size_t)(colon - line);
    for (size_t i = 0; i < length; i++)
        REQUIRE(i == name_length ||
                (i < name_length ? is_token_char((unsigned char)line[i]) : is_value_char((unsigned char)line[i])));
    if (name_length == 14 && strncasecmp(line, "content-length", 14) == 0) {
        unsigned long long value = 0;
        size_t i = name_length + 1;

        while (i < length && (line[i] == ' ' || line[i] == '\t'))
            i++;
        REQUIRE(i < length && line[i] >= '0' && line[i] <= '9');
        for (; i < length && line[i] >= '0' && line[i] <= '9'; i++)
            value = value * 10 + (unsigned)(line[i] - '0');
        while (i < length && (line[i] == ' ' || line[i] == '\t'))
            i++;
        REQUIRE(i == length);
        REQUIRE(value == request->body_length);
        *has_length = true;
    } else if (name_length == 17 && strncasecmp(line, "transfer-encoding", 17) == 0) {
        REQUIRE(request->chunked);
    }
}

static void check_complete(const char *text, size_t length, const struct http_request *request)
{
    const char *line = memchr(text, '\n', length);
    const char *end = text + request->head_length;
    bool has_length = false;

    REQUIRE(request->head_length <= length && request->head_length >= 4);
    REQUIRE(memcmp(end - 4, "\r\n\r\n", 4) == 0);
    REQUIRE(request->method == text && request->method_length > 0);
    REQUIRE(request->target == text + request->method_length + 1 && request->target_length > 0);
    REQUIRE(request->target + request->target_length < end);
    for (size_t i = 0; i < request->target_length; i++)
        REQUIRE((unsigned char)request->target[i] > ' ' && request->target[i] != 0x7f);
    for (line++; line < end - 2;) {
        const char *next = memchr(line, '\n', (size_t)(end - line));

        REQUIRE(next != NULL && next[-1] == '\r');
        check_field(line, (size_t)(next - 1 - line), request, &has_length);
        line = next + 1;
    }
    REQUIRE(has_length || request->body_length == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    struct http_request whole;
    struct http_request part;
    ptrdiff_t distance = 0;
    ptrdiff_t other = 0;
    enum http_result result = parse_copy(text, size, &whole, &distance);
    size_t cut = size > 0 ? data[size - 1] * size / 256 : 0;

    REQUIRE(result == HTTP_INCOMPLETE || result == HTTP_COMPLETE || result == HTTP_MALFORMED);
    if (result == HTTP_COMPLETE) {
        struct http_request here;

        REQUIRE(http_parse(text, size, &here) == HTTP_COMPLETE);
        check_complete(text, size, &here);
        REQUIRE(same(&whole, &here, distance));
        REQUIRE(parse_copy(text, here.head_length, &part, &other) == HTTP_COMPLETE);
        REQUIRE(same(&part, &here, other));
        REQUIRE(parse_copy(text, here.head_length - 1, &part, &other) == HTTP_INCOMPLETE);
    }
    switch (parse_copy(text, cut, &part, &other)) {
    case HTTP_INCOMPLETE:
        break;
    case HTTP_COMPLETE:
        REQUIRE(result == HTTP_COMPLETE && part.head_length == whole.head_length);
        break;
    case HTTP_MALFORMED:
        REQUIRE(result == HTTP_MALFORMED);
        break;
    }
    return 0;
}
