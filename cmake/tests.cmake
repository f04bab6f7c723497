# What every file of the tests is compiled with.
function(loop_test_flags target)
    loop_target_flags(${target})
    if(LOOP_HAS_NO_STRICT_ALIASING)
        target_compile_options(${target} PRIVATE -fno-strict-aliasing)
    endif()
    # The tests may include internal headers, so they see what the library's own files see.
    target_include_directories(${target} PRIVATE ${loop_private_includes})
    if(CMAKE_SYSTEM_NAME MATCHES "^(Linux|Android)$")
        target_compile_definitions(${target} PRIVATE _GNU_SOURCE)
    endif()
endfunction()

# loop_add_test(NAME name SOURCES file.c... [ROWS prefix] [FIXTURE name] [TIMEOUT seconds])
#
# Builds the test program test_<name>, with the FIXTURE test/<name>_fixture.c if one is told, and makes each of its test functions
# a row of ctest, "<prefix>.<function>", with TIMEOUT (60 s unless told) for each row. The prefix is the name unless told: what only
# some systems can do is a program of its own whose rows stand beside those of its subject. The rows are found after every build by
# asking the program with --list; there are none of a program for another system that has no emulator here. Their label is the
# directory of the first source, or "shared" where that is test itself: rows that there are on every platform.
#
# When ctest runs: LOOP_TEST_LAUNCHER in the environment is a command (words with spaces) put before each test program,
# LOOP_TEST_TIMEOUT_FACTOR multiplies the timeouts. With LOOP_TEST_WHOLE each program is one row, "<name>.all", which runs all its
# test functions: for launchers that take longer to start than most of these take.
function(loop_add_test)
    cmake_parse_arguments(PARSE_ARGV 0 arg "" "NAME;ROWS;FIXTURE;TIMEOUT" "SOURCES")
    if(NOT arg_NAME OR NOT arg_SOURCES OR arg_UNPARSED_ARGUMENTS)
        message(FATAL_ERROR "loop_add_test(NAME name SOURCES file.c... [ROWS prefix] [FIXTURE name] [TIMEOUT seconds])")
    endif()
    if(NOT arg_TIMEOUT)
        set(arg_TIMEOUT 60)
    endif()

    if(NOT arg_ROWS)
        set(arg_ROWS ${arg_NAME})
    endif()

    list(GET arg_SOURCES 0 source)
    get_filename_component(source "${source}" ABSOLUTE)
    get_filename_component(directory "${source}" DIRECTORY)
    get_filename_component(label "${directory}" NAME)
    if(directory STREQUAL "${PROJECT_SOURCE_DIR}/test")
        set(label shared)
    endif()

    set(target test_${arg_NAME})
    add_executable(${target} ${arg_SOURCES})
    loop_test_flags(${target})
    if(arg_FIXTURE)
        target_link_libraries(${target} PRIVATE loop_test_${arg_FIXTURE})
    endif()
    target_link_libraries(${target} PRIVATE loop_test_harness loop_static Threads::Threads)

    get_target_property(emulator ${target} CROSSCOMPILING_EMULATOR)
    if(NOT emulator)
        if(CMAKE_CROSSCOMPILING)
            return()
        endif()
        set(emulator "")
    endif()
    set(rows "${CMAKE_CURRENT_BINARY_DIR}/${arg_NAME}.rows.cmake")
    set(include "${CMAKE_CURRENT_BINARY_DIR}/${arg_NAME}.ctest.cmake")
    add_custom_command(TARGET ${target} POST_BUILD
        COMMAND "${CMAKE_COMMAND}"
            "-DNAME=${arg_NAME}"
            "-DROWS=${arg_ROWS}"
            "-DEMULATOR=${emulator}"
            "-DPROGRAM=$<TARGET_FILE:${target}>"
            "-DTIMEOUT=${arg_TIMEOUT}"
            "-DLABEL=${label}"
            "-DOUTPUT=${rows}"
            -P "${PROJECT_SOURCE_DIR}/cmake/discover.cmake"
        BYPRODUCTS "${rows}"
        VERBATIM)
    file(WRITE "${include}" "if(EXISTS \"${rows}\")\n    include(\"${rows}\")\n"
        "else()\n    add_test(${arg_NAME}.not_built not_built)\nendif()\n")
    set_property(DIRECTORY APPEND PROPERTY TEST_INCLUDE_FILES "${include}")
endfunction()
