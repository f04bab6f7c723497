#include "http_parser.h"

#include <ctype.h>
#include <stdint.h>
#include <string.h>

bool http_is(const char *text, size_t length, const char *word)
{
    return strlen(word) == length && memcmp(text, word, length) == 0;
}

static bool is_word(const char *text, size_t length, const char *word)
{
    if (strlen(word) != length)
        return false;
    for (size_t i = 0; i < length; i++) {
        if (tolower((unsigned char)text[i]) != tolower((unsigned char)word[i]))
            return false;
    }
    return true;
}

/* Whether a comma-separated list holds the word. */
static bool lists(const char *text, size_t length, const char *word)
{
    const char *end = text + length;

    while (text < end) {
        const char *comma = memchr(text, ',', (size_t)(end - text));
        const char *stop = comma != NULL ? comma : end;
        const char *first = text;
        const char *last = stop;

        while (first < last && (*first == ' ' || *first == '\t'))
            first++;
        while (last > first && (last[-1] == ' ' || last[-1] == '\t'))
            last--;
        if (is_word(first, (size_t)(last - first), word))
            return true;
        text = stop < end ? stop + 1 : end;
    }
    return false;
}

static bool parse_length(const char *text, size_t length, size_t *value)
{
    size_t result = 0;

    if (length == 0 || length > 18)
        return false;
    for (size_t i = 0; i < length; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        result = result * 10 + (size_t)(text[i] - '0');
    }
    *value = result;
    return true;
}

static bool parse_request_line(const char *line, size_t length, struct http_request *request)
{
    const char *end = line + length;
    const char *space = memchr(line, ' ', length);
    const char *target;
    const char *version;

    if (space == NULL || space == line)
        return false;
    for (const char *p = line; p < space; p++) {
        if (!isalpha((unsigned char)*p))
            return false;
    }
    request->method = line;
    request->method_length = (size_t)(space - line);
    target = space + 1;
    space = memchr(target, ' ', (size_t)(end - target));
    if (space == NULL || space == target || *target != '/')
        return false;
    request->target = target;
    request->target_length = (size_t)(space - target);
    for (const char *p = target; p < space; p++) {
        if ((unsigned char)*p <= ' ' || *p == 0x7f)
            return false;
    }
    version = space + 1;
    if (http_is(version, (size_t)(end - version), "HTTP/1.1"))
        request->keep_alive = true;
    else if (!http_is(version, (size_t)(end - version), "HTTP/1.0"))
        return false;
    return true;
}

/* A token: so no blanks either, which a line has at its beginning if it continues the one before, as is not allowed any more. */
static bool is_field_name(const char *name, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (!isalnum((unsigned char)name[i]) && (name[i] == '\0' || strchr("!#$%&'*+-.^_`|~", name[i]) == NULL))
            return false;
    }
    return length > 0;
}

static bool is_field_value(const char *value, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (((unsigned char)value[i] < ' ' && value[i] != '\t') || value[i] == 0x7f)
            return false;
    }
    return true;
}

/* A second length must be the same: whoever is in front of us may have gone by the other one. */
static bool take_length(const char *text, size_t length, struct http_request *request)
{
    size_t before = request->body_length;

    if (!parse_length(text, length, &request->body_length))
        return false;
    if (request->has_length && before != request->body_length)
        return false;
    request->has_length = true;
    return true;
}

static bool parse_field(const char *line, size_t length, struct http_request *request)
{
    const char *end = line + length;
    const char *colon = memchr(line, ':', length);
    const char *value;
    size_t name_length;
    size_t value_length;

    if (colon == NULL || !is_field_name(line, (size_t)(colon - line)))
        return false;
    if (!is_field_value(colon + 1, (size_t)(end - (colon + 1))))
        return false;
    name_length = (size_t)(colon - line);
    value = colon + 1;
    while (value < end && (*value == ' ' || *value == '\t'))
        value++;
    while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    value_length = (size_t)(end - value);
    if (is_word(line, name_length, "connection")) {
        if (lists(value, value_length, "close"))
            request->keep_alive = false;
        else if (lists(value, value_length, "keep-alive"))
            request->keep_alive = true;
    } else if (is_word(line, name_length, "content-length")) {
        return take_length(value, value_length, request);
    } else if (is_word(line, name_length, "transfer-encoding")) {
        request->chunked = true;
    }
    return true;
}

enum http_result http_parse(const char *buffer, size_t length, struct http_request *request)
{
    const char *end = buffer + length;
    const char *line = buffer;
    bool first = true;

    memset(request, 0, sizeof(*request));
    for (;;) {
        const char *newline = memchr(line, '\n', (size_t)(end - line));
        size_t line_length;

        if (newline == NULL)
            return HTTP_INCOMPLETE;
        line_length = (size_t)(newline - line);
        if (line_length == 0 || line[line_length - 1] != '\r')
            return HTTP_MALFORMED;
        line_length--;
        if (first && line_length == 0)
            return HTTP_MALFORMED;
        if (line_length == 0) {
            request->head_length = (size_t)(newline + 1 - buffer);
            return HTTP_COMPLETE;
        }
        if (!(first ? parse_request_line(line, line_length, request) : parse_field(line, line_length, request)))
            return HTTP_MALFORMED;
        first = false;
        line = newline + 1;
    }
}

unsigned long http_query(const struct http_request *request, const char *name, unsigned long fallback)
{
    const char *end = request->target + request->target_length;
    const char *p = memchr(request->target, '?', request->target_length);
    size_t name_length = strlen(name);

    while (p != NULL) {
        p++;
        if ((size_t)(end - p) > name_length && memcmp(p, name, name_length) == 0 && p[name_length] == '=') {
            unsigned long value = 0;

            for (p += name_length + 1; p < end && *p >= '0' && *p <= '9' && value < 1UL << 31; p++)
                value = value * 10 + (unsigned long)(*p - '0');
            return value;
        }
        p = memchr(p, '&', (size_t)(end - p));
    }
    return fallback;
}
