/* What harness.h has once per platform, for Windows. */
#include "harness.h"

#include <winsock2.h>

#include <windows.h>
#include <winternl.h>

#include <fcntl.h>
#include <io.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

/* ------------------------------------------------------------------------------------------------------------ crashes -- */

#define CRASHED 99

/* That of the tests: where cmocka survives a crash, which on any other thread it would take for one of its own. */
static DWORD test_thread;

static bool is_crash(DWORD code)
{
    switch (code) {
    case EXCEPTION_ACCESS_VIOLATION:
    case EXCEPTION_ARRAY_BOUNDS_EXCEEDED:
    case EXCEPTION_DATATYPE_MISALIGNMENT:
    case EXCEPTION_ILLEGAL_INSTRUCTION:
    case EXCEPTION_INT_DIVIDE_BY_ZERO:
    case EXCEPTION_IN_PAGE_ERROR:
    case EXCEPTION_NONCONTINUABLE_EXCEPTION:
    case EXCEPTION_PRIV_INSTRUCTION:
    case EXCEPTION_STACK_OVERFLOW:
        return true;
    default:
        return false;
    }
}

#if defined(__aarch64__) || defined(_M_ARM64)
#define PROGRAM_COUNTER Pc
#else
#define PROGRAM_COUNTER Rip
#endif

/* Addresses for addr2line -f -e PROGRAM; no buffer of stdio, as its lock may be held. */
static void print_stack(const EXCEPTION_POINTERS *exception)
{
    CONTEXT context = *exception->ContextRecord;
    char line[128];

    (void)snprintf(line, sizeof(line), "exception %08lx on thread %lu, program at %p, stack:\n",
                   (unsigned long)exception->ExceptionRecord->ExceptionCode, (unsigned long)GetCurrentThreadId(),
                   (void *)GetModuleHandleW(NULL));
    (void)_write(2, line, (unsigned)strlen(line));
    for (int depth = 0; depth < 32 && context.PROGRAM_COUNTER != 0; depth++) {
        DWORD64 base = 0;
        DWORD64 establisher = 0;
        void *handler_data = NULL;
        RUNTIME_FUNCTION *function = RtlLookupFunctionEntry(context.PROGRAM_COUNTER, &base, NULL);

        (void)snprintf(line, sizeof(line), "  0x%llx\n", (unsigned long long)context.PROGRAM_COUNTER);
        (void)_write(2, line, (unsigned)strlen(line));
        if (function == NULL)
            break;
        (void)RtlVirtualUnwind(UNW_FLAG_NHANDLER, base, context.PROGRAM_COUNTER, function, &context, &handler_data,
                               &establisher, NULL);
    }
}

static LONG CALLBACK on_exception(EXCEPTION_POINTERS *exception)
{
    if (!is_crash(exception->ExceptionRecord->ExceptionCode))
        return EXCEPTION_CONTINUE_SEARCH;
    print_stack(exception);
    if (GetCurrentThreadId() != test_thread)
        (void)TerminateProcess(GetCurrentProcess(), CRASHED);
    return EXCEPTION_CONTINUE_SEARCH;
}

static LONG WINAPI on_unhandled(EXCEPTION_POINTERS *exception)
{
    if (!is_crash(exception->ExceptionRecord->ExceptionCode))
        print_stack(exception);
    (void)TerminateProcess(GetCurrentProcess(), CRASHED);
    return EXCEPTION_EXECUTE_HANDLER;
}

/* ------------------------------------------------------------------------------------------------------------ warm-up -- */

static void *do_nothing(void *argument)
{
    return argument;
}

static void CALLBACK on_wait(void *argument, BOOLEAN timed_out)
{
    (void)argument;
    (void)timed_out;
}

