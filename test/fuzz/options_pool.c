/* Work pools and names. No call is right in everything that would start a thread. */
#include "stage.h"

#include <netdb.h>
#include <string.h>

void try_pool(void)
{
    loop_pool_options_t options = LOOP_POOL_OPTIONS_INIT;
    loop_allocator_t allocator = counted_allocator();
    loop_pool_metrics_t metrics = LOOP_POOL_METRICS_INIT;
    loop_pool_t *pool = (loop_pool_t *)&options;
    bool right = true;
    unsigned lane = take() % 4;
    int rc;

    if (take() % 4 == 0)
        options.size = (size_t)take_number();
    if (take() % 8 == 0)
        allocator.resize = NULL;
    options.allocator = take_bool() ? &allocator : NULL;
    for (int i = 0; i < LOOP_LANE_COUNT; i++) {
        options.lanes[i].threads = (unsigned)take_number();
        options.lanes[i].queue = (unsigned)take_number();
        right = right && options.lanes[i].threads <= 1024;
    }
    right = right && options.size == sizeof(options) && (options.allocator == NULL || allocator.resize != NULL);
    rc = loop_pool_create(&pool, &options);
    REQUIRE(right ? rc == 0 || rc == LOOP_ENOMEM : rc == LOOP_EINVAL);
    REQUIRE((rc == 0) == (pool != NULL));
    if (rc != 0)
        return;
    if (take() % 4 == 0)
        metrics.size = (size_t)take_number();
    right = metrics.size == sizeof(metrics) && lane < LOOP_LANE_COUNT;
    REQUIRE(loop_pool_metrics(pool, (loop_lane)lane, &metrics) == (right ? 0 : LOOP_EINVAL));
    if (right) {
        REQUIRE(metrics.most_threads == (options.lanes[lane].threads != 0 ? options.lanes[lane].threads : 4));
        REQUIRE(metrics.queue_limit == (options.lanes[lane].queue != 0 ? options.lanes[lane].queue : UINT32_MAX));
        REQUIRE(metrics.threads == 0 && metrics.done == 0);
    }
    REQUIRE(loop_pool_destroy(pool) == 0);
}

static void never_work(loop_work_t *work)
{
    (void)work;
    abort();
}

static void never_found(loop_getaddrinfo_t *request, int status, struct addrinfo *list)
{
    (void)request;
    (void)status;
    (void)list;
    abort();
}

static void never_named(loop_getnameinfo_t *request, int status, const char *host, const char *service)
{
    (void)request;
    (void)status;
    (void)host;
    (void)service;
    abort();
}

/* Requests with something wrong in them. */
void try_requests(void)
{
    static char name[1100];
    loop_work_t work;
    loop_getaddrinfo_t find;
    loop_getnameinfo_t tell;
    struct sockaddr_storage addr = take_address();
    bool is_ip = addr.ss_family == AF_INET || addr.ss_family == AF_INET6;
    unsigned lane = LOOP_LANE_COUNT + (unsigned)take_number() % 1000;
    size_t length = take_bool() ? 1025 : 32;

    memset(&work, 0, sizeof(work));
    memset(&find, 0, sizeof(find));
    memset(&tell, 0, sizeof(tell));
    memset(name, 'a', length);
    name[length] = '\0';
    REQUIRE(loop_work(loop, &work, (loop_lane)lane, never_work, NULL) == LOOP_EINVAL);
    REQUIRE(loop_work(loop, &work, LOOP_LANE_DEFAULT, NULL, NULL) == LOOP_EINVAL);
    REQUIRE(loop_work_cancel(&work) == LOOP_ENOENT);
    REQUIRE(loop_getaddrinfo(loop, &find, NULL, NULL, NULL, never_found) == LOOP_EINVAL);
    REQUIRE(loop_getaddrinfo(loop, &find, "::1", NULL, NULL, NULL) == LOOP_EINVAL);
    REQUIRE(loop_getaddrinfo(loop, &find, length > 1024 ? name : NULL, length > 1024 ? NULL : name, NULL,
                             never_found) == LOOP_EINVAL);
    REQUIRE(loop_getnameinfo(loop, &tell, (struct sockaddr *)&addr, (int)take_number(), NULL) == LOOP_EINVAL);
    REQUIRE(loop_getnameinfo(loop, &tell, NULL, (int)take_number(), never_named) == LOOP_EINVAL);
    if (!is_ip)
        REQUIRE(loop_getnameinfo(loop, &tell, (struct sockaddr *)&addr, 0, never_named) == LOOP_EAFNOSUPPORT);
    REQUIRE(loop_get_pool(loop) == NULL);
}
