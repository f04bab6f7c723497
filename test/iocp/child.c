#include "child.h"

#define PATIENCE 60000 /* ms */

static HANDLE new_job(void)
{
    JOBOBJECT_EXTENDED_LIMIT_INFORMATION limits = {0};
    HANDLE job = CreateJobObjectW(NULL, NULL);

    assert_non_null(job);
    limits.BasicLimitInformation.LimitFlags = JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE;
    assert_true(SetInformationJobObject(job, JobObjectExtendedLimitInformation, &limits, sizeof(limits)));
    return job;
}

void child_start(struct child *child, const char *argument, DWORD flags)
{
    SECURITY_ATTRIBUTES inherited = {sizeof(inherited), NULL, TRUE};
    STARTUPINFOW startup = {.cb = sizeof(startup)};
    PROCESS_INFORMATION made;
    wchar_t program[MAX_PATH + 1];
    wchar_t command[MAX_PATH + 64];
    DWORD length = GetModuleFileNameW(NULL, program, MAX_PATH + 1);

    assert_true(length > 0 && length <= MAX_PATH);
    child->stop = CreateEventW(&inherited, TRUE, FALSE, NULL);
    assert_non_null(child->stop);
    (void)swprintf(command, sizeof(command) / sizeof(command[0]), L"\"%ls\" %hs %llu", program, argument,
                   (unsigned long long)(uintptr_t)child->stop);
    child->job = new_job();
    assert_true(
        CreateProcessW(program, command, NULL, NULL, TRUE, flags | CREATE_SUSPENDED, NULL, NULL, &startup, &made));
    assert_true(AssignProcessToJobObject(child->job, made.hProcess));
    assert_int_equal(ResumeThread(made.hThread), 1);
    assert_true(CloseHandle(made.hThread));
    child->process = made.hProcess;
}

DWORD child_status(const struct child *child)
{
    DWORD status = 0;

    assert_int_equal(WaitForSingleObject(child->process, PATIENCE), WAIT_OBJECT_0);
    assert_true(GetExitCodeProcess(child->process, &status));
    return status;
}

void child_close(struct child *child)
{
    assert_true(CloseHandle(child->job));
    assert_true(CloseHandle(child->process));
    assert_true(CloseHandle(child->stop));
}

bool child_is(const char *argument, int argc, char **argv)
{
    return argc == 3 && strcmp(argv[1], argument) == 0;
}

void child_await_stop(char **argv)
{
    (void)WaitForSingleObject((HANDLE)(uintptr_t)strtoull(argv[2], NULL, 10), PATIENCE);
}
