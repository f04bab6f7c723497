# The static and the shared library, compiled from the same sources.

# The tests want threads everywhere, the library where they are not the system's own.
set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)

set(loop_private_includes "${PROJECT_SOURCE_DIR}/src" "${PROJECT_SOURCE_DIR}/src/${loop_backend}")
if(WIN32)
    set(loop_platform_sources ${loop_iocp_sources})
    # Sockets and their extensions; the NT calls behind them.
    set(loop_system_libraries ws2_32 iphlpapi ntdll)
else()
    set(loop_platform_sources ${loop_posix_sources} ${loop_${loop_backend}_sources})
    list(INSERT loop_private_includes 1 "${PROJECT_SOURCE_DIR}/src/posix")
    set(loop_system_libraries Threads::Threads)
endif()
set(loop_system_sources ${loop_platform_sources} ${loop_transfer_sources})

# accept4, pipe2, epoll_pwait2 and their like; the rest of the core stays within C11.
set(loop_system_definitions)
if(CMAKE_SYSTEM_NAME MATCHES "^(Linux|Android)$")
    set(loop_system_definitions _GNU_SOURCE)
endif()

# What kqueue() leaves open to a program that is executed; macOS closes it by itself.
if(loop_backend STREQUAL "kqueue")
    if(LOOP_KQSHIM)
        string(COMPARE NOTEQUAL "${LOOP_KQSHIM}" macos LOOP_HAS_KQUEUE1)
    else()
        include(CheckSymbolExists)
        check_symbol_exists(kqueue1 "sys/types.h;sys/event.h;sys/time.h" LOOP_HAS_KQUEUE1)
    endif()
    if(LOOP_HAS_KQUEUE1)
        list(APPEND loop_system_definitions LOOP_HAS_KQUEUE1)
    elseif(APPLE OR LOOP_KQSHIM)
        list(APPEND loop_system_definitions LOOP_KQUEUE_IS_CLOEXEC)
    endif()
endif()

# Before 1.0 every minor version may change the ABI, and the SONAME says so.
if(PROJECT_VERSION_MAJOR EQUAL 0)
    set(loop_soversion ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})
else()
    set(loop_soversion ${PROJECT_VERSION_MAJOR})
endif()

set_source_files_properties(${loop_system_sources} PROPERTIES COMPILE_DEFINITIONS "${loop_system_definitions}")

function(loop_add_library target type)
    add_library(${target} ${type} ${loop_core_sources} ${loop_platform_sources})
    loop_target_flags(${target})
    # Two pointers are stored faster by themselves than as a vector that is put together first.
    if(LOOP_HAS_NO_SLP)
        target_compile_options(${target} PRIVATE -fno-tree-slp-vectorize)
    endif()
    if(LOOP_HAS_NO_STRICT_ALIASING)
        target_compile_options(${target} PRIVATE -fno-strict-aliasing)
    endif()
    if(loop_probes)
        target_compile_definitions(${target} PRIVATE LOOP_WITH_PROBES)
    endif()
    set_target_properties(${target} PROPERTIES
        OUTPUT_NAME loop
        C_VISIBILITY_PRESET hidden)
    target_include_directories(${target}
        PUBLIC
            "$<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>"
            "$<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>"
        PRIVATE ${loop_private_includes})
    target_link_libraries(${target} PRIVATE ${loop_system_libraries})
    if(LOOP_KQSHIM)
        target_link_libraries(${target} PUBLIC kqshim)
    endif()
endfunction()

loop_add_library(loop_static STATIC)
set_target_properties(loop_static PROPERTIES EXPORT_NAME static)
add_library(loop::static ALIAS loop_static)
if(WIN32)
    # loop.lib (of mingw-w64: libloop.dll.a) is the import library of loop.dll.
    set_target_properties(loop_static PROPERTIES OUTPUT_NAME loop_static)
endif()

if(LOOP_SHARED)
    loop_add_library(loop_shared SHARED)
    target_compile_definitions(loop_shared PRIVATE LOOP_BUILD_SHARED INTERFACE LOOP_USE_SHARED)
    set_target_properties(loop_shared PROPERTIES
        EXPORT_NAME shared
        VERSION ${PROJECT_VERSION}
        SOVERSION ${loop_soversion})
    add_library(loop::shared ALIAS loop_shared)
    if(WIN32)
        set_target_properties(loop_shared PROPERTIES PREFIX "")
    endif()

    # The export list, where the linker takes one; elsewhere hidden visibility does the work.
    set(loop_map "${PROJECT_SOURCE_DIR}/cmake/loop.map")
    set(CMAKE_REQUIRED_LINK_OPTIONS "-Wl,--version-script=${loop_map}")
    check_c_source_compiles("int main(void) { return 0; }" LOOP_HAS_VERSION_SCRIPT)
    unset(CMAKE_REQUIRED_LINK_OPTIONS)
    if(LOOP_HAS_VERSION_SCRIPT)
        target_link_options(loop_shared PRIVATE "-Wl,--version-script=${loop_map}")
        set_target_properties(loop_shared PROPERTIES LINK_DEPENDS "${loop_map}")
    endif()
endif()

if(BUILD_SHARED_LIBS)
    if(NOT LOOP_SHARED)
        message(FATAL_ERROR "loop: BUILD_SHARED_LIBS needs LOOP_SHARED.")
    endif()
    add_library(loop::loop ALIAS loop_shared)
else()
    add_library(loop::loop ALIAS loop_static)
endif()
