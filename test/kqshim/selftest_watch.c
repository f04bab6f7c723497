/* Self-test of the kqueue emulation: EVFILT_VNODE and EVFILT_PROC. */
#include "selftest.h"

#include <stdlib.h>

/* Files */

#define NOTES (NOTE_DELETE | NOTE_WRITE | NOTE_EXTEND | NOTE_ATTRIB | NOTE_LINK | NOTE_RENAME)

static char directory[16];
static int home = -1; /* descriptor of the directory */

static void enter(void)
{
    (void)snprintf(directory, sizeof(directory), "kqshim_XXXXXX");
    assert_non_null(mkdtemp(directory));
    home = open(directory, O_RDONLY | O_CLOEXEC);
    assert_true(home >= 0);
    open_kq();
}

static void leave(void)
{
    static const char *const names[] = {"file", "other"};

    for (int i = 0; i < 2; i++) {
        (void)unlinkat(home, names[i], 0);
        (void)unlinkat(home, names[i], AT_REMOVEDIR);
    }
    assert_int_equal(close(home), 0);
    (void)rmdir(directory);
    close_kq();
}

static int create(const char *name, const char *text)
{
    int fd = openat(home, name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    put(fd, text);
    return fd;
}

static void watch(int fd)
{
    assert_int_equal(change_all(fd, EVFILT_VNODE, EV_ADD | EV_CLEAR, NOTES, 0, 0), 0);
    assert_none();
}

/* The notes of the next event, which is of this descriptor. */
static unsigned notes(int fd)
{
    assert_one(fd, EVFILT_VNODE);
    return events[0].fflags;
}

#define assert_noted(fd, note) assert_true((notes(fd) & (note)) != 0)

static void a_write_is_noted(void **state)
{
    int fd;

    (void)state;
    enter();
    fd = create("file", "abc");
    watch(fd);
    assert_int_equal(pwrite(fd, "x", 1, 0), 1);
    assert_noted(fd, NOTE_WRITE);
    assert_none();
    put(fd, "def");
    assert_noted(fd, NOTE_WRITE);
    assert_int_equal(close(fd), 0);
    leave();
}

static void notes_gather_until_collected(void **state)
{
    int fd;
    unsigned seen;

    (void)state;
    enter();
    fd = create("file", "abc");
    watch(fd);
    put(fd, "def");
    assert_int_equal(fchmod(fd, 0640), 0);
    assert_int_equal(renameat(home, "file", home, "other"), 0);
    seen = notes(fd);
    assert_int_equal(seen & (NOTE_WRITE | NOTE_ATTRIB | NOTE_RENAME), NOTE_WRITE | NOTE_ATTRIB | NOTE_RENAME);
    assert_none();
    assert_int_equal(close(fd), 0);
    leave();
}

static void only_what_was_asked_for(void **state)
{
    int fd;

    (void)state;
    enter();
    fd = create("file", "abc");
    assert_int_equal(change_all(fd, EVFILT_VNODE, EV_ADD | EV_CLEAR, NOTE_DELETE, 0, 0), 0);
    put(fd, "def");
    assert_int_equal(fchmod(fd, 0640), 0);
    assert_none();
    assert_int_equal(unlinkat(home, "file", 0), 0);
    assert_int_equal(notes(fd), NOTE_DELETE);
    assert_int_equal(close(fd), 0);
    leave();
}

static void chmod_is_noted(void **state)
{
    int fd;

    (void)state;
    enter();
    fd = create("file", "abc");
    watch(fd);
    assert_int_equal(fchmod(fd, 0640), 0);
    assert_int_equal(notes(fd), NOTE_ATTRIB);
    assert_int_equal(close(fd), 0);
    leave();
}

static void rename_and_unlink_are_noted(void **state)
{
    int fd;

    (void)state;
    enter();
    fd = create("file", "abc");
    watch(fd);
    assert_int_equal(renameat(home, "file", home, "other"), 0);
    assert_noted(fd, NOTE_RENAME);
    assert_int_equal(unlinkat(home, "other", 0), 0);
    assert_noted(fd, NOTE_DELETE);
    assert_int_equal(close(fd), 0);
    leave();
}

static void a_second_name_is_noted(void **state)
{
    int fd;

    (void)state;
    enter();
    fd = create("file", "abc");
    watch(fd);
    assert_int_equal(linkat(home, "file", home, "other", 0), 0);
    assert_noted(fd, NOTE_LINK);
    assert_int_equal(close(fd), 0);
    leave();
}

/* The watch follows the inode, which loses its name. */
static void rename_over_is_noted_as_delete(void **state)
{
    int fd;
    int other;

    (void)state;
    enter();
    fd = create("file", "abc");
    other = create("other", "def");
    watch(fd);
    assert_int_equal(renameat(home, "other", home, "file"), 0);
    assert_noted(fd, NOTE_DELETE);
    put(other, "ghi");
    assert_none();
    assert_int_equal(close(other), 0);
    assert_int_equal(close(fd), 0);
    leave();
}

static void two_descriptors_of_one_file(void **state)
{
    int fd;
    int twin;

    (void)state;
    enter();
    fd = create("file", "abc");
    twin = openat(home, "file", O_RDONLY | O_CLOEXEC);
    watch(fd);
    watch(twin);
    put(fd, "def");
    assert_int_equal(collect(16, SOON), 2);
    assert_int_equal(close(twin), 0);
    put(fd, "ghi");
    assert_noted(fd, NOTE_WRITE);
    assert_int_equal(close(fd), 0);
    leave();
}

static void entries_of_a_directory(void **state)
{
    int fd;

    (void)state;
    enter();
    watch(home);
    fd = create("file", "abc");
    assert_noted(home, NOTE_WRITE);
    put(fd, "def");
    assert_int_equal(fchmod(fd, 0640), 0);
    assert_none(); /* these are the file's */
    assert_int_equal(close(fd), 0);
    assert_int_equal(renameat(home, "file", home, "other"), 0);
    assert_noted(home, NOTE_WRITE);
    assert_int_equal(unlinkat(home, "other", 0), 0);
    assert_noted(home, NOTE_WRITE);
    leave();
}

static void subdirectories_of_a_directory(void **state)
{
    (void)state;
    enter();
    watch(home);
    assert_int_equal(mkdirat(home, "file", 0700), 0);
    assert_int_equal(notes(home) & (NOTE_WRITE | NOTE_LINK), NOTE_WRITE | NOTE_LINK);
    assert_int_equal(unlinkat(home, "file", AT_REMOVEDIR), 0);
    assert_int_equal(notes(home) & (NOTE_WRITE | NOTE_LINK), NOTE_WRITE | NOTE_LINK);
    leave();
}

static void a_removed_directory_is_noted(void **state)
{
    (void)state;
    enter();
    watch(home);
    assert_int_equal(rmdir(directory), 0);
    assert_noted(home, NOTE_DELETE);
    leave();
}

static void a_closed_file_is_not_watched(void **state)
{
    int fd;
    int twin;

    (void)state;
    enter();
    fd = create("file", "abc");
    twin = dup(fd);
    watch(fd);
    assert_int_equal(close(fd), 0);
    put(twin, "def");
    assert_none();
    assert_int_equal(close(twin), 0);
    leave();
}

static void pipes_and_sockets_are_no_files(void **state)
{
    int pair[2];

    (void)state;
    open_kq();
    assert_int_equal(pipe(pair), 0);
    assert_int_equal(change_all(pair[0], EVFILT_VNODE, EV_ADD, NOTE_WRITE, 0, 0), EINVAL);
    assert_int_equal(close(pair[0]), 0);
    assert_int_equal(close(pair[1]), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    assert_int_equal(change_all(pair[0], EVFILT_VNODE, EV_ADD, NOTE_WRITE, 0, 0), EINVAL);
    assert_int_equal(close(pair[0]), 0);
    assert_int_equal(close(pair[1]), 0);
    close_kq();
}

static void a_file_is_readable_up_to_its_end(void **state)
{
    int fd;

    (void)state;
    enter();
    fd = create("file", "abc");
    assert_int_equal(lseek(fd, 1, SEEK_SET), 1);
    assert_int_equal(change(fd, EVFILT_READ, EV_ADD), 0);
    assert_one(fd, EVFILT_READ);
    assert_int_equal(events[0].data, 2);
    assert_int_equal(lseek(fd, 3, SEEK_SET), 3);
    assert_none();
    assert_int_equal(close(fd), 0);
    leave();
}

/* Processes */

#if defined(NOTE_EXITSTATUS)
#define EXIT_NOTES (NOTE_EXIT | NOTE_EXITSTATUS)
#else
#define EXIT_NOTES NOTE_EXIT
#endif

static int gate[2]; /* the child ends when its writing end is closed */

static pid_t start(int status)
{
    pid_t child;

    assert_int_equal(pipe(gate), 0);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        char byte;

        (void)close(gate[1]);
        (void)!read(gate[0], &byte, 1);
        _exit(status);
    }
    assert_int_equal(close(gate[0]), 0);
    return child;
}

static void let_go(void)
{
    assert_int_equal(close(gate[1]), 0);
}

static int await(pid_t child)
{
    int status = -1;

    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static int watch_exit(pid_t child)
{
    return change_all(child, EVFILT_PROC, EV_ADD, EXIT_NOTES, 0, 0);
}

static void exit_is_reported_with_its_status(void **state)
{
    pid_t child;

    (void)state;
    open_kq();
    child = start(7);
    assert_int_equal(watch_exit(child), 0);
    assert_none();
    let_go();
    assert_one(child, EVFILT_PROC);
    assert_true((events[0].fflags & NOTE_EXIT) != 0);
    assert_true(eof(&events[0]));
    assert_int_equal(events[0].data & 0xffff, 7 << 8);
    assert_none();
    assert_int_equal(change(child, EVFILT_PROC, EV_DELETE), ENOENT);
    assert_int_equal(await(child), 7 << 8);
    close_kq();
}

static void death_by_a_signal_is_reported(void **state)
{
    pid_t child;
    int status;

    (void)state;
    open_kq();
    child = start(0);
    assert_int_equal(watch_exit(child), 0);
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_one(child, EVFILT_PROC);
    assert_int_equal(events[0].data & 0x7f, SIGKILL);
    status = await(child);
    assert_true(WIFSIGNALED(status));
    let_go();
    close_kq();
}

static void a_reaped_exit_is_still_reported(void **state)
{
    pid_t child;

    (void)state;
    open_kq();
    child = start(7);
    assert_int_equal(watch_exit(child), 0);
    let_go();
    assert_int_equal(await(child), 7 << 8);
    assert_one(child, EVFILT_PROC);
    assert_true((events[0].fflags & NOTE_EXIT) != 0);
    close_kq();
}

static void a_reaped_process_is_none(void **state)
{
    pid_t child;

    (void)state;
    open_kq();
    child = start(0);
    let_go();
    (void)await(child);
    assert_int_equal(watch_exit(child), ESRCH);
    close_kq();
}

static void an_exited_child_is_none_except_on_freebsd(void **state)
{
    siginfo_t info;
    pid_t child;

    (void)state;
    open_kq();
    child = start(7);
    let_go();
    assert_int_equal(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT), 0);
#if defined(ON_FREEBSD)
    assert_int_equal(watch_exit(child), 0);
    assert_one(child, EVFILT_PROC);
    assert_int_equal(events[0].data & 0xffff, 7 << 8);
#else
    assert_int_equal(watch_exit(child), ESRCH);
#endif
    (void)await(child);
    close_kq();
}

static void a_deleted_process_is_quiet(void **state)
{
    pid_t child;

    (void)state;
    open_kq();
    child = start(0);
    assert_int_equal(watch_exit(child), 0);
    assert_int_equal(change(child, EVFILT_PROC, EV_DELETE), 0);
    let_go();
    (void)await(child);
    assert_none();
    close_kq();
}

LOOP_TEST_MAIN(TEST(a_write_is_noted), TEST(notes_gather_until_collected), TEST(only_what_was_asked_for),
               TEST(chmod_is_noted), TEST(rename_and_unlink_are_noted), TEST(a_second_name_is_noted),
               TEST(rename_over_is_noted_as_delete), TEST(two_descriptors_of_one_file), TEST(entries_of_a_directory),
               TEST(subdirectories_of_a_directory), TEST(a_removed_directory_is_noted),
               TEST(a_closed_file_is_not_watched), TEST(pipes_and_sockets_are_no_files),
               TEST(a_file_is_readable_up_to_its_end), TEST(exit_is_reported_with_its_status),
               TEST(death_by_a_signal_is_reported), TEST(a_reaped_exit_is_still_reported),
               TEST(a_reaped_process_is_none), TEST(an_exited_child_is_none_except_on_freebsd),
               TEST(a_deleted_process_is_quiet))
