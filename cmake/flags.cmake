# loop_target_flags(target): what every target of this project is compiled and linked with.

include(CheckCCompilerFlag)
include(CheckCSourceCompiles)

set(loop_compile_options)
set(loop_link_options)

if(MSVC)
    # Atomics of C11 were late in this compiler; warnings about the C library's own functions are not wanted.
    list(APPEND loop_compile_options /W4 /utf-8 /experimental:c11atomics /D_CRT_SECURE_NO_WARNINGS)
    if(LOOP_WERROR)
        list(APPEND loop_compile_options /WX)
    endif()
else()
    list(APPEND loop_compile_options -Wall -Wextra -Wpedantic -Wshadow -Wconversion)
    if(LOOP_WERROR)
        list(APPEND loop_compile_options -Werror)
    endif()
endif()

check_c_compiler_flag(-fno-strict-aliasing LOOP_HAS_NO_STRICT_ALIASING)
check_c_compiler_flag(-fno-tree-slp-vectorize LOOP_HAS_NO_SLP)

if(LOOP_SANITIZE)
    string(REPLACE "," ";" loop_sanitizers "${LOOP_SANITIZE}")
    foreach(sanitizer IN LISTS loop_sanitizers)
        if(NOT sanitizer MATCHES "^(address|undefined|thread)$")
            message(FATAL_ERROR "loop: LOOP_SANITIZE '${sanitizer}' is unknown; use address, undefined or thread.")
        endif()
    endforeach()
    if("thread" IN_LIST loop_sanitizers AND "address" IN_LIST loop_sanitizers)
        message(FATAL_ERROR "loop: the address and thread sanitizers cannot be combined.")
    endif()
    list(APPEND loop_compile_options
        -fsanitize=${LOOP_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
    list(APPEND loop_link_options -fsanitize=${LOOP_SANITIZE})
endif()

if(LOOP_FUZZ)
    list(APPEND loop_compile_options -fsanitize=fuzzer-no-link)
endif()

if(LOOP_COVERAGE)
    list(APPEND loop_compile_options --coverage -O0)
    list(APPEND loop_link_options --coverage)
    # Counters must not race when a test uses threads.
    check_c_compiler_flag(-fprofile-update=atomic LOOP_HAS_ATOMIC_PROFILE)
    if(LOOP_HAS_ATOMIC_PROFILE)
        list(APPEND loop_compile_options -fprofile-update=atomic)
    endif()
endif()

function(loop_target_flags target)
    set_target_properties(${target} PROPERTIES
        C_STANDARD 11
        C_STANDARD_REQUIRED ON
        C_EXTENSIONS OFF)
    target_compile_options(${target} PRIVATE ${loop_compile_options})
    target_link_options(${target} PRIVATE ${loop_link_options})
endfunction()
