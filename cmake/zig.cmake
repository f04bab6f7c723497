# Toolchain file: builds for ZIG_TARGET with the C compiler of zig, which brings headers and libraries of many systems.
#
#     cmake -S . -B build/freebsd -G Ninja -DCMAKE_TOOLCHAIN_FILE=cmake/zig.cmake -DZIG_TARGET=x86_64-freebsd.14.0
#
# ZIG is the program, if it is not in PATH. ZIG_SYSROOT is where other libraries for the target are looked for.

set(ZIG_TARGET "" CACHE STRING "Target triple of zig, e.g. aarch64-macos.11.0 or x86_64-linux-musl")
set(ZIG_SYSROOT "${CMAKE_BINARY_DIR}/sysroot" CACHE PATH "Libraries for the target")
find_program(ZIG zig NO_CMAKE_FIND_ROOT_PATH REQUIRED)
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES ZIG ZIG_TARGET ZIG_SYSROOT)

if(NOT ZIG_TARGET MATCHES "^([a-z0-9_]+)-(macos|freebsd|netbsd|openbsd|linux-musl|windows-gnu)")
    message(FATAL_ERROR "loop: ZIG_TARGET '${ZIG_TARGET}' is no target of zig that this file knows.")
endif()
set(zig_processor ${CMAKE_MATCH_1})
set(zig_system ${CMAKE_MATCH_2})

# Without a system name CMake runs what it builds here, as it does with any native compiler.
if(NOT (zig_system STREQUAL "linux-musl" AND CMAKE_HOST_SYSTEM_NAME STREQUAL "Linux" AND
        zig_processor STREQUAL CMAKE_HOST_SYSTEM_PROCESSOR))
    set(zig_name_macos Darwin)
    set(zig_name_freebsd FreeBSD)
    set(zig_name_netbsd NetBSD)
    set(zig_name_openbsd OpenBSD)
    set(zig_name_linux-musl Linux)
    set(zig_name_windows-gnu Windows)
    set(CMAKE_SYSTEM_NAME ${zig_name_${zig_system}})
    set(CMAKE_SYSTEM_PROCESSOR ${zig_processor})
endif()

if(zig_system STREQUAL "linux-musl")
    set(CMAKE_EXE_LINKER_FLAGS_INIT -static)
    if(CMAKE_SYSTEM_NAME)
        find_program(ZIG_EMULATOR NAMES qemu-${zig_processor} qemu-${zig_processor}-static NO_CMAKE_FIND_ROOT_PATH)
        if(ZIG_EMULATOR)
            set(CMAKE_CROSSCOMPILING_EMULATOR "${ZIG_EMULATOR}")
        endif()
    endif()
elseif(zig_system STREQUAL "macos")
    # CMake insists on these; zig needs neither.
    find_program(CMAKE_INSTALL_NAME_TOOL true NO_CMAKE_FIND_ROOT_PATH)
    set(CMAKE_OSX_SYSROOT "" CACHE PATH "" FORCE)
    set(CMAKE_OSX_DEPLOYMENT_TARGET "" CACHE STRING "" FORCE)
elseif(zig_system STREQUAL "openbsd")
    # Shared libraries lack __guard_local.
    set(CMAKE_C_FLAGS_INIT -fno-stack-protector)
endif()

set(CMAKE_C_COMPILER "${ZIG}" cc -target ${ZIG_TARGET})
# An archive made by the host's ar has no index of Mach-O symbols.
set(CMAKE_C_ARCHIVE_CREATE "\"${ZIG}\" ar qc <TARGET> <OBJECTS>")
set(CMAKE_C_ARCHIVE_APPEND "\"${ZIG}\" ar q <TARGET> <OBJECTS>")
set(CMAKE_C_ARCHIVE_FINISH "\"${ZIG}\" ranlib <TARGET>")

set(CMAKE_FIND_ROOT_PATH "${ZIG_SYSROOT}")
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
