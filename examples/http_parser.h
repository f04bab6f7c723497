/*
 * The head of an HTTP/1.x request (RFC 9112): request line and header fields. Knows nothing of sockets; works on a buffer
 * that is shown to it again when it has grown.
 */
#ifndef EXAMPLES_HTTP_PARSER_H
#define EXAMPLES_HTTP_PARSER_H

#include <stdbool.h>
#include <stddef.h>

enum http_result {
    HTTP_INCOMPLETE = 0, /* more bytes are needed */
    HTTP_COMPLETE = 1,   /* request is filled in */
    HTTP_MALFORMED = -1
};

struct http_request {
    const char *method; /* pointers into the buffer, not terminated */
    size_t method_length;
    const char *target; /* path and query */
    size_t target_length;
    bool keep_alive;
    bool chunked;       /* a body of unknown length follows */
    bool has_length;    /* a length was given */
    size_t body_length; /* of the body that follows the head */
    size_t head_length; /* bytes of the buffer that the head takes */
};

/* Parses the head at the start of the buffer. */
enum http_result http_parse(const char *buffer, size_t length, struct http_request *request);

/* Whether text of that length is the given word. */
bool http_is(const char *text, size_t length, const char *word);

/* The decimal number after "name=" in the query of a target, or fallback. */
unsigned long http_query(const struct http_request *request, const char *name, unsigned long fallback);

#endif
