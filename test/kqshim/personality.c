/* Where the emulated systems differ: the column of the system this build is for. */
#include "internal.h"

#include <errno.h>

#if defined(KQSHIM_MACOS)

const struct kqshim_personality kqshim_personality = {
    .close_on_exec = true,
    .timespec_first = true,
    .error_keeps_flags = true,
    .receipt_without_room = true,
    .flags_repeated = true,
    .enable_overwrites = true,
    .enable_rechecks = true,
    .oneshot_rechecked = true,
    .disable_wins = true,
    .user_overwrites = true,
    .user_add_triggers = true,
    .pipe_low_water = true,
    .fifo_reader_eof = true,
    .directory_read_refused = true,
    .devices_refused = true,
    .track_refused = true,
    .final_unlink = NOTE_DELETE | NOTE_LINK,
    .growing_write = NOTE_WRITE,
    .shrinking = NOTE_ATTRIB,
};

#elif defined(KQSHIM_FREEBSD)

const struct kqshim_personality kqshim_personality = {
    .zero_filter_skipped = true,
    .enable_overwrites = true,
    .enable_rechecks = true,
    .both_refused = true,
    .user_overwrites = true,
    .user_clear_cancels = true,
    .dead_pipe_error = EPIPE,
    .fifo_wrong_end_silent = true,
    .fifo_eof = true,
    .fifo_reader_eof = true,
    .zombie_accepted = true,
    .exit_status_always = true,
    .final_unlink = NOTE_DELETE,
    .growing_write = NOTE_WRITE | NOTE_EXTEND,
    .shrinking = NOTE_ATTRIB,
};

#elif defined(KQSHIM_NETBSD9)

const struct kqshim_personality kqshim_personality = {
    .flags_repeated = true,
    .clear_beats_dispatch = true,
    .dead_pipe_error = EBADF,
    .fifo_wrong_end_silent = true,
    .fifo_eof = true,
    .file_write_refused = true,
    .exit_unasked = true,
    .exit_status_always = true,
    .final_unlink = NOTE_DELETE,
    .growing_write = NOTE_WRITE | NOTE_EXTEND,
};

#elif defined(KQSHIM_NETBSD)

const struct kqshim_personality kqshim_personality = {
    .flags_repeated = true,
    .enable_overwrites = true,
    .enable_rechecks = true,
    .clear_beats_dispatch = true,
    .user_overwrites = true,
    .user_clear_cancels = true,
    .dead_pipe_error = EBADF,
    .fifo_wrong_end_silent = true,
    .fifo_eof = true,
    .file_write_refused = true,
    .exit_unasked = true,
    .exit_status_always = true,
    .final_unlink = NOTE_DELETE,
    .growing_write = NOTE_WRITE | NOTE_EXTEND,
};

#else

const struct kqshim_personality kqshim_personality = {
    .timespec_first = true,
    .flags_repeated = true,
    .enable_rechecks = true,
    .user_overwrites = true,
    .user_add_triggers = true,
    .user_clear_cancels = true,
    .wrong_end_error = EINVAL,
    .fifo_eof = true,
    .fifo_reader_eof = true,
    .exit_unasked = true,
    .exit_status_always = true,
    .final_unlink = NOTE_DELETE,
    .growing_write = NOTE_WRITE | NOTE_EXTEND,
    .shrinking = NOTE_TRUNCATE,
};

#endif
