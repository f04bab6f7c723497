# Turns LOOP_BACKEND into loop_backend, or stops with one sentence.

if(LOOP_BACKEND STREQUAL "auto")
    if(CMAKE_SYSTEM_NAME STREQUAL "Linux" OR CMAKE_SYSTEM_NAME STREQUAL "Android")
        set(loop_backend epoll)
    elseif(CMAKE_SYSTEM_NAME MATCHES "^(Darwin|iOS|FreeBSD|NetBSD|OpenBSD|DragonFly)$")
        set(loop_backend kqueue)
    elseif(CMAKE_SYSTEM_NAME STREQUAL "Windows")
        set(loop_backend iocp)
    else()
        message(FATAL_ERROR "loop: there is no backend for the system '${CMAKE_SYSTEM_NAME}'.")
    endif()
elseif(LOOP_BACKEND MATCHES "^(epoll|kqueue|iocp)$")
    set(loop_backend ${LOOP_BACKEND})
else()
    message(FATAL_ERROR "loop: LOOP_BACKEND '${LOOP_BACKEND}' is unknown; use auto, epoll, kqueue or iocp.")
endif()

if(loop_backend STREQUAL "iocp" AND NOT WIN32)
    message(FATAL_ERROR "loop: the iocp backend needs Windows, and this system is ${CMAKE_SYSTEM_NAME}.")
elseif(loop_backend STREQUAL "kqueue" AND WIN32)
    message(FATAL_ERROR "loop: there is no kqueue on ${CMAKE_SYSTEM_NAME}.")
elseif(loop_backend STREQUAL "epoll" AND NOT CMAKE_SYSTEM_NAME MATCHES "^(Linux|Android)$")
    message(FATAL_ERROR "loop: the epoll backend needs Linux, and this system is ${CMAKE_SYSTEM_NAME}.")
endif()

# Whether programs may use Mach ports: tests and examples of them are built there.
set(loop_has_mach OFF)
if(APPLE OR LOOP_KQSHIM STREQUAL "macos")
    set(loop_has_mach ON)
endif()

# The kqueue backend on Linux, over the tests' own kqueue(2) that behaves like the one of that system.
if(LOOP_KQSHIM AND NOT LOOP_KQSHIM MATCHES "^(macos|freebsd|netbsd9|netbsd|openbsd)$")
    message(FATAL_ERROR "loop: LOOP_KQSHIM '${LOOP_KQSHIM}' is unknown; use macos, freebsd, netbsd9, netbsd or openbsd.")
elseif(LOOP_KQSHIM AND NOT (loop_backend STREQUAL "kqueue" AND CMAKE_SYSTEM_NAME STREQUAL "Linux"))
    message(FATAL_ERROR "loop: LOOP_KQSHIM is for LOOP_BACKEND=kqueue on Linux.")
elseif(NOT LOOP_KQSHIM AND loop_backend STREQUAL "kqueue" AND CMAKE_SYSTEM_NAME MATCHES "^(Linux|Android)$")
    message(FATAL_ERROR "loop: there is no kqueue on ${CMAKE_SYSTEM_NAME}; tests set LOOP_KQSHIM.")
elseif(LOOP_KQSHIM AND LOOP_INSTALL)
    set(LOOP_INSTALL OFF) # never to be installed
endif()
