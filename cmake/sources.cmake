# Every source file of the library. To add one, add its line to the group it belongs to.

set(loop_core_sources
    src/address.c
    src/alloc.c
    src/async.c
    src/deadline.c
    src/desc.c
    src/dump.c
    src/error.c
    src/fd_table.c
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

# Those of the core that make the calls of every packet (src/transfer.h), and so see the system's headers.
set(loop_transfer_sources
    src/op.c
    src/stream.c
    src/tcp.c
)

set(loop_posix_sources
    src/posix/attempt.c
    src/posix/clock.c
    src/posix/error.c
    src/posix/forks.c
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
    src/epoll/slots.c
)

set(loop_kqueue_sources
    src/kqueue/changes.c
    src/kqueue/kqueue.c
    src/kqueue/machport.c
    src/kqueue/registration.c
)

set(loop_iocp_sources
    src/iocp/afd.c
    src/iocp/clock.c
    src/iocp/error.c
    src/iocp/fine_timer.c
    src/iocp/iocp.c
    src/iocp/names.c
    src/iocp/operation.c
    src/iocp/poll_thread.c
    src/iocp/signal.c
    src/iocp/socket.c
    src/iocp/start.c
    src/iocp/sys.c
    src/iocp/thread.c
    src/iocp/trigger.c
    src/iocp/wait.c
)
