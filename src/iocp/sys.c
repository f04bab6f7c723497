/* The table of system calls, filled with the system's own. The only file that names them outside of the table. */
#include "sys.h"

#include <iphlpapi.h>
#include <process.h>

/* NULL, and what the C library says in errno, when there is none to be had. */
static HANDLE thread_new(thread_entry *entry, void *argument)
{
    return (HANDLE)_beginthreadex(NULL, 0, entry, argument, 0, NULL);
}

typedef HRESULT(WINAPI set_thread_description)(HANDLE thread, const WCHAR *name);
typedef void(any_function)(void);

/* For debuggers only: Windows 10 has it from 1607 on, and in this one library from the beginning. */
static int name_thread(const char *name)
{
    WCHAR wide[16];
    HMODULE library = GetModuleHandleW(L"kernelbase.dll");
    any_function *found;
    size_t i = 0;

    if (library == NULL)
        return -1;
    found = (any_function *)GetProcAddress(library, "SetThreadDescription");
    if (found == NULL)
        return -1;
    for (; name[i] != '\0' && i < sizeof(wide) / sizeof(wide[0]) - 1; i++)
        wide[i] = (WCHAR)(unsigned char)name[i];
    wide[i] = L'\0';
    return ((set_thread_description *)found)(GetCurrentThread(), wide) >= 0 ? 0 : -1;
}

/* That of the window, in characters. FALSE: there is no console. */
static BOOL console_size(COORD *size)
{
    HANDLE console = CreateFileW(L"CONOUT$", GENERIC_READ | GENERIC_WRITE, FILE_SHARE_READ | FILE_SHARE_WRITE, NULL,
                                 OPEN_EXISTING, 0, NULL);
    CONSOLE_SCREEN_BUFFER_INFO info;
    BOOL known;

    if (console == INVALID_HANDLE_VALUE)
        return FALSE;
    known = GetConsoleScreenBufferInfo(console, &info);
    (void)CloseHandle(console);
    if (known) {
        size->X = (SHORT)(info.srWindow.Right - info.srWindow.Left + 1);
        size->Y = (SHORT)(info.srWindow.Bottom - info.srWindow.Top + 1);
    }
    return known;
}

/* Keeps the library that this code is part of loaded until the process ends. */
static BOOL pin_module(void)
{
    const DWORD flags = GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS | GET_MODULE_HANDLE_EX_FLAG_PIN;
    const void *here = &loop__sys; /* in place of a name */
    HMODULE module;

    return GetModuleHandleExW(flags, here, &module);
}

/* One function each, with the calling convention of the table. */
#define SYS_FUNCTION(result, name, parameters, arguments)                                                              \
    static result sys_##name parameters                                                                                \
    {                                                                                                                  \
        return name arguments;                                                                                         \
    }
LOOP_WINDOWS_SYS(SYS_FUNCTION)
LOOP_BACKEND_SYS(SYS_FUNCTION)

struct loop_sys loop__sys = {
#define SYS_ENTRY(result, name, parameters, arguments) .name = sys_##name,
    LOOP_WINDOWS_SYS(SYS_ENTRY) LOOP_BACKEND_SYS(SYS_ENTRY)
#undef SYS_ENTRY
};