/* Sockets, their extensions, ports and threads open things of the process when they are first used. */
static void warm_up(void)
{
    static WSADATA data; /* until the end of the process */
    struct sockaddr_in addr = {.sin_family = AF_INET};
    int length = sizeof(addr);
    HANDLE port = CreateIoCompletionPort(INVALID_HANDLE_VALUE, NULL, 0, 1);
    HANDLE event = CreateEventW(NULL, TRUE, FALSE, NULL);
    HANDLE wait = NULL;
    pthread_t thread;
    SOCKET listener;
    SOCKET one;
    SOCKET other;

    if (WSAStartup(MAKEWORD(2, 2), &data) != 0)
        exit(2);
    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    listener = socket(AF_INET, SOCK_STREAM, 0);
    one = socket(AF_INET, SOCK_STREAM, 0);
    (void)CreateIoCompletionPort((HANDLE)one, port, 0, 0);
    (void)bind(listener, (struct sockaddr *)&addr, sizeof(addr));
    (void)listen(listener, 1);
    (void)getsockname(listener, (struct sockaddr *)&addr, &length);
    (void)connect(one, (struct sockaddr *)&addr, sizeof(addr));
    other = accept(listener, NULL, NULL);
    (void)closesocket(other);
    (void)closesocket(one);
    (void)closesocket(listener);

    if (event != NULL && RegisterWaitForSingleObject(&wait, event, on_wait, NULL, INFINITE, WT_EXECUTEINWAITTHREAD))
        (void)UnregisterWaitEx(wait, INVALID_HANDLE_VALUE);
    if (pthread_create(&thread, NULL, do_nothing, NULL) == 0)
        (void)pthread_join(thread, NULL);
    if (event != NULL)
        (void)CloseHandle(event);
    if (port != NULL)
        (void)CloseHandle(port);
}

/* ---------------------------------------------------------------------------------------------------------- interface -- */

/* So many numbers in a row that are free: none above is taken. */
#define LONGEST_GAP 128

void harness_begin(void)
{
    if (test_thread != 0)
        return;
    test_thread = GetCurrentThreadId();
    (void)_setmode(1, _O_BINARY);
    (void)_setmode(2, _O_BINARY);
    (void)SetErrorMode(SEM_FAILCRITICALERRORS | SEM_NOGPFAULTERRORBOX | SEM_NOOPENFILEERRORBOX);
    (void)_set_error_mode(_OUT_TO_STDERR);
    (void)AddVectoredExceptionHandler(1, on_exception);
    (void)SetUnhandledExceptionFilter(on_unhandled);
    warm_up();
}

unsigned long harness_process(void)
{
    return GetCurrentProcessId();
}

static bool is_name(const UNICODE_STRING *string, const wchar_t *name)
{
    return string->Length == wcslen(name) * sizeof(*name) && memcmp(string->Buffer, name, string->Length) == 0;
}

/* Whether a test has to close it. The pthreads of mingw-w64 keep events and semaphores: of static locks, and for more threads. */
static bool is_descriptor(HANDLE handle)
{
    union {
        PUBLIC_OBJECT_TYPE_INFORMATION type;
        unsigned char room[1024];
    } information;
    const UNICODE_STRING *name = &information.type.TypeName;
    ULONG length = 0;

    if (NtQueryObject(handle, ObjectTypeInformation, &information, sizeof(information), &length) != 0)
        return true;
    return !is_name(name, L"Event") && !is_name(name, L"Semaphore");
}

/* The numbers of handles are multiples of four, and low ones are given first. How many there are cannot be had under Wine. */
void harness_descriptors(unsigned char *map, unsigned bits)
{
    unsigned gap = 0;

    memset(map, 0, bits / 8);
    for (unsigned n = 1; n < bits && gap < LONGEST_GAP; n++) {
        HANDLE handle = (HANDLE)(uintptr_t)(n * 4);
        DWORD flags;

        gap++;
        if (GetHandleInformation(handle, &flags)) {
            if (is_descriptor(handle))
                map[n / 8] = (unsigned char)(map[n / 8] | (1u << (n % 8)));
            gap = 0;
        }
    }
}

bool harness_wait_for_system(unsigned turn)
{
    /* Threads of the system end, and close what was theirs, after what they did for us. */
    Sleep(10);
    return turn < 50;
}
