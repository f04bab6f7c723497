# Every source file of the library. To add one, add its line to the group it belongs to.

set(loop_core_sources
    src/address.c
    src/alloc.c
    src/async.c
    src/deadline.c
    src/desc.c
    src/dump.c
    src/error.c
    src/handle.c
    src/host.c
    src/loop.c
    src/machport.c
    src/metrics.c
    src/names.c
    src/op.c
    src/phase.c
    src/poll.c
    src/pool.c
    src/run.c
    src/shutdown.c
    src/signal.c
    src/stream.c
    src/task.c
    src/tcp.c
    src/timer.c
    src/timer_heap.c
    src/version.c
    src/work.c
)

set(loop_posix_sources
    src/posix/attempt.c
    src/posix/clock.c
    src/posix/error.c
    src/posix/fd_table.c
    src/posix/io.c
    src/posix/names.c
    src/posix/readiness.c
    src/posix/reattach.c
    src/posix/signal.c
    src/posix/socket.c
    src/posix/sys.c
    src/posix/thread.c
)

set(loop_epoll_sources
    src/epoll/epoll.c
)

set(loop_kqueue_sources
    src/kqueue/kqueue.c
    src/kqueue/machport.c
    src/kqueue/registration.c
)

# Compiled with the tests, linked nowhere: its layout assertions hold before the backend exists.
set(loop_stub_sources
    src/iocp/iocp.c
)
